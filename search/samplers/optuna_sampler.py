"""Optuna's samplers with ask and tell, rebuilt from stored trials.

A new sampler restarts its random state (optuna issues 3255, 3992). So every ask makes a new one, seeded from the
study's seed and the trial's number: thirty trials in one go equal twelve, a kill, and eighteen more.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import optuna
from optuna.trial import FrozenTrial, Trial
from optuna.trial import TrialState as OptunaState

from search.samplers.catalog import check_sampler, row_of
from search.samplers.memory import cut_before, learned_from
from search.samplers.optuna_builders import fresh_sampler
from search.samplers.optuna_study import LentTrial, distributions, to_frozen_trial
from search.seeds import derive
from search.stats.metrics import METRICS
from spaces import Parameter, Space, Value
from storage.records import TrialRecord, TrialState

REFUSALS_BEFORE_RANDOM = 10  # after so many refused points of one trial, the next points are random


class OptunaSampler:
    """Optuna's samplers on a study in memory."""

    def __init__(self, space: Space, metric: str, sampler: str, seed: int, second: str | None = None) -> None:
        check_sampler(sampler)
        self._space, self._metric, self._row, self._seed = space, metric, row_of("optuna", sampler), seed
        self._distributions = distributions(space)
        self._second = second
        self._known: list[TrialRecord] = []  # closed trials that are in the study
        self._lent: dict[int, LentTrial] = {}  # the same, by number, as of the last rebuilding
        self._cut = 0  # the number of the trial before which trials were last dropped
        self._study = self._new_study()
        self._asked: dict[int, Trial] = {}  # open trials that are in the study
        self._open: dict[int, dict[str, Value]] = {}  # and their points, also of those that are not
        self._refused: dict[int, int] = {}

    def replay(self, trials: Sequence[TrialRecord]) -> None:
        """See Sampler. Open trials become open trials of the study in memory, so that `tell` can close them later."""
        if self._row.keeps_state:
            self._ask_again(trials)
            return
        self._refused = {trial.number: trial.redraws for trial in trials}
        self._cut = cut_before(trials[-1].number) if trials else 0
        closed = [trial for trial in trials if trial.state != TrialState.RUNNING]
        old = [trial for trial in closed if trial.number < self._cut]
        self._known = [*learned_from(old, self._metric, self._second), *closed[len(old) :]]
        self._rebuild({t.number: dict(t.params) for t in trials if t.state == TrialState.RUNNING})

    def _ask_again(self, trials: Sequence[TrialRecord]) -> None:
        for trial in trials:
            for _ in range(trial.redraws):
                self.ask(trial.number)
                self.refuse(trial.number)
            self.ask(trial.number, dict(trial.params))
            if trial.state != TrialState.RUNNING:
                self.tell(trial)

    def _new_study(self) -> optuna.Study:
        direction = METRICS[self._metric].direction
        return optuna.create_study(directions=[direction] if self._second is None else [direction, "minimize"])

    def _rebuild(self, still_open: dict[int, dict[str, Value]]) -> None:
        """Make a new study of the known trials. Open points (by number) are asked for again if the sampler sees them.

        Else `tell` adds them: asking again for a thousand takes seconds.
        """
        self._study, self._asked, self._open = self._new_study(), {}, still_open
        lent = self._lent
        self._lent = {t.number: lent.get(t.number) or LentTrial.of(self._frozen(t)) for t in self._known}
        for trial in self._lent.values():
            self._study.add_trial(trial)
        if self._row.sees_open:
            for number, params in {**still_open}.items():
                self.ask(number, params)

    def _forget(self, number: int) -> None:
        """Drop trials that are no longer learned from. When and which follows from numbers and stored trials alone,
        so that a replayed study drops the same trials as one that was not replayed.
        """
        if cut_before(number) <= self._cut or self._row.keeps_state:
            return
        self._cut = cut_before(number)
        kept = learned_from(self._known, self._metric, self._second)
        if len(kept) < len(self._known):
            self._known = kept
            self._rebuild(self._open)

    def ask(self, number: int, fixed: dict[str, Value] | None = None) -> dict[str, Value]:
        """See Sampler."""
        self._forget(number)
        attempt = self._refused.get(number, 0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            # A sampler does not learn from refusals and may propose the same region again; then draw at random.
            name = self._row.name if attempt < REFUSALS_BEFORE_RANDOM else "random"
            self._study.sampler = fresh_sampler(name, derive(self._seed, "ask", number, attempt), self._seed)
            if fixed is not None:
                self._study.enqueue_trial(fixed)
            trial = self._study.ask()
            _ = trial.relative_params  # lazy: without this a fixed point would not advance the sampler's state
            self._asked[number] = trial
            if self._row.draws_inactive:
                for parameter in self._space.parameters:
                    self._suggest(trial, parameter)
            self._open[number] = self._space.resolve(lambda parameter: self._suggest(trial, parameter))
            return dict(self._open[number])

    def refuse(self, number: int) -> None:
        """See Sampler."""
        self._open.pop(number)
        if number in self._asked:
            self._study.tell(self._asked.pop(number), state=OptunaState.FAIL)
        self._refused[number] = self._refused.get(number, 0) + 1

    def tell(self, trial: TrialRecord) -> None:
        """See Sampler."""
        self._open.pop(trial.number)
        frozen = self._frozen(trial)
        if asked := self._asked.pop(trial.number, None):
            for step, value in frozen.intermediate_values.items():
                asked.report(value, step)
            self._study.tell(asked, frozen.values if frozen.state == OptunaState.COMPLETE else None, frozen.state)
        else:
            self._study.add_trial(frozen)
        self._known.append(trial)

    def _frozen(self, trial: TrialRecord) -> FrozenTrial:
        return to_frozen_trial(self._distributions, trial, self._metric, self._second)

    def _suggest(self, trial: Trial, parameter: Parameter) -> Value:
        value: Value = trial._suggest(parameter.name, self._distributions[parameter.name])
        return value
