"""How many images of each class are recognized, and how certain that is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.stats.estimate import wilson

ALPHA = 0.05  # how often `clearly_least` may name a class that is as easy as the others


@dataclass(frozen=True)
class Recall:
    """One class. The share is NaN for a class without images, and its interval is then [0, 1]."""

    label: int
    images: int  # of the class, that have a prediction
    found: int  # of them, those that are recognized
    share: float
    low: float  # of a 95 % interval
    high: float


def recalls(confusion: NDArray[np.int64]) -> tuple[Recall, ...]:
    """Of each class, the lowest share first; `confusion` is [classes, classes] with the true class in rows."""
    rows = []
    for label, counts in enumerate(confusion):
        images, found = int(counts.sum()), int(counts[label])
        share = found / images if images else float("nan")
        low, high = wilson(share, images) if images else (0.0, 1.0)
        rows.append(Recall(label, images, found, share, low, high))
    return tuple(sorted(rows, key=lambda row: (not row.images, row.share if row.images else 0.0, row.label)))


def clearly_least(rows: Sequence[Recall]) -> Recall | None:
    """The class that is most surely recognized less often than the others, if that is hardly chance; else None.

    Fisher's exact test of each class against the images of all others, one-sided, at 5 % divided by the number of
    classes, as any of them may be named (Bonferroni). A class of few images may have a lower share and prove nothing.
    `rows` as of `recalls`; the result is one of them.
    """
    from scipy.stats import fisher_exact  # takes half a second to import; most commands do not need it

    known = [row for row in rows if row.images]
    if len(known) < 2:
        return None
    images, found = sum(row.images for row in known), sum(row.found for row in known)

    def p_value(row: Recall) -> float:
        missed = row.images - row.found
        table = [[row.found, missed], [found - row.found, images - found - missed]]
        return float(fisher_exact(table, alternative="less").pvalue)

    p, place = min((p_value(row), place) for place, row in enumerate(known))
    return known[place] if p < ALPHA / len(known) else None
