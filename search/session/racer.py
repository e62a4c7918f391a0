"""The state of the race: what the loop must remember of stored results to decide on the next one.

The state follows from stored results only, so a session that was killed decides the same as one that was not: a trial
is compared with the trials that were closed when its fold was committed. With one worker these are the trials with a
lower number. The state has the contributions of the incumbent and of open trials, and a few numbers per first fold.
"""

from __future__ import annotations

from bisect import insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.stats import racing
from search.stats.contributions import Contributions, class_weights
from search.stats.metrics import METRICS
from search.stats.racing import RaceEntry, Schedule
from search.stats.ranking import best
from storage import Store
from storage.records import FoldRecord, Origin, Params, TrialRecord, TrialState

FIRST = 0  # the fold within which epochs are compared


@dataclass(frozen=True)
class RaceTerms:
    """How a study races."""

    rule: str  # one of `racing.RULES`
    labels: NDArray[np.int16]  # [images]
    schedule: Callable[[Params], Schedule | None]
    """The schedule of a point's fold runs; None for a point without epochs."""
    spared: tuple[Params, ...] = ()
    """Points that get all folds however they do: the probes of pre-trained networks, which are compared."""


class Racer:
    """Decides which trials are pruned, from all folds and closed trials reported to it."""

    def __init__(self, terms: RaceTerms, metric: str, assignment: NDArray[np.int16]) -> None:
        """`assignment` is [images]: the fold that validates the image, -1 for none."""
        self._terms, self._metric, self._assignment = terms, metric, assignment
        self._weights = class_weights(terms.labels[assignment >= 0])
        self._incumbent: TrialRecord | None = None
        # trial -> fold -> contribution of each image, of the incumbent and of open trials
        self._contributions: dict[int, dict[int, Contributions]] = {}
        self._curves: dict[int, Sequence[float]] = {}  # of open trials: the metric by epoch of the first fold
        # Of the first folds of closed trials, ascending: sorting all of them for each new trial is slow.
        self._reached: dict[Schedule, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))

    def load(self, store: Store, trials: Sequence[TrialRecord]) -> None:
        """Load stored results."""
        self._incumbent = best(trials, self._metric)
        leader = None if self._incumbent is None else self._incumbent.number
        for trial in trials:
            if trial.number == leader or trial.state == TrialState.RUNNING:
                for fold, probabilities in store.probabilities(trial.number).items():
                    self._note_probabilities(trial.number, fold, probabilities)
        self._curves = dict(store.curves(FIRST, self._curve))
        for trial in trials:
            if trial.state != TrialState.RUNNING:
                for values, value in self._first_fold(trial):
                    values.append(value)
        for by_rung in self._reached.values():
            for values in by_rung.values():
                values.sort()

    def thresholds(self, trial: TrialRecord, fold: int) -> dict[int, float]:
        """Epoch -> metric that this fold run must have reached by then to continue; empty without such a rule."""
        schedule = self._terms.schedule(trial.params)
        if fold != FIRST or schedule is None or not self._races(trial):
            return {}
        return racing.thresholds(self._metric, self._reached.get(schedule, {}))

    def note(self, fold: FoldRecord) -> None:
        """Add a trained fold. Must be called before `behind` and `closed`."""
        assert fold.probabilities is not None  # noqa: S101 - it has just been trained
        self._note_probabilities(fold.trial, fold.fold, fold.probabilities)
        if fold.fold == FIRST and self._curve in fold.curve:
            self._curves[fold.trial] = fold.curve[self._curve]

    def behind(self, trial: TrialRecord, fold: FoldRecord) -> str | None:
        """Why `trial`, after its new `fold`, is pruned; None if it continues."""
        incumbent = self._incumbent
        if incumbent is None or not self._races(trial):
            return None
        entry = self._entry(trial.number, (*trial.folds, fold))
        leader = self._entry(incumbent.number, [f for f in incumbent.folds if f.repeat == 0])
        return racing.behind(self._terms.rule, self._metric, entry, leader, self._weights)

    def closed(self, trial: TrialRecord) -> None:
        """Add a trial that has ended."""
        for values, value in self._first_fold(trial):
            insort(values, value)
        before = self._incumbent
        self._incumbent = best([t for t in (before, trial) if t is not None], self._metric)
        for closed in (before, trial):
            if closed is not None and closed is not self._incumbent:
                self._contributions.pop(closed.number, None)

    def _races(self, trial: TrialRecord) -> bool:
        return races(trial) and dict(trial.params) not in self._terms.spared

    def _entry(self, number: int, folds: Iterable[FoldRecord]) -> RaceEntry:
        scores = {fold.fold: fold.scores[self._metric] for fold in folds}
        return RaceEntry(number, self._contributions[number], scores)

    @property
    def _curve(self) -> str:
        return f"val_{self._metric}"

    def _note_probabilities(self, number: int, fold: int, probabilities: NDArray[np.float32]) -> None:
        labels = self._terms.labels[self._assignment == fold]
        self._contributions.setdefault(number, {})[fold] = METRICS[self._metric].contributions(
            labels, probabilities, self._weights
        )

    def _first_fold(self, trial: TrialRecord) -> Iterator[tuple[list[float], float]]:
        """The best metric of a closed trial at each rung of its first fold, with what others reached there."""
        values, schedule = self._curves.pop(trial.number, ()), self._terms.schedule(trial.params)
        if schedule is not None and values and trial.state in (TrialState.COMPLETE, TrialState.PRUNED):
            cut = trial.cause == racing.BEHIND_EARLY or (trial.collapsed and _stopped_in(trial, FIRST))
            for rung, best_so_far in racing.best_at_rungs(self._metric, values, schedule, cut=cut).items():
                yield self._reached[schedule][rung], best_so_far


def _stopped_in(trial: TrialRecord, fold: int) -> bool:
    """Whether this fold of a collapsed trial was stopped, so that its later epochs are unknown."""
    return any(f.fold == fold and f.repeat == 0 and f.diagnosis and f.diagnosis.collapsed for f in trial.folds)


def races(trial: TrialRecord) -> bool:
    """Whether a trial can be pruned: the baseline, which all others are compared with, is trained on all folds."""
    return trial.number != 0 and trial.origin != Origin.BASELINE
