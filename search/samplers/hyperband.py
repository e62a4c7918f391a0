"""`hyperband`: many points with few epochs, and the best of them again with three times as many.

(Li et al. 2018, Hyperband, arXiv 1603.06560.) Points are drawn by Keras Tuner's random oracle. The brackets have the
sizes and epochs of its Hyperband, which a test compares. The bracket of each point follows from the order of the
stored points. Every rung is trained from the start: no weights are kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from search.samplers.base import Exhausted
from search.samplers.keras_tuner_sampler import KerasTunerSampler, score_of
from search.seeds import derive
from search.stats.metrics import METRICS
from spaces import Number, Space, Value
from storage.records import Origin, TrialRecord

EPOCHS = "epochs"  # the parameter of the space that a rung sets: the most epochs of a fold run

FACTOR = 3  # each rung has FACTOR times the epochs, for the best 1 / FACTOR of the points


@dataclass(frozen=True)
class Brackets:
    """The sizes and epochs of brackets: bracket s has s + 1 rungs, and bracket 0 is plain random search.

    All brackets take about as many epochs in total. Their order is from the most rungs down to 0, and then again.
    """

    max_epochs: int
    factor: int = FACTOR

    @property
    def count(self) -> int:
        """The number of brackets before they repeat."""
        count, epochs = 0, float(self.max_epochs)
        while epochs >= 1:
            count, epochs = count + 1, epochs / self.factor
        return count

    def size(self, bracket: int, rung: int) -> int:
        """The number of points in a rung."""
        of_last = math.ceil(1 + math.log(self.max_epochs, self.factor)) / (bracket + 1)
        return math.ceil(of_last * float(self.factor) ** (bracket - rung))

    def epochs(self, bracket: int, rung: int) -> int:
        """The epochs for which each of its points is trained."""
        return math.ceil(self.max_epochs / float(self.factor) ** (bracket - rung))

    def after(self, bracket: int) -> int:
        """The number of the next bracket."""
        return bracket - 1 if bracket else self.count - 1


class _Bracket:
    """A bracket that has begun: for each rung the numbers of its trials, and of the trials promoted to it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.rungs: list[list[int]] = [[] for _ in range(number + 1)]
        self.promoted: list[list[int]] = [[] for _ in range(number + 1)]  # the same, by number in the rung below

    def place(self, rung: int, trial: int, promoted: int | None = None) -> None:
        self.rungs[rung].append(trial)
        if promoted is not None:
            self.promoted[rung].append(promoted)

    def not_promoted(self, rung: int) -> list[int]:
        """Trials of the rung below that were not promoted to this one."""
        return [trial for trial in self.rungs[rung - 1] if trial not in self.promoted[rung]]


