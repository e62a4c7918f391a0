"""The progress of a search: the state that observers receive, and how a session ended."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from search.stats.metrics import better
from spaces import Value
from storage.records import ReferenceRecord, TrialRecord, TrialState


@dataclass(frozen=True)
class Activity:
    """What a worker does now, in words."""

    what: str  # 'trial 11 (cnn), fold 4 of 5'
    how_far: str = ""  # 'epoch 12 of 40'; empty: not known
    importing: bool = False  # whether it must import TensorFlow first


@dataclass(frozen=True)
class Progress:
    """The state of a search at one moment."""

    trials: Sequence[TrialRecord]  # all so far, in order of number, with their folds; those of the running search
    metric: str
    folds: int  # per trial
    running: Collection[tuple[int, int]]  # (trial, fold) being trained now; of a search it changes with it
    best: int | None  # number of the leading complete trial
    spent_seconds: float  # in all sessions
    session_seconds: float  # in this session
    session_folds: int  # fold runs finished in this session
    trials_budget: int | None
    seconds_budget: float | None
    eta_seconds: float | None  # until the budget is used up; None while unknown
    workers: int  # number of workers
    answered: bool  # whether a worker is ready or has done a job in this session, so that TensorFlow is imported
    defaults: Mapping[str, Value] = field(default_factory=dict)  # of all parameters of the space, by name
    references: Sequence[ReferenceRecord] = ()  # one per fold, in the order in which they were computed
    doing: Sequence[Activity] = ()  # of the workers that have a job

    @property
    def folds_per_minute(self) -> float | None:
        """Fold runs per minute in this session; None before the first."""
        return 60 * self.session_folds / self.session_seconds if self.session_folds else None


def best_over_time(trials: Sequence[TrialRecord], metric: str) -> tuple[tuple[float, float], ...]:
    """(Seconds of training until then, best score so far) whenever a trial ended, from the first complete one on.

    Training times are added up, so a night without a session is no time.
    """
    seconds, best, points = 0.0, math.nan, []
    for trial in sorted(
        (t for t in trials if t.state != TrialState.RUNNING), key=lambda t: (t.finished or "", t.number)
    ):
        seconds += trial.seconds
        score = trial.score(metric) if trial.state == TrialState.COMPLETE else None
        if score is not None and math.isfinite(score) and (math.isnan(best) or better(metric, score, best)):
            best = score
        if math.isfinite(best):
            points.append((seconds, best))
    return tuple(points)


class Observer(Protocol):
    """Receives the events of a search. Called in the thread of the loop, so it must return soon."""

    def note(self, text: str) -> None:
        """A message for the user, in one line."""

    def trial_closed(self, trial: TrialRecord, progress: Progress) -> None:
        """A trial is complete, pruned or failed."""

    def update(self, progress: Progress) -> None:
        """The state now: after every event and about twice a second."""


class Watched(Protocol):
    """Told several times a second how far a step of a command is."""

    def __call__(self, what: str, done: int, total: int, /, *, at_most: bool = False) -> None:
        """`what`: the step; `done` of its `total` trainings; `at_most`: there may be fewer. `total` 0: a message."""


def unwatched(_what: str, _done: int, _total: int, /, *, at_most: bool = False) -> None:
    """`Watched` for nobody."""


class Ending(Enum):
    """Why a session ended."""

    FINISHED = "finished"
    STOPPED = "stopped"
    FAILED = "failed"
