"""The reference rows of a study: which ones it has, and which of their folds are missing."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from search.data.folds import fold_rows
from search.jobs import ReferenceJob, possible
from search.seeds import derive
from search.study.folder import StudyFolder
from spaces.backbones import Backbone
from storage import ReferenceRecord, Store


def missing_folds(names: Iterable[str], folds: int, known: Iterable[ReferenceRecord]) -> list[tuple[str, int]]:
    """(name, fold) that are not stored yet, name by name."""
    stored = {(record.name, record.fold) for record in known}
    return [(name, fold) for name in names for fold in range(folds) if (name, fold) not in stored]


class ReferenceQueue:
    """Returns each missing fold once; a reference that failed is not tried again in this session."""

    def __init__(
        self,
        names: Sequence[str],
        assignment: NDArray[np.int16],
        folds: int,
        study_seed: int,
    ) -> None:
        """`assignment`: [images] fold that validates the image, -1: none."""
        self._names, self._assignment, self._folds, self._seed = names, assignment, folds, study_seed
        self.known: list[ReferenceRecord] = []
        self._waiting: deque[tuple[str, int]] = deque()
        self._left_out: set[str] = set()

    def load(self, known: Iterable[ReferenceRecord]) -> None:
        """Load the stored rows. Must be called before the first `next_job`."""
        self.known = list(known)
        self._waiting = deque(missing_folds(self._names, self._folds, self.known))

    def next_job(self) -> ReferenceJob | None:
        """The job of the next missing fold; None if there is none."""
        if not self._waiting:
            return None
        name, fold = self._waiting.popleft()
        return ReferenceJob(name, fold, *fold_rows(self._assignment, fold), derive(self._seed, "reference", name, fold))

    def leave_out(self, name: str) -> bool:
        """Skip a reference from now on. Returns False if it was skipped already."""
        self._waiting = deque(job for job in self._waiting if job[0] != name)
        is_new = name not in self._left_out
        self._left_out.add(name)
        return is_new


def references_of(folder: StudyFolder, backbones: Sequence[Backbone]) -> tuple[str, ...]:
    """Names of the reference rows that a study computes; none for an outer fold, of which only the choice is used."""
    return possible(backbones) if folder.parent == folder else ()


def references_left(store: Store, backbones: Sequence[Backbone]) -> bool:
    """Whether a fold of a reference is missing."""
    folds = int(store.split().assignment.max()) + 1
    return bool(missing_folds(references_of(StudyFolder(store.path.parent), backbones), folds, store.references()))
