"""Which pre-trained networks may still be the best, from their probes. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from search.stats.metrics import METRICS
from search.stats.racing import RaceEntry, behind


def may_be_best(metric: str, probes: Mapping[str, RaceEntry], weights: NDArray[np.float64]) -> tuple[str, ...]:
    """The backbones whose probe is not clearly behind the best one on the same images, the best first.

    `probes`: backbone -> the out-of-fold results of its probe, all with the same folds; `weights`: `class_weights` of
    all images in them. A probe is clearly behind by the rule of the race ('paired'). The best of several is a little
    lucky, so the rule may drop one that is as good; it never drops the best.
    """
    gain = METRICS[metric].gain

    def score(name: str) -> float:
        mean = float(np.mean(list(probes[name].scores.values())))
        return gain(mean) if np.isfinite(mean) else -np.inf

    ordered = sorted(probes, key=score, reverse=True)  # stable: of equal ones the preferred backbone is first
    return tuple(
        name
        for name in ordered
        if name == ordered[0] or behind("paired", metric, probes[name], probes[ordered[0]], weights) is None
    )
