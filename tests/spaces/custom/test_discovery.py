"""What a builder asks of Keras Tuner's `hp`, as a space: the same values and defaults, and where each is needed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import keras_tuner
import numpy as np
import pytest

from spaces import Choice, Number, Space, SpaceError, Value
from spaces.custom.discovery import Run, discovered, parameter_of, requested

Asks = Callable[[keras_tuner.HyperParameters], object]


def explored(builder: Asks, seconds: float = 60.0) -> tuple[Space, bool]:
    def run_at(values: Mapping[str, Value]) -> Run:
        hp = keras_tuner.HyperParameters()
        hp.values = dict(values)
        try:
            builder(hp)
        except RuntimeError:
            return hp, False
        return hp, True

    return discovered(run_at, seconds)


def conditions(builder: Asks) -> dict[str, str]:
    return {row["name"]: row["when"] for row in explored(builder)[0].rows()}


def misses(builder: Asks, space: Space) -> list[str]:
    """What the builder asks for at a hundred points of the space, and the points do not have."""
    rng, missed = np.random.default_rng(1), []
    for _ in range(100):
        hp = keras_tuner.HyperParameters()
        hp.values = dict(point := space.sample(rng))
        builder(hp)
        missed += [name for name in requested(hp) if name not in point]
    return missed


def asked(kind: str, *args: Any, **more: Any) -> Any:
    hp = keras_tuner.HyperParameters()
    getattr(hp, kind)("p", *args, **more)
    return hp.space[0]


MULTIPLIED = [
    (asked("Float", 0.001, 10, step=10, sampling="log"), (0.001, 0.01, 0.1, 1.0, 10.0)),
    (asked("Float", 1e-5, 1e-4, step=10, sampling="log"), (1e-5, 1e-4)),
    (asked("Float", 1e-4, 0.1, step=10, sampling="reverse_log"), None),
    (asked("Float", 0.5, 7, step=1.5, sampling="log"), None),
    (asked("Int", 2, 32, step=2, sampling="log"), (2, 4, 8, 16, 32)),
    (asked("Int", 3, 100, step=3, sampling="log"), (3, 9, 27, 81)),
    (asked("Int", 1, 8, step=2, sampling="reverse_log"), None),
]


@pytest.mark.parametrize(("entry", "documented"), MULTIPLIED, ids=lambda entry: str(entry)[:90])
def test_a_step_that_multiplies_has_exactly_keras_tuners_values(
    entry: Any, documented: tuple[Value, ...] | None
) -> None:
    parameter = parameter_of(entry)
    assert isinstance(parameter, Choice)
    drawn = {entry.prob_to_value(p) for p in np.linspace(0, 1, 2000, endpoint=False)}
    assert len(parameter.values) == len(drawn)
    assert {*parameter.values} - drawn <= {entry.default}  # 0.0001, and not 0.00010000000000000286 beside it
    if documented is not None:
        assert parameter.values == pytest.approx(documented, rel=1e-12)
    assert parameter.default == entry.default


@pytest.mark.parametrize(
    ("entry", "values"),
    [
        (asked("Int", 6, 13, step=3), (6, 9, 12)),
        (asked("Float", 0, 1, step=0.2), (0, 0.2, 0.4, 0.6, 0.8, 1.0)),  # its code, not its documentation, ends at 0.8
        (asked("Int", 1, 3, step=1, default=5), (1, 2, 3, 5)),
        (asked("Int", 32, 128, step=32, default=100), (32, 64, 96, 100, 128)),
        (asked("Choice", [0.0, 0.5], default=0), (0.0, 0.5)),
        (asked("Choice", [8, 8, 16]), (8, 16)),
        (asked("Boolean", default=1), (False, True)),
        (asked("Fixed", 3), (3,)),
    ],
    ids=str,
)
def test_values_and_a_default_that_is_none_of_them_are_as_in_keras_tuner(entry: Any, values: tuple[Value, ...]) -> None:
    parameter = parameter_of(entry)
    of_range = isinstance(parameter, Number) and Space((parameter,))
    rng = np.random.default_rng(0)
    drawn = {of_range.sample(rng)["p"] for _ in range(300)} if of_range else set(getattr(parameter, "values", ()))
    assert drawn == set(values)
    assert parameter.default == entry.default


@pytest.mark.parametrize(
    ("entry", "shown"),
    [
        (asked("Float", 1e-4, 1e-2, sampling="log", default=0.05), "0.0001 to 0.05, logarithmic"),
        (asked("Float", 0, 0.5, default=0.75), "0 to 0.75"),
        (asked("Float", 1e-4, 1e-2, sampling="reverse_log"), "0.0001 to 0.01"),
        (asked("Int", 16, 4096, sampling="log", default=8), "8 to 4096, logarithmic"),
        (asked("Int", 1, 64, sampling="log", default=np.int64(2)), "1 to 64, logarithmic"),
    ],
    ids=str,
)
def test_a_default_outside_of_a_range_without_steps_widens_it(entry: Any, shown: str) -> None:
    parameter = parameter_of(entry)
    assert parameter.range == shown
    assert parameter.default == entry.default


def test_a_default_that_no_logarithm_reaches_stands_beside_the_values_of_keras_tuners_grid() -> None:
    entry = asked("Float", 1e-4, 1e-2, sampling="log", default=0.0)
    assert getattr(parameter_of(entry), "values", ()) == (0.0, *sorted(entry.values))


def test_a_default_off_more_than_64_steps_is_one_more_value_and_the_steps_stay() -> None:
    parameter = parameter_of(asked("Int", 0, 1000, step=10, default=25))
    assert isinstance(parameter, Choice)
    assert set(parameter.values) == {*range(0, 1001, 10), 25}


def layers(hp: keras_tuner.HyperParameters, **how: Any) -> None:
    for i in range(hp.Int("layers", 1, 8, **how)):
        hp.Int(f"units_{i}", 8, 64, step=8)


@pytest.mark.parametrize("how", [{}, {"sampling": "log"}, {"sampling": "reverse_log"}], ids=str)
def test_each_layer_of_a_loop_is_under_exactly_the_number_that_it_needs(how: dict[str, Any]) -> None:
    found = conditions(lambda hp: layers(hp, **how))
    assert found == {"layers": "", "units_0": "", **{f"units_{i}": f"layers >= {i + 1}" for i in range(1, 8)}}


def test_layers_that_double_are_listed() -> None:
    def builder(hp: keras_tuner.HyperParameters) -> None:
        layers(hp, sampling="log", step=2)

    space, _ = explored(builder)
    assert conditions(builder)["units_2"] == "layers in 4, 8"
    assert misses(builder, space) == []


def above_zero(hp: keras_tuner.HyperParameters) -> None:
    if hp.Float("rate", 0, 0.5) > 0:
        hp.Choice("kind", ["dropout", "noise"])


def above_a_point(hp: keras_tuner.HyperParameters) -> None:
    if hp.Float("rate", 1e-4, 1e-1, sampling="log", default=1e-2) > 2e-3:
        hp.Boolean("warm_up")


def many(hp: keras_tuner.HyperParameters) -> None:
    if hp.Int("units", 1, 1000) > 300:
        hp.Boolean("split")


def few_of_many(hp: keras_tuner.HyperParameters) -> None:
    if hp.Int("units", 1, 1000) < 300:
        hp.Boolean("wide")


def stepped(hp: keras_tuner.HyperParameters) -> None:
    if hp.Float("rate", 0, 1, step=0.01, default=0.5) > 0.495:
        hp.Boolean("much")


def either(hp: keras_tuner.HyperParameters) -> None:
    first, second = hp.Choice("first", ["a", "b", "c"]), hp.Choice("second", ["x", "y", "z"])
    if first == "b" or second == "z":
        hp.Int("inner", 1, 3)


def by_family(hp: keras_tuner.HyperParameters) -> None:
    more = 1 if hp.Choice("family", ["mlp", "cnn"]) == "cnn" else 0
    for i in range(hp.Int("depth", 1, 3) + more):
        hp.Int(f"units_{i}", 8, 16)


def three(hp: keras_tuner.HyperParameters) -> None:
    if all([hp.Boolean("a"), hp.Boolean("b"), hp.Boolean("c")]):
        hp.Int("inner", 1, 3)


@pytest.mark.parametrize("builder", [above_zero, above_a_point, many, few_of_many, stepped, either, by_family, three])
def test_no_point_of_the_space_lacks_what_the_builder_asks_for_there(builder: Asks) -> None:
    space, complete = explored(builder)
    assert complete
    assert misses(builder, space) == []


def test_a_condition_that_a_point_contradicts_is_none() -> None:
    assert conditions(either)["inner"] == ""
    assert conditions(by_family)["units_1"] == ""
    assert conditions(by_family)["units_3"] == "family = cnn and depth >= 3"
    assert conditions(above_zero)["kind"] == ""  # a float is hardly ever zero
    assert conditions(many)["split"].startswith("units >= ")  # a little below 301: between two values that were tried


def test_a_parameter_that_did_not_matter_at_first_is_listed_where_it_does() -> None:
    def builder(hp: keras_tuner.HyperParameters) -> None:
        if hp.Boolean("deep") and hp.Int("units", 8, 64, step=8) >= 48:
            hp.Boolean("norm")

    assert conditions(builder) == {"deep": "", "units": "deep = true", "norm": "deep = true and units >= 48"}


def test_the_builder_is_not_run_at_every_number_of_units_of_every_layer_for_every_number_of_layers() -> None:
    runs: list[int] = []

    def builder(hp: keras_tuner.HyperParameters) -> None:
        runs.append(hp.Int("layers", 1, 4))
        for i in range(runs[-1]):
            hp.Int(f"units_{i}", 1, 60)

    explored(builder)
    assert len(runs) < sum(4 + 60 * deep for deep in (1, 2, 3, 4)) / 1.5


def test_a_builder_that_fails_tells_what_it_asked_for_and_nothing_of_what_it_did_not() -> None:
    def builder(hp: keras_tuner.HyperParameters) -> None:
        if hp.Choice("kind", ["a", "b"]) == "b":
            raise RuntimeError
        hp.Int("units", 1, 3)

    assert conditions(builder) == {"kind": "", "units": ""}


def test_one_name_with_two_ranges_in_two_scopes_is_refused_and_with_one_range_is_one_parameter() -> None:
    def builder(hp: keras_tuner.HyperParameters, most: int = 16) -> None:
        kind = hp.Choice("kind", ["a", "b", "c"])
        for name, high in (("a", 16), ("b", most)):
            with hp.conditional_scope("kind", [name]):
                if kind == name:
                    hp.Int("units", 8, high)

    assert conditions(builder) == {"kind": "", "units": "kind in a, b"}
    with pytest.raises(SpaceError, match=r"'units' has one range where kind = a and another where kind = b, "):
        explored(lambda hp: builder(hp, 128))


def test_a_discovery_that_is_out_of_time_returns_what_it_found_so_far() -> None:
    space, complete = explored(layers, seconds=0.0)
    assert list(space.by_name) == ["layers", "units_0"]
    assert not complete
