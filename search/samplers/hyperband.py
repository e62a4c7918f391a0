"""`hyperband`, by Keras Tuner's oracle: many points with few epochs, the best of them again with three times as many.

(Li et al. 2018, Hyperband.) What the oracle keeps between asks, its brackets, follows from the stored points in their
order; so it too is made anew for every ask. Every rung is trained from the start: no weights are kept.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from search.samplers.base import Exhausted
from search.samplers.keras_tuner_sampler import KerasTunerSampler, keras_tuner, score_of
from search.seeds import derive
from search.stats.metrics import better
from spaces import Number, Space, Value
from storage.records import Origin, TrialRecord

EPOCHS = "epochs"  # the parameter of the space that a rung sets: the most epochs of a fold run

FACTOR = 3  # between rungs: so many times the epochs, for the best one in so many


class HyperbandSampler(KerasTunerSampler):
    """Successive halving, one bracket after another, for as long as the study's budget lasts.

    The space must have the integer `EPOCHS`, whose upper end is Hyperband's max_epochs. Points that were not drawn
    here (the baseline, known-good ones, the user's) are in no bracket.
    """

    def __init__(self, space: Space, metric: str, sampler: str, seed: int) -> None:
        super().__init__(space, metric, sampler, seed)
        epochs = space.by_name[EPOCHS]
        assert isinstance(epochs, Number)  # noqa: S101 - it is ours, see search/session/prepare.py
        self._settings = {"max_epochs": int(epochs.high), "factor": FACTOR, "hyperband_iterations": 0}  # 0: no end
        self._axes.pop(EPOCHS, None)
        self._drawn: dict[int, Mapping[str, Value]] = {}  # by number of trial
        self._books = self._oracle("HyperbandOracle", 0, **self._settings)  # an oracle that is never asked
        self._placed = 0  # how many of the drawn points are in its brackets

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
        for place in list(self._drawn)[self._placed :]:  # what can still be refused is not among them
            self._place(place)
            self._placed += 1
        seed = derive(self._seed, "ask", number, len(self._refused.get(number, ())))
        oracle = self._oracle("HyperbandOracle", seed, **self._settings)
        oracle._brackets = copy.deepcopy(self._books._brackets)
        oracle._current_bracket = self._books._current_bracket
        self._judge(oracle, number)
        values = oracle.populate_space(str(number)).get("values")
        if values is None:
            raise Exhausted("nothing is left to choose: every parameter is fixed")
        past = self._drawn.get(int(values.get("tuner/trial_id", -1)))

        def choose(name: str) -> Value:
            if name == EPOCHS:
                return int(values["tuner/epochs"])
            if past is not None and name in past:  # else a condition on the epochs has let it in
                return past[name]
            known = past is None and name in self._axes
            return self._axes[name].decode(values[name]) if known else self._space.by_name[name].default

        return self._space.resolve(lambda p: choose(p.name))

    def _judge(self, oracle: Any, number: int) -> None:
        """Tell the oracle how the points of its brackets did. A failed one has the worst score of them: unjudged, it
        would cost its rung a place above. One whose next rung was just refused is out for this ask.
        """
        kt = keras_tuner()
        places = [int(info["id"]) for bracket in oracle._brackets for rung in bracket["rounds"] for info in rung]
        closed = {place: score_of(self._closed[place], self._metric) for place in places if place in self._closed}
        worst: float | None = None
        for score in closed.values():
            if score is not None and (worst is None or better(self._metric, worst, score)):
                worst = score
        out = [_without_epochs(point) for point in self._refused.get(number, ())]
        for place in places:
            status = "COMPLETED" if place in closed else "RUNNING"
            if _without_epochs(self._drawn[place]) in out:
                status = "INVALID"
            trial = kt.engine.trial.Trial(kt.HyperParameters(), trial_id=str(place), status=status)
            score = closed.get(place)
            trial.score = (worst or 0.0) if score is None else score
            oracle.trials[trial.trial_id] = trial

    def _place(self, number: int) -> None:
        """Put a point where the oracle had put it: in the next rung of an equal point with fewer epochs, else at the
        bottom of the last bracket, a new one where that is full.
        """
        books, point = self._books, self._drawn[number]
        books._remove_completed_brackets()
        for bracket in books._brackets:
            which, rungs = bracket["bracket_num"], bracket["rounds"]
            for at in range(1, len(rungs)):
                if point[EPOCHS] != books._get_epochs(which, at) or len(rungs[at]) == books._get_size(which, at):
                    continue
                risen = {info["past_id"] for info in rungs[at]}
                for info in rungs[at - 1]:
                    same = _without_epochs(self._drawn[int(info["id"])]) == _without_epochs(point)
                    if same and info["id"] not in risen:
                        rungs[at].append({"past_id": info["id"], "id": str(number)})
                        return
        last = books._brackets[-1] if books._brackets else None
        if last is None or len(last["rounds"][0]) == books._get_size(last["bracket_num"], 0):
            books._increment_bracket_num()
            books._start_new_bracket()
        books._brackets[-1]["rounds"][0].append({"past_id": None, "id": str(number)})


def _without_epochs(params: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in params.items() if name != EPOCHS}
