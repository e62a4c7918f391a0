"""Stored trials as an Optuna study in memory, for its samplers and importances.

The database holds the truth. Such a study is made from it when needed, and never written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from search.stats.metrics import METRICS
from search.stats.ranking import score_for_sampler, second_value
from spaces import Choice, Parameter, Space
from storage.records import TrialRecord, TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)  # its warnings are for callers of its API, not for users of a search


def distribution(parameter: Parameter) -> BaseDistribution:
    """The same range as an Optuna distribution."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.values)
    if parameter.integer:
        step = int(parameter.spacing or 1)
        high = int(parameter.low) + (int(parameter.high) - int(parameter.low)) // step * step
        return IntDistribution(int(parameter.low), high, log=parameter.log, step=step)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.spacing)


def distributions(space: Space) -> dict[str, BaseDistribution]:
    """That of each parameter, by name. Optuna compares those of trials often: fast if trials share them."""
    return {parameter.name: distribution(parameter) for parameter in space.parameters}


def to_frozen_trial(
    ranges: Mapping[str, BaseDistribution], trial: TrialRecord, metric: str, second: str | None = None
) -> FrozenTrial:
    """A stored trial as Optuna's; `ranges`: the `distributions` of its space.

    A complete trial has its score. One that was stuck at chance counts as complete with the score of its worst fold,
    so that all samplers learn a bad value. A pruned trial has the mean of its folds. A failed one is passed on as
    pruned without a value, which TPE ranks last: samplers ignore failures and would propose the same region again
    (optuna issues 566, 2864, 3472). With a `second` objective there are two values. Optuna has no intermediate value
    for two objectives, so a pruned trial then has no value.
    """
    score = score_for_sampler(trial, metric)
    values = [score] if second is None else [score, second_value(trial, second)]
    known = [value for value in values if value is not None and value == value]  # noqa: PLR0124 - NaN
    scored = trial.state == TrialState.COMPLETE or trial.collapsed
    if scored and len(known) == len(values):
        state = OptunaState.COMPLETE
    else:
        state = OptunaState.RUNNING if trial.state == TrialState.RUNNING else OptunaState.PRUNED
    intermediate = not scored and trial.state in (TrialState.PRUNED, TrialState.FAILED) and second is None
    return create_trial(
        state=state,
        values=known if state == OptunaState.COMPLETE else None,
        params=dict(trial.params),
        distributions={name: ranges[name] for name in trial.params},
        intermediate_values={len(trial.scores(metric)): score} if intermediate and score is not None else {},
    )


class LentTrial(FrozenTrial):
    """A closed trial that studies in memory share, one after another: Optuna would copy it deeply for each of them.

    A study changes only its number and id.
    """

    @classmethod
    def of(cls, trial: FrozenTrial) -> LentTrial:
        """The same values."""
        lent = cls.__new__(cls)
        vars(lent).update(vars(trial))
        return lent

    def __deepcopy__(self, memo: dict[int, object]) -> LentTrial:
        return self


def rebuild(
    space: Space,
    trials: Iterable[TrialRecord],
    metric: str,
    sampler: optuna.samplers.BaseSampler | None = None,
) -> optuna.Study:
    """An in-memory study with `trials`, in their order."""
    study = optuna.create_study(direction=METRICS[metric].direction, sampler=sampler)
    ranges = distributions(space)
    study.add_trials([LentTrial.of(to_frozen_trial(ranges, trial, metric)) for trial in trials])
    return study
