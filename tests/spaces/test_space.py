"""A space: which parameters a point has, drawing and checking points, narrowing, JSON, and the table for people."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from spaces import Choice, Number, Parameter, Space, SpaceError, Value, When
from spaces.parameters import boolean, choice, integer, real
from tests.spaces.strategies import active, allowed, seeds, spaces

RATE = real("rate", 1e-4, 1e-1, 1e-3, log=True, limits=(1e-7, 10.0), when=(When("optimizer", ("adam", "adamw")),))
MOMENTUM = real("momentum", 0.0, 0.9, 0.9, step=0.1, when=(When("optimizer", ("sgd",)), When("depth", at_least=2)))
NETS = Space(
    (
        integer("depth", 0, 4, 1, limits=(0, 8), help="blocks"),
        choice("optimizer", "adam", "adamw", "sgd"),
        RATE,
        MOMENTUM,
        boolean("flip", default=False),
    )
)


def refusal(call: Callable[[], object]) -> list[str]:
    """The problems, a line each."""
    with pytest.raises(SpaceError) as caught:
        call()
    return str(caught.value).splitlines()


# Points


@given(spaces())
def test_the_default_point_has_the_default_of_every_active_parameter(space: Space) -> None:
    point = space.defaults()
    space.check(point)
    assert set(point) == active(space, point)
    assert point == {name: space.by_name[name].default for name in point}


@given(spaces(), seeds())
def test_a_drawn_point_has_an_allowed_value_for_every_active_parameter(space: Space, rng: np.random.Generator) -> None:
    point = space.sample(rng)
    space.check(point)
    assert set(point) == active(space, point)
    assert list(point) == [p.name for p in space.parameters if p.name in point]
    assert all(allowed(space.by_name[name], value) for name, value in point.items())


@given(spaces(), seeds())
def test_the_values_of_a_point_are_of_the_type_of_their_parameter(space: Space, rng: np.random.Generator) -> None:
    for name, value in space.sample(rng).items():
        parameter = space.by_name[name]
        if isinstance(parameter, Number):
            assert type(value) is (int if parameter.integer else float)
        else:
            assert (type(value), value) in [(type(v), v) for v in parameter.values]


@given(spaces(), st.integers(0, 2**32 - 1))
def test_equal_seeds_draw_equal_points(space: Space, seed: int) -> None:
    assert space.sample(np.random.default_rng(seed)) == space.sample(np.random.default_rng(seed))


def test_changes_to_the_defaults_hold_where_they_are_active_and_allowed() -> None:
    changes: dict[str, Value] = {"optimizer": "sgd", "depth": 2, "rate": 0.01, "momentum": 0.5, "flip": 1}
    assert NETS.defaults(**changes) == {"depth": 2, "optimizer": "sgd", "momentum": 0.5, "flip": False}
    assert NETS.defaults(optimizer="rmsprop", unknown=1) == NETS.defaults()


# Drawing is uniform. Each test refuses a correct sampler for one seed in a million; the seeds are fixed.

DRAWS, FALSE_ALARM = 4000, 1e-6


def drawn(parameter: Parameter, seed: int) -> list[Any]:
    rng, space = np.random.default_rng(seed), Space((parameter,))
    return [space.sample(rng)[parameter.name] for _ in range(DRAWS)]


@pytest.mark.parametrize(
    ("parameter", "expected"),
    [
        (choice("x", "a", "b", "c"), ["a", "b", "c"]),
        (boolean("x", default=True), [False, True]),
        (integer("x", -1, 3, 0), [-1, 0, 1, 2, 3]),
        (Number("x", -1, 3, 0, integer=True), [-1, 0, 1, 2, 3]),
        (integer("x", 8, 32, 8, step=8), [8, 16, 24, 32]),
        (integer("x", 8, 31, 8, step=8), [8, 16, 24]),
        (real("x", 0.0, 0.5, 0.0, step=0.1), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]),
    ],
    ids=lambda p: p.range if isinstance(p, Number | Choice) else "",
)
def test_each_of_a_few_values_is_drawn_as_often_as_the_others(parameter: Parameter, expected: list[Any]) -> None:
    counts = Counter(drawn(parameter, seed=1))
    assert sorted(counts) == sorted(expected)
    assert chisquare(list(counts.values())).pvalue > FALSE_ALARM


@pytest.mark.parametrize("log", [False, True])
def test_a_range_is_drawn_from_evenly_on_its_scale(log: bool) -> None:
    drawings = drawn(real("x", 1e-4, 1e-1, 1e-3, log=log), seed=2)
    edges = np.geomspace(1e-4, 1e-1, 11) if log else np.linspace(1e-4, 1e-1, 11)
    counts, _ = np.histogram(drawings, edges)
    assert counts.sum() == DRAWS
    assert chisquare(counts).pvalue > FALSE_ALARM


def test_integers_on_a_logarithmic_scale_have_the_share_of_what_is_rounded_to_them() -> None:
    counts = Counter(drawn(integer("x", 1, 8, 2, log=True), seed=3))
    cuts = np.log(np.arange(1, 10) - 0.5)
    shares = np.array([high - low for low, high in pairwise(cuts)]) / (cuts[-1] - cuts[0])
    assert chisquare([counts[n] for n in range(1, 9)], shares * DRAWS).pvalue > FALSE_ALARM


# Checking a point


@given(spaces(), seeds(), st.data())
def test_a_point_without_one_of_its_parameters_is_refused(
    space: Space, rng: np.random.Generator, data: st.DataObject
) -> None:
    point = space.sample(rng)
    gone = data.draw(st.sampled_from(sorted(point)))
    del point[gone]
    problems = refusal(lambda: space.check(point))
    assert f"{gone}: missing; {space.by_name[gone].range}" in problems


@given(spaces(), seeds(), st.data())
def test_a_point_with_a_parameter_that_is_not_active_is_refused(
    space: Space, rng: np.random.Generator, data: st.DataObject
) -> None:
    point = space.sample(rng)
    others = [name for name in space.by_name if name not in point]
    if not others:
        return
    added = data.draw(st.sampled_from(others))
    problems = refusal(lambda: space.check({**point, added: space.by_name[added].default}))
    assert problems == [f"{added}: only where {' and '.join(map(str, space.by_name[added].when))}; set that too"]


@pytest.mark.parametrize("wrong", [True, math.nan, math.inf, "0.1", None])
def test_a_number_that_is_none_is_refused(wrong: Any) -> None:
    assert refusal(lambda: NETS.check({**NETS.defaults(), "rate": wrong}))[0].startswith("rate: must be a number, got ")


@pytest.mark.parametrize("wrong", [1.0, 1, "true", None])
def test_only_true_is_true(wrong: Any) -> None:
    problems = refusal(lambda: NETS.check({**NETS.defaults(), "flip": wrong}))
    assert problems == [f"flip: must be one of false, true, got {wrong!r}"]


def test_every_problem_of_a_point_is_named_at_once_in_the_order_of_the_space_and_the_point() -> None:
    point: dict[str, Value] = {"momentum": 0.5, "depht": 2, "rate": 7.0, "optimizer": "adam", "flip": 1}
    assert refusal(lambda: NETS.check(point)) == [
        "depth: missing; 0 to 4",
        "rate: must be in 0.0001 to 0.1, logarithmic, got 7.0",
        "flip: must be one of false, true, got 1",
        "momentum: only where optimizer = sgd and depth >= 2; set that too",
        "depht: unknown; did you mean 'depth'?",
    ]


# Conditions


def test_a_condition_may_only_look_back() -> None:
    later = "rate: its condition needs 'optimizer' to come before it"
    assert refusal(lambda: Space((RATE, choice("optimizer", "adam")))) == [later]
    assert refusal(lambda: Space((RATE,))) == [later]
    itself = replace(RATE, when=(When("rate", at_least=0.01),))
    assert refusal(lambda: Space((itself,))) == ["rate: its condition needs 'rate' to come before it"]


@given(spaces(), st.data())
def test_a_space_in_an_order_in_which_a_condition_looks_forward_is_refused(space: Space, data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(space.parameters))
    seen: set[str] = set()
    forward = False
    for parameter in shuffled:
        forward = forward or any(condition.parameter not in seen for condition in parameter.when)
        seen.add(parameter.name)
    if forward:
        assert "to come before it" in refusal(lambda: Space(tuple(shuffled)))[0]
    else:
        assert Space(tuple(shuffled)).parameters == tuple(shuffled)


def test_a_name_stands_once() -> None:
    twice = (boolean("flip", default=True), boolean("flip", default=False))
    assert refusal(lambda: Space(twice)) == ["flip: a parameter of this name is there already"]


@pytest.mark.parametrize(
    ("condition", "params", "holds"),
    [
        (When("x", ("a", "b")), {"x": "b"}, True),
        (When("x", ("a", "b")), {"x": "c"}, False),
        (When("x", ("a",)), {}, False),
        (When("x", at_least=2), {"x": 2}, True),
        (When("x", at_least=2), {"x": 1.9}, False),
        (When("x", at_least=0), {"x": "a"}, False),
        (When("x", at_least=0), {}, False),
    ],
)
def test_a_condition_holds(condition: When, params: Mapping[str, Value], holds: bool) -> None:
    assert condition.holds(params) is holds


def test_a_parameter_under_one_that_is_not_active_is_not_active_either() -> None:
    chain = Space(
        (
            boolean("a", default=False),
            integer("b", 0, 9, 9, when=(When("a", (True,)),)),
            integer("c", 0, 1, 0, when=(When("b", at_least=1),)),
        )
    )
    assert chain.defaults() == {"a": False}
    assert chain.defaults(a=True) == {"a": True, "b": 9, "c": 0}


# Narrowing


@given(spaces(), seeds(), st.data())
def test_a_narrowed_space_is_a_part_of_the_space(space: Space, rng: np.random.Generator, data: st.DataObject) -> None:
    point = space.sample(rng)
    names = data.draw(st.lists(st.sampled_from(sorted(point)), unique=True))
    narrowed = space.narrow({name: point[name] for name in names})
    assert [p.name for p in narrowed.parameters] == [p.name for p in space.parameters]
    narrowed.check(point)
    drawing = narrowed.sample(rng)
    space.check(drawing)
    assert all(drawing[name] == point[name] for name in names if name in drawing)


@given(spaces())
def test_a_space_is_narrowed_by_nothing_to_itself(space: Space) -> None:
    assert space.narrow({}) == space


def test_every_problem_of_a_change_is_named_at_once() -> None:
    changes = {"optimiser": "sgd", "zzz": 1, "depth": {"low": 3, "high": 2}, "flip": "yes", "rate": 0.01, "momentum": 2}
    assert refusal(lambda: NETS.narrow(changes)) == [
        "optimiser: no such parameter; did you mean 'optimizer'?",
        "zzz: no such parameter; known: depth, optimizer, rate, momentum, flip",
        "depth: low must not be above high, got low 3, high 2",
        "flip: must be one of false, true, got 'yes'; known: false, true",
    ]


def test_conditions_outlive_narrowing() -> None:
    narrowed = NETS.narrow({"optimizer": ["sgd", "adam"], "depth": [0, 2, 6], "momentum": [0.5, 0.95], "rate": 0.02})
    assert narrowed.defaults() == {"depth": 0, "optimizer": "adam", "rate": 0.02, "flip": False}
    deeper = narrowed.defaults(optimizer="sgd", depth=6)
    assert deeper == {"depth": 6, "optimizer": "sgd", "momentum": 0.95, "flip": False}


# JSON


@given(spaces())
def test_a_space_comes_back_from_json(space: Space) -> None:
    text = json.dumps(space.to_json(), allow_nan=False)
    assert json.loads(text) == space.to_json(), "plain data only"
    back = Space.from_json(json.loads(text))
    assert back == space
    assert [type(p.default) for p in back.parameters] == [type(p.default) for p in space.parameters]
    assert json.dumps(back.to_json(), allow_nan=False) == text


@given(spaces(), seeds())
def test_a_point_comes_back_from_json(space: Space, rng: np.random.Generator) -> None:
    point = space.sample(rng)
    back = json.loads(json.dumps(point, allow_nan=False))
    Space.from_json(space.to_json()).check(back)
    assert (back, [type(v) for v in back.values()]) == (point, [type(v) for v in point.values()])


FIRST: dict[str, Any] = {"kind": "number", "name": "first", "low": 0, "high": 1, "default": 1}
LATER = FIRST | {"name": "later"}
AFTER: dict[str, Any] = {"parameter": "first", "one_of": []}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        [],
        None,
        {"parameters": 5},
        {"parameters": [5]},
        {"parameters": [{}]},
        {"parameters": [{"kind": "letter", "name": "x"}]},
        {"parameters": [{"kind": "number", "name": "x", "low": 1}]},
        {"parameters": [{"kind": "number", "name": "x", "low": "a", "high": "b", "default": 1}]},
        {"parameters": [{"kind": "number", "name": "x", "low": 0, "high": 1, "default": 1, "limits": [0]}]},
        {"parameters": [{"kind": "number", "name": "x", "low": 0, "high": 1, "default": 1, "colour": "red"}]},
        {"parameters": [{"kind": "choice", "name": "x", "values": [{}], "default": 1}]},
        {"parameters": [{"kind": "choice", "name": "x", "values": [1], "default": 1, "when": [{}]}]},
        {"parameters": [{"kind": "number", "name": "x", "low": 0, "high": 1, "default": 1, "limits": [10**400, None]}]},
        *({"parameters": [FIRST, LATER | {"when": [{**AFTER, "at_least": wrong}]}]} for wrong in ("a", [1], 10**400)),
    ],
)
def test_what_is_no_stored_space_is_refused(wrong: Any) -> None:
    assert refusal(lambda: Space.from_json(wrong))


# The table for people


def test_the_table_has_a_row_a_parameter_in_words() -> None:
    assert NETS.rows()[0] == {
        "name": "depth",
        "range": "0 to 4",
        "default": "1",
        "when": "",
        "help": "blocks",
        "source": "",
    }
    assert NETS.rows()[3] == {
        "name": "momentum",
        "range": "0 to 0.9, step 0.1",
        "default": "0.9",
        "when": "optimizer = sgd and depth >= 2",
        "help": "",
        "source": "",
    }


@given(spaces())
def test_the_table_has_all_parameters_in_order_and_words_only(space: Space) -> None:
    rows = space.rows()
    assert [row["name"] for row in rows] == list(space.by_name)
    assert all(isinstance(word, str) for row in rows for word in row.values())


def test_messages_do_not_depend_on_the_order_of_hashes() -> None:
    code = (
        "from spaces.presets import preset; from spaces.facts import Facts; "
        "preset('question').space(Facts(8, 8, 1, 2, 100)).check({name: 1 for name in 'abcdefghij'})"
    )
    said = set()
    for seed in ("1", "2"):
        ran = subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=False
        )
        assert ran.returncode == 1
        said.add(ran.stderr)
    assert len(said) == 1