class HyperbandSampler(KerasTunerSampler):
    """Successive halving, one bracket after another, until the study's budget is used up.

    The space must have the integer `EPOCHS`, whose upper end is Hyperband's max_epochs. Points that this sampler did
    not draw (the baseline, known-good points, `[[try]]`) are in no bracket.
    """

    def __init__(self, space: Space, metric: str, sampler: str, seed: int) -> None:
        super().__init__(space, metric, sampler, seed)
        epochs = space.by_name[EPOCHS]
        assert isinstance(epochs, Number)  # noqa: S101 - it is ours, see search/session/prepare.py
        self._plan = Brackets(int(epochs.high))
        self._axes.pop(EPOCHS, None)
        self._drawn: dict[int, Mapping[str, Value]] = {}  # by number of trial
        self._begun = [_Bracket(self._plan.count - 1)]  # those with a rung to fill, except perhaps for the latest point
        self._latest = self._plan.count - 1
        self._placed = 0  # drawn points that are in brackets

    def replay(self, trials: Sequence[TrialRecord]) -> None:
        """See Sampler."""
        super().replay(trials)
        self._drawn = {trial.number: trial.params for trial in trials if trial.origin == Origin.SAMPLER}

    def ask(self, number: int, fixed: dict[str, Value] | None = None) -> dict[str, Value]:
        """See Sampler."""
        point = super().ask(number, fixed)
        if fixed is None:
            self._drawn[number] = point
        return point

    def refuse(self, number: int) -> None:
        """See Sampler."""
        super().refuse(number)
        self._drawn.pop(number, None)

    def _draw(self, number: int) -> dict[str, Value]:
        for drawn in list(self._drawn)[self._placed :]:  # without the point that can still be refused
            self._place(drawn)
            self._placed += 1
        scores, refused = self._scores(), [_without_epochs(point) for point in self._refused.get(number, ())]
        for bracket in self._incomplete():
            if len(bracket.rungs[0]) < self._plan.size(bracket.number, 0):
                return self._new(number, self._plan.epochs(bracket.number, 0))
            for rung in range(1, len(bracket.rungs)):
                best = self._best_to_promote(bracket, rung, scores, refused)
                if best is not None:
                    return self._promoted(self._drawn[best], self._plan.epochs(bracket.number, rung))
        return self._new(number, self._plan.epochs(self._plan.after(self._latest), 0))

    def _new(self, number: int, epochs: int) -> dict[str, Value]:
        """A random point."""
        seed = derive(self._seed, "ask", number, len(self._refused.get(number, ())))
        values = self._oracle("RandomSearchOracle", seed, max_trials=None).populate_space(str(number))["values"]
        if not values:
            raise Exhausted("nothing is left to choose: every parameter is fixed")

        def choose(name: str) -> Value:
            if name == EPOCHS:
                return epochs
            return self._axes[name].decode(values[name]) if name in self._axes else self._space.by_name[name].default

        return self._space.resolve(lambda p: choose(p.name))

    def _promoted(self, point: Mapping[str, Value], epochs: int) -> dict[str, Value]:
        """The same point with more epochs. A parameter that becomes active with them has its default."""
        return self._space.resolve(lambda p: epochs if p.name == EPOCHS else point.get(p.name, p.default))

    def _best_to_promote(
        self, bracket: _Bracket, rung: int, scores: Mapping[int, float], refused: Sequence[Mapping[str, Value]]
    ) -> int | None:
        """The trial to promote to a rung; None while too few trials of the rung below are closed.

        A trial whose next rung was just refused does not count in this ask.
        """
        ready = [
            trial
            for trial in bracket.not_promoted(rung)
            if trial in scores and _without_epochs(self._drawn[trial]) not in refused
        ]
        stay = self._plan.size(bracket.number, rung - 1) - self._plan.size(bracket.number, rung)
        if len(ready) <= stay:
            return None
        return max(ready, key=lambda trial: METRICS[self._metric].gain(scores[trial]))

    def _scores(self) -> dict[int, float]:
        """The scores of the closed trials in brackets. A failed trial has the worst of them: without a score, one
        trial fewer could be promoted from its rung.
        """
        trials = [trial for bracket in self._begun for rung in bracket.rungs for trial in rung]
        scores = {trial: score_of(self._closed[trial], self._metric) for trial in trials if trial in self._closed}
        known = [score for score in scores.values() if score is not None]
        worst = METRICS[self._metric].worst(known) if known else 0.0
        return {trial: worst if score is None else score for trial, score in scores.items()}

    def _incomplete(self) -> list[_Bracket]:
        return [b for b in self._begun if len(b.rungs[-1]) < self._plan.size(b.number, len(b.rungs) - 1)]

    def _place(self, number: int) -> None:
        """Add a point to its rung: the next rung of an equal point with fewer epochs, else the first rung of the last
        bracket, or of a new bracket if that one is full.
        """
        point = self._drawn[number]
        self._begun = self._incomplete()
        for bracket in self._begun:
            for rung in range(1, len(bracket.rungs)):
                full = len(bracket.rungs[rung]) == self._plan.size(bracket.number, rung)
                if full or point[EPOCHS] != self._plan.epochs(bracket.number, rung):
                    continue
                for below in bracket.not_promoted(rung):
                    if _without_epochs(self._drawn[below]) == _without_epochs(point):
                        bracket.place(rung, number, below)
                        return
        last = self._begun[-1] if self._begun else None
        if last is None or len(last.rungs[0]) == self._plan.size(last.number, 0):
            self._latest = self._plan.after(self._latest)
            last = _Bracket(self._latest)
            self._begun.append(last)
        last.place(0, number)


def _without_epochs(params: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in params.items() if name != EPOCHS}
