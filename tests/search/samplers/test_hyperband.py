"""Hyperband's brackets have the sizes and epochs of Keras Tuner's, and the same points are promoted."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.samplers.hyperband import EPOCHS, Brackets
from search.samplers.keras_tuner_sampler import keras_tuner
from storage import FoldRecord, TrialRecord, TrialState
from storage.records import Origin
from tests.search.samplers.contract import HYPERBAND, METRIC, made
from tests.search.session.instant import quality


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import Keras Tuner once; it takes seconds, which must not count for one example."""
    keras_tuner()


@given(st.integers(1, 500), st.integers(2, 5))
def test_rungs_have_the_sizes_and_epochs_that_keras_tuner_has(max_epochs: int, factor: int) -> None:
    kt, ours = keras_tuner(), Brackets(max_epochs, factor)
    oracle = kt.oracles.HyperbandOracle(
        objective=kt.Objective("x", "max"), max_epochs=max_epochs, factor=factor, hyperband_iterations=0
    )
    assert ours.count == oracle._get_num_brackets()
    for bracket in range(ours.count):
        for rung in range(bracket + 1):
            assert ours.size(bracket, rung) == oracle._get_size(bracket, rung)
            assert ours.epochs(bracket, rung) == oracle._get_epochs(bracket, rung)


def test_points_in_sequence_have_the_epochs_of_keras_tuners_oracle_and_the_same_are_promoted() -> None:
    """All brackets twice, at most nine epochs; both get the same scores, and every seventh point fails."""
    kt, sampler = keras_tuner(), made(HYPERBAND)
    space = kt.HyperParameters()
    space.Float("x", 0.0, 1.0)
    oracle = kt.oracles.HyperbandOracle(
        objective=kt.Objective("x", "max"), max_epochs=9, factor=3, hyperband_iterations=0, hyperparameters=space
    )
    points: list[dict[str, object]] = []
    for number in range(60):
        params = sampler.ask(number)
        values = oracle.populate_space(str(number))["values"]
        assert params[EPOCHS] == values["tuner/epochs"]
        past = values.get("tuner/trial_id")
        same = {name: value for name, value in params.items() if name != EPOCHS}
        if past is not None:
            assert same == points[int(past)]
        points.append(dict(same))
        failed = number % 7 == 3
        score = quality(params) + 1e-3 * number
        fold = FoldRecord(number, 0, 0, 1, {METRIC: score}, 1, 1, {}, 1, 1.0)
        trial = TrialRecord(number, params, Origin.SAMPLER, state=TrialState.COMPLETE, folds=(fold,))
        sampler.tell(replace(trial, state=TrialState.FAILED, folds=()) if failed else trial)
        trial = kt.engine.trial.Trial(kt.HyperParameters(), trial_id=str(number), status="COMPLETED")
        trial.score = -1.0 if failed else score
        oracle.trials[str(number)] = trial
    assert len({point["rate"] for point in points}) > 20
