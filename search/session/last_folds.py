"""Which trials get their missing folds at the end of the search. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from search.stats.evidence import Evidence, belief
from search.stats.metrics import METRICS
from search.stats.selection import Wish, quick_enough


def last_folds(
    evidence: Evidence, candidates: NDArray[np.bool_], seconds: Mapping[int, float], wish: Wish
) -> tuple[int, ...]:
    """Numbers of the trials whose missing folds are trained before any trial is confirmed, the cheapest first.

    `seconds`: what all missing folds of a trial are expected to take, by number, of the trials that lack some. Of them
    those `candidates` [trials] get theirs that could be chosen then: by their expectation and its error they lose no
    more to the best one than the user's price.
    """
    eligible = quick_enough(evidence, candidates, wish)
    if not eligible.any():
        return ()
    believed = belief(evidence)
    enough = believed.mean[eligible].max() - wish.price * METRICS[evidence.metric].scale
    in_reach = eligible & (believed.mean + believed.error >= enough)
    lacking = [number for number, may in zip(evidence.numbers, in_reach, strict=True) if may and number in seconds]
    return tuple(sorted(lacking, key=lambda number: (seconds[number], number)))
