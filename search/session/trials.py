"""The trials of a study during a search, with cached answers to what the loop asks after every event.

A loop that goes through all trials after every event is slow with thousands of trials.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import overload

from search.jobs import FailureCause
from search.stats.ranking import best
from spaces import Value
from storage.records import TrialRecord, TrialState

SETUP_FAILURES = {FailureCause.ERROR, FailureCause.MODEL, FailureCause.WORKER_DIED, FailureCause.HUNG}
"""Rather caused by the setup than by a point."""


class Trials(Sequence[TrialRecord]):
    """All trials in order of number, from 0. Trials can be appended, and replaced by their new state."""

    def __init__(self, metric: str, trials: Iterable[TrialRecord] = ()) -> None:
        self._metric = metric
        self._all: list[TrialRecord] = []
        self._open: dict[int, None] = {}
        self._points: set[Hashable] = set()
        self._best: TrialRecord | None = None
        for trial in trials:
            self.append(trial)

    def append(self, trial: TrialRecord) -> None:
        """Add the next trial."""
        self._all.append(trial)
        self._points.add(_key(trial.params))
        self._note(trial)

    def __setitem__(self, number: int, trial: TrialRecord) -> None:
        self._all[number] = trial
        self._note(trial)

    @overload
    def __getitem__(self, number: int) -> TrialRecord: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[TrialRecord]: ...
    def __getitem__(self, number: int | slice) -> TrialRecord | Sequence[TrialRecord]:
        return self._all[number]

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[TrialRecord]:
        return iter(self._all)

    @property
    def open(self) -> list[TrialRecord]:
        """The running ones, oldest first."""
        return [self._all[number] for number in sorted(self._open)]

    @property
    def best(self) -> TrialRecord | None:
        """The complete trial with the best mean over its folds; None before the first."""
        return self._best

    @property
    def broken_in_a_row(self) -> int:
        """How many of the latest closed trials failed, one after another, with a cause in `SETUP_FAILURES`."""
        return self._failed_in_a_row(SETUP_FAILURES)

    def alike_in_a_row(self, cause: str) -> int:
        """How many of the latest closed trials failed, one after another, with this cause."""
        return self._failed_in_a_row({cause})

    def _failed_in_a_row(self, causes: Collection[str]) -> int:
        closed = (trial for trial in reversed(self._all) if trial.number not in self._open)
        failed = (trial.state == TrialState.FAILED and trial.cause in causes for trial in closed)
        return sum(1 for _ in itertools.takewhile(bool, failed))

    def has(self, params: Mapping[str, Value]) -> bool:
        """Whether a trial has these parameters."""
        return _key(params) in self._points

    def _note(self, trial: TrialRecord) -> None:
        if trial.state == TrialState.RUNNING:
            self._open[trial.number] = None
            return
        self._open.pop(trial.number, None)
        if trial.state == TrialState.COMPLETE:
            self._best = best([*([self._best] if self._best else []), trial], self._metric)


def _key(params: Mapping[str, Value]) -> Hashable:
    """Equal for equal points, regardless of the order of their parameters."""
    return frozenset(params.items())
