"""What to expect of new images: the estimate for what is shipped, or for what would be."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.results.stored import ByFold, StoredStudy
from search.stats.estimate import Estimate, estimate, no_better_than_its_own, of_another, trained_on_all
from search.stats.metrics import METRICS
from search.stats.selection import interval, of_ensemble


def expected(stored: StoredStudy) -> Estimate | None:
    """Of the ensemble that was picked from the pool, else of the best of the leading trials, else none.

    No more than what is shipped scored itself: the ensemble, the best trial, or another one.
    """
    choice, metric, assignment = stored.choice, stored.study.metric, stored.split.assignment
    together = choice is not None and several(choice.members)
    candidates, searched = (stored.pool if together else stored.leading), assignment >= 0
    if not candidates:
        return None
    labels, folds = stored.labels[searched], assignment[searched]
    classes = len(stored.study.classes)
    stacked = {number: _rows(by_fold, assignment, classes)[searched] for number, by_fold in candidates.items()}
    every = np.stack([*stacked.values()])
    if together:
        picked: Estimate | None = of_ensemble(every, labels, folds, metric)
    else:
        picked = estimate(every, labels, metric)
        shipped = stacked.get(choice.members[0][0]) if choice else None
        if picked and shipped is not None and METRICS[metric].of(labels, shipped) != picked.naive:
            picked = of_another(picked, *interval(shipped, labels, metric))
    chance = METRICS[metric].chance(np.bincount(labels))
    return picked and trained_on_all(no_better_than_its_own(picked), int(assignment.max()) + 1, chance)


def several(members: Sequence[tuple[int, float]]) -> bool:
    """Whether these (trial, weight) are of more than one trial."""
    return len({trial for trial, _ in members}) > 1


def _rows(by_fold: ByFold, assignment: NDArray[np.int16], classes: int) -> NDArray[np.float32]:
    """[images, classes]; 0 where there is none."""
    rows = np.zeros((len(assignment), classes), np.float32)
    for fold, probabilities in by_fold.items():
        rows[assignment == fold] = probabilities
    return rows
