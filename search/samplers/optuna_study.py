"""Stored trials as an Optuna study in memory: for its samplers, its plots and its importances.

Our tables are the truth; such a study is made of them whenever one is needed and never written anywhere.
"""

from __future__ import annotations

from collections.abc import Iterable

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, create_trial
from optuna.trial import TrialState as OptunaState

from search.stats.metrics import METRICS
from search.stats.ranking import second_value, told_score
from spaces import Choice, Parameter, Space
from storage.records import TrialRecord, TrialState

optuna.logging.set_verbosity(optuna.logging.ERROR)  # its advice is for who calls it, not for who runs a search


def distribution(parameter: Parameter) -> BaseDistribution:
    """The same range in Optuna's words."""
    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.values)
    if parameter.integer:
        step = int(parameter.spacing or 1)
        high = int(parameter.low) + (int(parameter.high) - int(parameter.low)) // step * step
        return IntDistribution(int(parameter.low), high, log=parameter.log, step=step)
    return FloatDistribution(parameter.low, parameter.high, log=parameter.log, step=parameter.spacing)


def to_frozen_trial(space: Space, trial: TrialRecord, metric: str, second: str | None = None) -> FrozenTrial:
    """One stored trial as Optuna's.

    A complete trial has its score, and one that was stuck at chance has its worst fold's, as if it were complete: a bad
    value that all samplers learn from. A pruned one has its running mean over the folds it has. A failed one is told
    as pruned without a value, which TPE ranks last: samplers ignore failures and would return there (optuna
    issues 566, 2864, 3472). With a `second` objective, its value stands beside the score; Optuna has no running mean
    for two, so a pruned trial is told without a value.
    """
    score = told_score(trial, metric)
    values = [score] if second is None else [score, second_value(trial, second)]
    known = [value for value in values if value is not None and value == value]  # noqa: PLR0124 - NaN
    whole = trial.state == TrialState.COMPLETE or trial.collapsed
    if whole and len(known) == len(values):
        state = OptunaState.COMPLETE
    else:
        state = OptunaState.RUNNING if trial.state == TrialState.RUNNING else OptunaState.PRUNED
    early = not whole and trial.state in (TrialState.PRUNED, TrialState.FAILED) and second is None
    return create_trial(
        state=state,
        values=known if state == OptunaState.COMPLETE else None,
        params=dict(trial.params),
        distributions={name: distribution(space.by_name[name]) for name in trial.params},
        intermediate_values={len(trial.scores(metric)): score} if early and score is not None else {},
    )


def rebuild(
    space: Space,
    trials: Iterable[TrialRecord],
    metric: str,
    sampler: optuna.samplers.BaseSampler | None = None,
) -> optuna.Study:
    """An in-memory study that holds `trials` in their order."""
    study = optuna.create_study(direction=METRICS[metric].direction, sampler=sampler)
    study.add_trials([to_frozen_trial(space, trial, metric) for trial in trials])
    return study
