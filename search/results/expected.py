"""The expected score on new images: of the saved model, or of the one that would be saved now."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.results.stored import ByFold, StoredStudy
from search.stats.estimate import Estimate, estimate, no_better_than_its_own, of_another, trained_on_all
from search.stats.metrics import METRICS
from search.stats.selection import interval, of_ensemble


def expected(stored: StoredStudy) -> Estimate | None:
    """The estimate for the ensemble selected from the pool, else for the best of the leading trials, else None.

    It is never better than the score of the saved model here: the ensemble, the best trial, or another one.
    """
    choice, metric, assignment = stored.choice, stored.study.metric, stored.split.assignment
    together = choice is not None and several(choice.members)
    candidates, searched = (stored.pool if together else stored.leading), assignment >= 0
    if not candidates:
        return None
    labels, folds = stored.labels[searched], assignment[searched]
    classes = len(stored.study.classes)
    stacked = {number: _rows(by_fold, assignment, classes)[searched] for number, by_fold in candidates.items()}
    probabilities = np.stack([*stacked.values()])
    if together:
        result: Estimate | None = of_ensemble(probabilities, labels, folds, metric)
    else:
        result = estimate(probabilities, labels, metric)
        saved = stacked.get(choice.members[0][0]) if choice else None
        if result and saved is not None and METRICS[metric].of(labels, saved) != result.naive:
            result = of_another(result, *interval(saved, labels, metric))
    chance = METRICS[metric].chance(np.bincount(labels))
    return result and trained_on_all(no_better_than_its_own(result), int(assignment.max()) + 1, chance)


def several(members: Sequence[tuple[int, float]]) -> bool:
    """Whether these (trial, weight) belong to more than one trial."""
    return len({trial for trial, _ in members}) > 1


def _rows(by_fold: ByFold, assignment: NDArray[np.int16], classes: int) -> NDArray[np.float32]:
    """[images, classes] probabilities; 0 for images of a fold that is missing."""
    rows = np.zeros((len(assignment), classes), np.float32)
    for fold, probabilities in by_fold.items():
        rows[assignment == fold] = probabilities
    return rows
