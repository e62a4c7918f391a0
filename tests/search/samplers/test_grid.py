"""The grid: every combination once, also with conditions, in the order of Keras Tuner's grid."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings

from search.samplers.base import Exhausted
from search.samplers.grid import GRID_POINTS, GridSampler, grid_points
from search.samplers.keras_tuner_sampler import keras_tuner
from spaces import Number, Parameter, Space, Value, When
from spaces.facts import Facts
from spaces.parameters import choice, integer, real
from spaces.presets import PRESETS
from tests.spaces.strategies import allowed, parameters, spaces


def combinations(space: Space) -> set[str]:
    """Every point of the grid, by trying all values of all parameters."""
    axes = [grid_points(p) for p in space.parameters]
    return {
        str(space.resolve(lambda p: picked[p.name]))  # noqa: B023 - called at once
        for picks in itertools.product(*axes)
        for picked in [dict(zip(space.by_name, picks, strict=True))]
    }


def walked(space: Space, most: int = 10_000) -> list[dict[str, Value]]:
    sampler, points = GridSampler(space), []
    try:
        for number in range(most):
            points.append(sampler.ask(number))
    except Exhausted:
        return points
    raise AssertionError("it does not end")


SMALL = Space(
    (
        choice("norm", "none", "batch"),
        real("momentum", 0.0, 0.99, 0.9, when=(When("norm", ("batch",)),)),
        integer("depth", 0, 2, 1),
        choice("mixed", 1, "one", 2.5, False, when=(When("depth", at_least=2), When("norm", ("none",)))),
        integer("units", 8, 512, 64, log=True, when=(When("depth", at_least=1),)),
        choice("never", "a", "b", when=(When("norm", ("gone",)),)),
        choice("nor", "a", "b", when=(When("never", ("a",)),)),
    )
)


def test_the_grid_has_every_combination_once() -> None:
    points = walked(SMALL)
    assert len({str(p) for p in points}) == len(points)
    assert {str(p) for p in points} == combinations(SMALL)
    assert points[0] == SMALL.defaults()


@settings(max_examples=25, deadline=None)
@given(spaces())
def test_the_grid_of_any_space_is_of_points_that_differ(space: Space) -> None:
    asked, seen = GridSampler(space), []
    try:
        for number in range(20):
            seen.append(asked.ask(number))
            space.check(seen[-1])
    except Exhausted:
        assert {str(p) for p in seen} == combinations(space)
    assert len({str(p) for p in seen}) == len(seen)


@given(parameters())
def test_a_grid_has_at_most_five_points_of_a_range_with_its_ends_and_the_default(parameter: Parameter) -> None:
    points = grid_points(parameter)
    assert len(set(points)) == len(points)
    for value in points:
        assert allowed(parameter, value)
    if isinstance(parameter, Number):
        assert len(points) <= GRID_POINTS
        assert {parameter.nearest_value(v) for v in (parameter.low, parameter.default, parameter.high)} <= set(points)
    else:
        assert points == parameter.values


def test_a_range_of_few_values_has_them_all_and_others_are_spread_over_their_scale() -> None:
    assert grid_points(integer("n", 1, 5, 2)) == (1, 2, 3, 4, 5)
    assert grid_points(integer("n", 8, 64, 16, step=8)) == (8, 16, 40, 48, 64)
    assert grid_points(real("x", 0.0, 0.4, 0.2, step=0.1)) == (0.0, 0.1, 0.2, 0.3, 0.4)
    assert grid_points(real("x", 0.0, 1.0, 0.5)) == (0.0, 0.25, 0.5, 0.75, 1.0)
    assert grid_points(real("x", 1e-4, 1.0, 1e-2, log=True)) == pytest.approx((1e-4, 1e-3, 1e-2, 1e-1, 1.0))
    assert grid_points(real("x", 0.0, 0.99, 0.9)) == pytest.approx((0.0, 0.2475, 0.495, 0.9, 0.99))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_the_grid_of_each_preset_can_be_traversed(preset: str) -> None:
    space = PRESETS[preset].space(Facts(64, 64, 3, 2, 500))
    asked = GridSampler(space)
    points = [asked.ask(number) for number in range(30)]
    for point in points:
        space.check(point)
    assert len({str(p) for p in points}) == 30


def test_its_order_is_that_of_keras_tuner() -> None:
    """Without conditions, and with indices as values, since Keras Tuner has no choices of mixed type."""
    space = Space((integer("a", 0, 2, 1), choice("b", "x", "y", "z", default="z"), integer("c", 1, 2, 2)))
    parameters = keras_tuner().HyperParameters()
    parameters.Int("a", 0, 2, default=1)
    parameters.Choice("b", ["x", "y", "z"], ordered=False, default="z")
    parameters.Int("c", 1, 2, default=2)
    oracle = keras_tuner().oracles.GridSearchOracle(hyperparameters=parameters)
    expected = [oracle.populate_space("0")["values"]]
    while (following := oracle._get_next_combination(expected[-1])) is not None:
        expected.append(following)
    assert walked(space) == expected
