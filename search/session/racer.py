"""The books of the race: what the loop must remember of stored results to decide on the next one.

All of it follows from what is stored, so a session that was killed and one that was not decide alike: a trial is
compared with the trials that were closed when its fold was committed, and with one worker these are those with a lower
number. Kept are the answers of the incumbent and of open trials, and a few numbers of every first fold.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.stats import racing
from search.stats.contributions import Contributions, class_weights
from search.stats.metrics import METRICS
from search.stats.racing import RaceEntry, Schedule
from search.stats.ranking import best
from storage import Store
from storage.records import FoldRecord, Params, TrialRecord, TrialState

FIRST = 0  # the fold within which epochs are compared


@dataclass(frozen=True)
class RaceTerms:
    """How a study races."""

    rule: str  # one of `racing.RULES`
    labels: NDArray[np.int16]  # [images]
    schedule: Callable[[Params], Schedule | None]
    """How long a point's fold runs last; None where that is no matter of epochs."""


class Racer:
    """Told of every fold and every closed trial, it says which trials are given up."""

    def __init__(self, terms: RaceTerms, metric: str, assignment: NDArray[np.int16]) -> None:
        """`assignment` is [images]: the fold that validates the image, -1 for none."""
        self._terms, self._metric, self._assignment = terms, metric, assignment
        self._weights = class_weights(terms.labels[assignment >= 0])
        self._incumbent: TrialRecord | None = None
        self._worth: dict[int, dict[int, Contributions]] = {}  # trial -> fold, of the incumbent and of open trials
        self._curves: dict[int, Sequence[float]] = {}  # of open trials: the metric by epoch of the first fold
        self._starts: dict[
            Schedule, list[Mapping[int, float]]
        ] = {}  # of closed trials: what `racing.best_at_rungs` says

    def load(self, store: Store, trials: Sequence[TrialRecord]) -> None:
        """Take over what is stored."""
        self._incumbent = best(trials, self._metric)
        lead = None if self._incumbent is None else self._incumbent.number
        for trial in trials:
            if trial.number == lead or trial.state == TrialState.RUNNING:
                for fold, probabilities in store.probabilities(trial.number).items():
                    self._judge(trial.number, fold, probabilities)
        self._curves = dict(store.curves(FIRST, self._curve))
        for trial in trials:
            if trial.state != TrialState.RUNNING:
                self._start(trial)

    def thresholds(self, trial: TrialRecord, fold: int) -> dict[int, float]:
        """What this fold run must have reached by which epoch to go on; empty where that does not matter."""
        schedule = self._terms.schedule(trial.params)
        if fold != FIRST or schedule is None or not races(trial):
            return {}
        return racing.thresholds(self._metric, schedule, self._starts.get(schedule, ()))

    def note(self, fold: FoldRecord) -> None:
        """A fold has been trained; before `behind` and `closed` are asked."""
        assert fold.probabilities is not None  # noqa: S101 - it has just been trained
        self._judge(fold.trial, fold.fold, fold.probabilities)
        if fold.fold == FIRST and self._curve in fold.curve:
            self._curves[fold.trial] = fold.curve[self._curve]

    def behind(self, trial: TrialRecord, fold: FoldRecord) -> str | None:
        """Why `trial`, which just got `fold` and lacks others, is given up; None where it goes on."""
        incumbent = self._incumbent
        if incumbent is None or not races(trial):
            return None
        scores = {f.fold: f.scores[self._metric] for f in (*trial.folds, fold)}
        theirs = {f.fold: f.scores[self._metric] for f in incumbent.folds if f.repeat == 0}
        mine = RaceEntry(trial.number, self._worth[trial.number], scores)
        lead = RaceEntry(incumbent.number, self._worth[incumbent.number], theirs)
        return racing.behind(self._terms.rule, self._metric, mine, lead, self._weights)

    def closed(self, trial: TrialRecord) -> None:
        """A trial has ended."""
        self._start(trial)
        before = self._incumbent
        self._incumbent = best([t for t in (before, trial) if t is not None], self._metric)
        for gone in (before, trial):
            if gone is not None and gone is not self._incumbent:
                self._worth.pop(gone.number, None)

    @property
    def _curve(self) -> str:
        return f"val_{self._metric}"

    def _judge(self, number: int, fold: int, probabilities: NDArray[np.float32]) -> None:
        labels = self._terms.labels[self._assignment == fold]
        self._worth.setdefault(number, {})[fold] = METRICS[self._metric].contributions(
            labels, probabilities, self._weights
        )

    def _start(self, trial: TrialRecord) -> None:
        values, schedule = self._curves.pop(trial.number, ()), self._terms.schedule(trial.params)
        if schedule is not None and values and trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            cut = trial.cause == racing.BEHIND_EARLY or (trial.collapsed and _stopped_in(trial, FIRST))
            found = racing.best_at_rungs(self._metric, values, schedule, cut=cut)
            self._starts.setdefault(schedule, []).append(found)


def _stopped_in(trial: TrialRecord, fold: int) -> bool:
    """Whether this fold of a collapsed trial is the one that was stopped: what it had come to reach is not known."""
    return any(f.fold == fold and f.repeat == 0 and f.diagnosis and f.diagnosis.collapsed for f in trial.folds)


def races(trial: TrialRecord) -> bool:
    """Whether a trial can be given up: what all others are compared with is always judged on all folds."""
    return trial.number != 0 and trial.origin != "baseline"
