"""What to expect of new images: the estimate for what is shipped, or for what would be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.stats.estimate import Estimate, estimate, no_better_than_its_own, of_another, trained_on_all
from search.stats.metrics import METRICS
from search.stats.selection import interval, of_ensemble
from storage import ChoiceRecord, StudyRecord

ByFold: TypeAlias = Mapping[int, NDArray[np.floating[Any]]]
"""[images of the fold, classes] probabilities by fold."""


def expected(
    study: StudyRecord,
    labels: NDArray[np.int64],
    assignment: NDArray[np.int16],
    trials: Mapping[int, ByFold],
    pool: Mapping[int, ByFold],
    choice: ChoiceRecord | None,
) -> Estimate | None:
    """Of the ensemble that was picked from the `pool`, else of the best of these complete `trials`, else none.

    No more than what is shipped scored itself: the ensemble, the best trial, or another one.
    """
    together = choice is not None and several(choice.members)
    found, searched = (pool if together else trials), assignment >= 0
    if not found:
        return None
    here, folds = labels[searched], assignment[searched]
    stacked = {number: _rows(by_fold, assignment, len(study.classes))[searched] for number, by_fold in found.items()}
    every = np.stack([*stacked.values()])
    if together:
        said: Estimate | None = of_ensemble(every, here, folds, study.metric)
    else:
        said = estimate(every, here, study.metric)
        shipped = stacked.get(choice.members[0][0]) if choice else None
        if said and shipped is not None and METRICS[study.metric].of(here, shipped) != said.naive:
            said = of_another(said, *interval(shipped, here, study.metric))
    chance = METRICS[study.metric].chance(np.bincount(here))
    return said and trained_on_all(no_better_than_its_own(said), int(assignment.max()) + 1, chance)


def several(members: Sequence[tuple[int, float]]) -> bool:
    """Whether these (trial, weight) are of more than one trial."""
    return len({trial for trial, _ in members}) > 1


def _rows(by_fold: ByFold, assignment: NDArray[np.int16], classes: int) -> NDArray[np.float32]:
    """[images, classes]; 0 where there is none."""
    rows = np.zeros((len(assignment), classes), np.float32)
    for fold, probabilities in by_fold.items():
        rows[assignment == fold] = probabilities
    return rows
