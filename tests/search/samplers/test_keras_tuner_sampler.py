"""Keras Tuner's oracles: encoding and decoding of values, and what the Gaussian process learns."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern

from search.samplers import memory
from search.samplers.keras_tuner_sampler import KerasTunerSampler, axis, fast_predict, keras_tuner
from search.samplers.memory import learned_from
from spaces import Choice, Number, Parameter, Space, Value
from spaces.parameters import real
from storage import FoldRecord, TrialRecord, TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, quality
from tests.spaces.strategies import allowed, parameters, seeds, spaces
from tests.warm import ROOT


@pytest.fixture(scope="module", autouse=True)
def _imported() -> None:
    """Import Keras Tuner once; it takes seconds, which must not count for one example."""
    keras_tuner()


# Encoding and decoding


def few(parameter: Parameter) -> list[Value]:
    """Values of a parameter: all listed ones, else the ends and values between them."""
    if isinstance(parameter, Choice):
        return list(parameter.values)
    inner = np.linspace(parameter.low, parameter.high, 40)
    return list(dict.fromkeys(parameter.nearest_value(float(value)) for value in inner))


@given(parameters())
def test_every_value_survives_encoding_even_by_way_of_the_unit_interval(parameter: Parameter) -> None:
    """The Gaussian process gets values between 0 and 1; listed values are decoded exactly."""
    one = axis(parameter)
    if one is None:
        assert len(few(parameter)) == 1
        return
    for value in few(parameter):
        back = one.decode(one.encode(value))
        assert (type(back), back) == (type(value), value)
        again = one.decode(one.entry.prob_to_value(one.entry.value_to_prob(one.encode(value))))
        if isinstance(parameter, Number) and not parameter.integer and parameter.step is None:
            assert math.isclose(float(again), float(value), rel_tol=1e-9, abs_tol=1e-9)
        else:
            assert (type(again), again) == (type(value), value)


@given(parameters(), st.floats(0, 1))
def test_every_number_from_0_to_1_decodes_to_a_value_of_the_parameter(parameter: Parameter, place: float) -> None:
    one = axis(parameter)
    if one is not None:
        for at in (0.0, place, 1.0):
            value = one.decode(one.entry.prob_to_value(at))
            parameter.check(value)
            assert allowed(parameter, value)


@given(st.sampled_from((0.05, 0.1, 0.2, 0.25)), st.integers(1, 12))
def test_no_step_is_lost(step: float, steps: int) -> None:
    """Keras Tuner computes the number of steps as 0.5 // 0.1, which is 4 for floats."""
    parameter = real("x", 0.0, round(step * steps, 9), 0.0, step=step)
    one = axis(parameter)
    assert one is not None
    drawn = {one.decode(one.entry.prob_to_value((n + 0.5) / (steps + 1))) for n in range(steps + 1)}
    assert drawn == {parameter.nearest_value(n * step) for n in range(steps + 1)}


@settings(max_examples=25, deadline=None)
@given(spaces(), st.integers(0, 99))
def test_random_points_are_of_any_space(space: Space, seed: int) -> None:
    asked = KerasTunerSampler(space, "accuracy", "random", seed)
    for number in range(3):
        space.check(asked.ask(number))


@settings(max_examples=8, deadline=None)
@given(spaces(), seeds())
def test_points_of_the_gaussian_process_are_of_any_space(space: Space, rng: np.random.Generator) -> None:
    asked = KerasTunerSampler(space, "log_loss", "bayesian", 0)
    asked.replay([complete(n, space.sample(rng), float(rng.normal()), "log_loss") for n in range(20)])
    space.check(asked.ask(20))


def complete(number: int, params: dict[str, Value], score: float, metric: str = "accuracy") -> TrialRecord:
    fold = FoldRecord(number, 0, 0, 1, {metric: score}, 1, 1, {}, 1, 1.0)
    return TrialRecord(number, params, Origin.SAMPLER, state=TrialState.COMPLETE, folds=(fold,))


# The Gaussian process

LINE = Space((real("x", 0.0, 1.0, 0.5),))
"""One parameter, so that a Gaussian process can find the best with few points."""


def asked_on_the_line(metric: str, best: float, extra: list[TrialRecord] | None = None) -> float:
    """The point proposed after nine trials on a parabola that is best at `best`."""
    sign = -1 if metric == "accuracy" else 1
    points = [n / 8 for n in range(9)]
    trials = [complete(n, {"x": x}, sign * (x - best) ** 2, metric) for n, x in enumerate(points)]
    asked = KerasTunerSampler(LINE, metric, "bayesian", 0)
    asked.replay([*trials, *(extra or [])])
    return float(asked.ask(9 + len(extra or []))["x"])


