"""The stored study as a study of Optuna in memory, to be looked at: values, folds, parameters and how trials ended.

Samplers are given another one (`search.samplers.optuna_study`), in which a failed trial is pruned and a collapsed one
complete. Here every trial has the state and the score that the report gives it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

import optuna
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as OptunaState

from search.samplers.optuna_study import distribution
from search.stats.metrics import METRICS
from spaces import Parameter, Space
from storage.records import StudyRecord, TrialRecord, TrialState

_STATES = {
    TrialState.RUNNING: OptunaState.RUNNING,
    TrialState.COMPLETE: OptunaState.COMPLETE,
    TrialState.PRUNED: OptunaState.PRUNED,
    TrialState.FAILED: OptunaState.FAIL,
}


def as_optuna(study: StudyRecord, trials: Iterable[TrialRecord]) -> optuna.storages.BaseStorage:
    """A storage in memory with one study. The intermediate value at step n is the score of fold n, counted from 1."""
    storage = optuna.storages.InMemoryStorage()
    made = optuna.create_study(storage=storage, study_name=study.name, direction=METRICS[study.metric].direction)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        made.set_metric_names([study.metric])
    made.set_user_attr("classes", list(study.classes))
    by_name = Space.from_json(study.space).by_name
    made.add_trials([_frozen(trial, study.metric, by_name) for trial in trials])
    return storage


def _frozen(trial: TrialRecord, metric: str, by_name: Mapping[str, Parameter]) -> FrozenTrial:
    state, score = _STATES[trial.state], trial.score(metric)
    known = score is not None and math.isfinite(score)
    if state == OptunaState.COMPLETE and not known:  # Optuna has no complete trial without a value
        state = OptunaState.FAIL
    attributes: dict[str, Any] = {
        "origin": trial.origin.value,
        "cause": trial.cause,
        "detail": trial.detail,
        "parameters of the model": trial.parameters,
        "seconds of training": trial.seconds,
        "milliseconds an image": trial.latency,
    }
    return FrozenTrial(
        number=trial.number,
        trial_id=trial.number,
        state=state,
        value=score if state == OptunaState.COMPLETE else None,
        datetime_start=_time(trial.started) or datetime.min,
        datetime_complete=None if state == OptunaState.RUNNING else _time(trial.finished) or datetime.min,
        params=dict(trial.params),
        distributions={name: distribution(by_name[name]) for name in trial.params},
        user_attrs={name: value for name, value in attributes.items() if value is not None},
        system_attrs={},
        intermediate_values={f.fold + 1: f.scores[metric] for f in trial.folds if f.repeat == 0},
    )


def _time(iso: str | None) -> datetime | None:
    """The time in UTC without a zone, as Optuna keeps it; None if it is not known."""
    return datetime.fromisoformat(iso).replace(tzinfo=None) if iso else None
