"""The trials of a study during a search, with cached answers to what the loop asks after every event.

A loop that goes through all trials after every event is slow with thousands of trials.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence, Set
from typing import overload

from search.jobs import FailureCause
from search.stats.ranking import best
from spaces import Value
from storage.records import Origin, TrialRecord, TrialState

SETUP_FAILURES = {FailureCause.ERROR, FailureCause.MODEL, FailureCause.WORKER_DIED, FailureCause.HUNG}
"""Rather caused by the setup than by a point."""
MAX_FAILURES_IN_A_ROW = 5  # with causes in `SETUP_FAILURES`; a resumed search may have as many again
MAX_ALIKE_IN_A_ROW = 10  # failures with one cause, whichever; likewise


class Trials(Sequence[TrialRecord]):
    """All trials in order of number, from 0. Trials can be appended, and replaced by their new state."""

    def __init__(self, metric: str, trials: Iterable[TrialRecord] = ()) -> None:
        self._metric = metric
        self._all: list[TrialRecord] = []
        self._open: dict[int, None] = {}
        self._open_by_plan: set[int] = set()  # of these, those that the sampler did not ask for
        self._points: set[Hashable] = set()
        self._best: TrialRecord | None = None
        self._folds, self._folds_of_closed = 0, 0
        for trial in trials:
            self.append(trial)

    def append(self, trial: TrialRecord) -> None:
        """Add the next trial."""
        self._all.append(trial)
        self._points.add(_key(trial.params))
        self._folds += len(trial.folds)
        self._note(trial)

    def __setitem__(self, number: int, trial: TrialRecord) -> None:
        if number not in self._open:
            self._folds_of_closed -= len(self._all[number].folds)
        self._folds += len(trial.folds) - len(self._all[number].folds)
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

    def open_and_free(self, busy: Set[int]) -> list[TrialRecord]:
        """The same without those of the sampler among `busy`. With a thousand slots nearly all of its trials are."""
        return [self._all[number] for number in sorted((self._open.keys() - busy) | self._open_by_plan)]

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
        """Without failed trials with half the batch: they follow from one failure, and are no further one."""
        counted = (trial for trial in reversed(self._all) if not _failed_again(trial))
        closed = (trial for trial in counted if trial.number not in self._open)
        failed = (trial.state == TrialState.FAILED and trial.cause in causes for trial in closed)
        return sum(1 for _ in itertools.takewhile(bool, failed))

    def folds_left(self, trials: int, folds: int, *, racing: bool) -> float:
        """Fold runs until so many trials are closed: `folds` each, or if they race as many as the closed ones had."""
        closed = len(self) - len(self._open)
        each = self._folds_of_closed / closed if racing and closed else folds
        return max(0, (trials - closed) * each - (self._folds - self._folds_of_closed))

    def has(self, params: Mapping[str, Value]) -> bool:
        """Whether a trial has these parameters."""
        return _key(params) in self._points

    def _note(self, trial: TrialRecord) -> None:
        if trial.state == TrialState.RUNNING:
            self._open[trial.number] = None
            if trial.origin != Origin.SAMPLER:
                self._open_by_plan.add(trial.number)
            return
        self._open.pop(trial.number, None)
        self._open_by_plan.discard(trial.number)
        self._folds_of_closed += len(trial.folds)
        if trial.state == TrialState.COMPLETE:
            self._best = best([*([self._best] if self._best else []), trial], self._metric)


def too_many_failures(trials: Trials, latest: TrialRecord) -> str | None:
    """Why a search ends after the `latest` failed trial, which is among the trials; None if it goes on."""
    if _failed_again(latest):
        return None
    broken, alike = trials.broken_in_a_row, trials.alike_in_a_row(str(latest.cause))
    if broken and broken % MAX_FAILURES_IN_A_ROW == 0:  # 0: a later trial ended otherwise before
        return (
            f"{broken} trials in a row failed, the last with: {latest.detail}. "
            "Something is wrong with the set-up rather than the points; the search ends here."
        )
    if alike and alike % MAX_ALIKE_IN_A_ROW == 0:
        return (
            f"{alike} trials in a row failed with one cause, {latest.cause}: "
            f"{latest.detail}. Narrow the space in study.toml, or correct the cause; the search ends here."
        )
    return None


def _failed_again(trial: TrialRecord) -> bool:
    """Whether it is one with half the batch of a failed one, and failed too."""
    return trial.origin == Origin.SMALLER and trial.state == TrialState.FAILED


def _key(params: Mapping[str, Value]) -> Hashable:
    """Equal for equal points, regardless of the order of their parameters."""
    return frozenset(params.items())
