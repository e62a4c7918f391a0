"""The stored study as a study of Optuna in memory."""

from __future__ import annotations

from dataclasses import replace

import optuna
import pytest

from reports.as_json import as_json
from search.results.as_optuna import as_optuna
from storage.records import TrialState
from tests.studies import Records, example


def in_optuna(records: Records) -> optuna.Study:
    return optuna.load_study(study_name=records.study.name, storage=as_optuna(records.study, records.trials))


@pytest.mark.parametrize("metric", ["balanced_accuracy", "log_loss"])
def test_its_trials_are_those_of_the_json_report(metric: str) -> None:
    records = example(metric=metric)
    study, told = in_optuna(records), as_json(records.data())
    assert [trial.number for trial in study.trials] == [trial["number"] for trial in told["trials"]]
    assert study.metric_names == [metric]
    names = {"complete": "COMPLETE", "pruned": "PRUNED", "running": "RUNNING", "failed": "FAIL"}
    for trial, expected in zip(study.trials, told["trials"], strict=True):
        without_score = expected["state"] == "complete" and expected["score"] is None
        assert trial.state.name == ("FAIL" if without_score else names[expected["state"]])
        assert trial.params == expected["params"]
        if trial.state.name == "COMPLETE":
            assert trial.value == expected["score"]
        scores = [score for score in expected["fold_scores"] if score is not None]
        assert [value for value in trial.intermediate_values.values() if value == value] == scores  # noqa: PLR0124 - NaN
        assert trial.user_attrs.get("cause") == expected["cause"]
    assert study.best_trial.number == told["best"]["number"]


def test_times_are_those_of_the_trial() -> None:
    records = example()
    trial = replace(records.trials[1], started="2025-03-01T20:00:00+00:00", finished="2025-03-01T20:01:30+00:00")
    assert trial.state == TrialState.COMPLETE
    (frozen,) = in_optuna(replace(records, trials=(trial,))).trials
    assert frozen.duration is not None and frozen.duration.total_seconds() == 90
