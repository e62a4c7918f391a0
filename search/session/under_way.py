"""The fold runs that were submitted and have no outcome yet, and which come next.

With a thousand slots there are as many. What is asked of them at every event does not go through all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Set
from dataclasses import dataclass, field

from search.jobs import FoldJob
from storage.records import TrialRecord


@dataclass
class UnderWay:
    """Fold runs under way, by trial."""

    _folds: dict[int, list[int]] = field(default_factory=dict)  # trial -> its folds, in order of submission
    _runs: dict[tuple[int, int], None] = field(default_factory=dict)  # (trial, fold) of each

    def begun(self, jobs: Iterable[FoldJob]) -> None:
        """These were submitted."""
        for job in jobs:
            self._folds.setdefault(job.trial, []).append(job.fold)
            self._runs[job.trial, job.fold] = None

    def ended(self, jobs: Iterable[FoldJob]) -> None:
        """These have an outcome."""
        for job in jobs:
            self._folds[job.trial].remove(job.fold)
            del self._runs[job.trial, job.fold]
            if not self._folds[job.trial]:
                del self._folds[job.trial]

    @property
    def trials(self) -> Set[int]:
        """The numbers of the trials that have some."""
        return self._folds.keys()

    @property
    def runs(self) -> Collection[tuple[int, int]]:
        """(Trial, fold) of each, in order of submission; a view, which changes with them."""
        return self._runs.keys()

    def missing(
        self, trials: Iterable[TrialRecord], folds: int, has_time: Callable[[TrialRecord], bool]
    ) -> Iterator[tuple[TrialRecord, int]]:
        """The folds that are not under way yet, of the first of these open trials that has one, and `has_time` for.

        `folds`: of each trial.
        """
        for trial in trials:
            busy = self._folds.get(trial.number, ())
            done = {fold.fold for fold in trial.folds}
            left = [fold for fold in range(folds) if fold not in done and fold not in busy]
            if left and has_time(trial):
                yield from ((trial, fold) for fold in left)
                return