@pytest.mark.parametrize("metric", ["accuracy", "log_loss"])
@pytest.mark.parametrize("best", [0.3, 0.8])
def test_it_proposes_points_where_the_metric_is_best(metric: str, best: float) -> None:
    assert abs(asked_on_the_line(metric, best) - best) < 0.1


@pytest.mark.parametrize("state", [TrialState.FAILED, TrialState.RUNNING, TrialState.PRUNED])
def test_it_does_not_return_to_points_without_a_score(state: TrialState) -> None:
    """Failed, open, or pruned before its first fold: it learns the worst score so far."""
    first = asked_on_the_line("accuracy", 0.3)
    without = replace(complete(9, {"x": first}, 0.0), state=state, folds=())
    assert abs(asked_on_the_line("accuracy", 0.3, [without]) - first) > 0.02


def test_a_score_of_nan_counts_as_missing() -> None:
    first = asked_on_the_line("accuracy", 0.3)
    assert abs(asked_on_the_line("accuracy", 0.3, [complete(9, {"x": first}, math.nan)]) - first) > 0.02


def test_refused_points_are_not_proposed_again() -> None:
    asked = KerasTunerSampler(LINE, "accuracy", "bayesian", 0)
    asked.replay([complete(n, {"x": n / 8}, -((n / 8 - 0.3) ** 2)) for n in range(9)])
    drawn = []
    for _ in range(12):
        drawn.append(asked.ask(9)["x"])
        asked.refuse(9)
    assert len(set(drawn)) == 12


def test_it_learns_from_the_latest_and_the_best_whether_it_saw_all_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its time grows with the cube of the number of points."""
    monkeypatch.setattr(memory, "LATEST", 9)
    monkeypatch.setattr(memory, "LEADING", 3)
    trials = [complete(n, {"x": n / 29}, -((n / 29 - 0.3) ** 2)) for n in range(30)]
    kept = learned_from(trials, "accuracy")
    assert len(kept) == 12

    def point(before: list[TrialRecord], after: list[TrialRecord]) -> Value:
        asked = KerasTunerSampler(LINE, "accuracy", "bayesian", 0)
        asked.replay(before)
        for trial in after:
            asked.ask(trial.number)
            asked.refuse(trial.number)
            asked.ask(trial.number, dict(trial.params))
            asked.tell(trial)
        return asked.ask(30)["x"]

    assert point(trials, []) == point(kept, []) == point(trials[:25], trials[25:])


def test_the_quick_prediction_is_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(30, 4))
    y = 100 + 5 * np.sin(3 * x).sum(axis=1) + rng.normal(0, 0.1, size=30)
    slow, fast = (
        GaussianProcessRegressor(Matern(0.7, "fixed", nu=2.5), alpha=1e-4, normalize_y=True, random_state=1).fit(x, y)
        for _ in range(2)
    )
    fast_predict(fast)
    for point in [*rng.uniform(size=(50, 4)), x[0]]:
        np.testing.assert_allclose(
            fast.predict(point.reshape(1, -1), return_std=True),
            slow.predict(point.reshape(1, -1), return_std=True),
            rtol=1e-9,
            atol=1e-12,
        )


# Side effects


@pytest.mark.slow
def test_it_writes_no_file_and_prints_nothing(tmp_path: Path) -> None:
    code = (
        "from tests.search.samplers.contract import EVERY, made\n"
        "from tests.search.samplers.test_optuna_sampler import one_trial\n"
        "for sampler in EVERY:\n"
        "    if sampler.engine == 'keras-tuner':\n"
        "        asked = made(sampler)\n"
        "        [one_trial(asked, n) for n in range(5)]\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert list(tmp_path.iterdir()) == []


def test_random_points_have_the_quality_of_the_space() -> None:
    """The mean quality of 200 points is within 5 standard errors of that of random points of the space."""
    asked = KerasTunerSampler(SPACE, "accuracy", "random", 3)
    values = [quality(asked.ask(number)) for number in range(200)]
    rng = np.random.default_rng(0)
    others = [quality(SPACE.sample(rng)) for _ in range(2000)]
    assert abs(np.mean(values) - np.mean(others)) < 5 * np.std(others) / math.sqrt(200)
