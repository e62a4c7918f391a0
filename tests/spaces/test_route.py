"""The way from one point to another: every point between them is one of the space, and all changes lead to the goal."""

from __future__ import annotations

import numpy as np
from hypothesis import given

from spaces import Space, Value, When
from spaces.parameters import choice, real
from spaces.route import Route
from tests.spaces.strategies import seeds, spaces

SPACE = Space(
    (
        choice("norm", "none", "batch"),
        real("momentum", 0.0, 1.0, 0.9, when=(When("norm", ("batch",)),)),
        choice("head", "flat", "average"),
        real("dropout", 0.0, 0.5, 0.2, when=(When("head", ("flat",)),)),
        real("rate", 0.0, 1.0, 0.1),
    )
)
START: dict[str, Value] = {"norm": "none", "head": "flat", "dropout": 0.2, "rate": 0.1}
GOAL: dict[str, Value] = {"norm": "batch", "momentum": 0.5, "head": "average", "rate": 0.3}


def test_a_parent_brings_its_children_s_values_and_takes_away_others() -> None:
    route = Route(SPACE, START, GOAL)
    assert route.changes == ("norm", "head", "rate")
    assert route.point({"norm"}) == START | {"norm": "batch", "momentum": 0.5}
    assert route.point({"head"}) == {"norm": "none", "head": "average", "rate": 0.1}
    assert route.difference((), {"norm"}) == {"norm": ("none", "batch"), "momentum": (None, 0.5)}
    assert route.difference((), {"head"}) == {"head": ("flat", "average"), "dropout": (0.2, None)}
    assert route.contains(START | {"rate": 0.3}) and not route.contains(START | {"dropout": 0.1})


def test_a_change_that_is_not_active_is_not_open_until_it_is() -> None:
    space = Space((choice("a", 0, 1, 2), choice("b", 0, 1, 2), choice("c", 0, 1, when=(When("a", (0, 1)),))))
    route = Route(space, {"a": 0, "b": 0, "c": 0}, {"a": 1, "b": 2, "c": 1})
    assert route.open(()) == ("a", "b", "c")
    both = Space((choice("a", 0, 1), choice("b", 0, 1), choice("c", 0, 1, when=(When("a", (0,)), When("b", (0,))))))
    one = Route(both, {"a": 0, "b": 0, "c": 0}, {"a": 1, "b": 0})
    assert one.changes == ("a",) and one.point({"a"}) == {"a": 1, "b": 0}


@given(spaces(), seeds(), seeds())
def test_all_changes_in_any_order_lead_from_the_start_to_the_goal(
    space: Space, first: np.random.Generator, second: np.random.Generator
) -> None:
    start, goal = space.sample(first), space.sample(second)
    route, made = Route(space, start, goal), frozenset[str]()
    assert route.point(made) == start
    assert route.point(route.changes) == goal
    while names := route.open(made):
        before = route.point(made)
        made |= {names[int(second.integers(len(names)))]}
        space.check(route.point(made))
        assert route.point(made) != before
        assert route.contains(route.point(made))
    assert route.point(made) == goal
