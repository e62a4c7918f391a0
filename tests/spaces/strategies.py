"""Random parameters and spaces for property tests, conditions and all."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from hypothesis import strategies as st

from spaces import Choice, Number, Parameter, Space, Value, When

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")
STEPS = (0.05, 0.1, 0.25, 1.0, 2.5)
WORDS = ("adam", "sgd", "he_normal", "50 steps", "été", "")


def reals(low: float, high: float) -> st.SearchStrategy[float]:
    """Floats of a size that people use, none of them so close to 0 that it counts as 0."""
    return st.floats(low, high).map(lambda x: float(f"{x:.6g}")).map(lambda x: x if abs(x) > 1e-6 else 0.0)


def seeds() -> st.SearchStrategy[np.random.Generator]:
    """A generator to draw points with."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def numbers(draw: st.DrawFn, name: str = "alpha", when: tuple[When, ...] = ()) -> Number:
    """Integers and floats: linear, logarithmic, in steps, of one value, with and without limits."""
    whole, log = draw(st.booleans()), draw(st.booleans())
    step: float | None
    if whole:
        low = float(draw(st.integers(1 if log else -50, 50)))
        high = low + draw(st.integers(0, 60))
        step = None if log else draw(st.sampled_from((None, 1, 2, 7)))
    else:
        low = draw(reals(1e-5, 10)) if log else draw(reals(-100, 100))
        high = low * draw(reals(1, 1e4)) if log else low + draw(reals(0, 50))
        step = None if log else draw(st.sampled_from((None, *STEPS)))
    limits = draw(st.sampled_from(((-math.inf, math.inf), (0 if log else low - 10, high + 10), (low, math.inf))))
    roomy = Number("roomy", low, high, low, whole, log, step)
    default = roomy.nearest_value(draw(reals(low, high)) if low < high else low)
    return Number(
        name, low, high, default, whole, log, step, limits, when, *draw(st.tuples(*[st.sampled_from(WORDS)] * 2))
    )


def values() -> st.SearchStrategy[Value]:
    """What a choice may be made of."""
    return st.one_of(st.sampled_from(WORDS), st.booleans(), st.integers(-9, 99), reals(-1, 1))


@st.composite
def choices(draw: st.DrawFn, name: str = "alpha", when: tuple[When, ...] = ()) -> Choice:
    """Choices of words, booleans, integers and floats, mixed; some with more values known than offered."""
    everything = tuple(draw(st.lists(values(), min_size=1, max_size=6, unique=True)))
    offered = everything[: draw(st.integers(1, len(everything)))]
    known = everything if draw(st.booleans()) else ()
    return Choice(
        name, offered, draw(st.sampled_from(offered)), known, when, *draw(st.tuples(*[st.sampled_from(WORDS)] * 2))
    )


def parameters(name: str = "alpha", when: tuple[When, ...] = ()) -> st.SearchStrategy[Parameter]:
    """Any parameter."""
    return st.one_of(numbers(name, when), choices(name, when))


@st.composite
def conditions(draw: st.DrawFn, earlier: Sequence[Parameter]) -> When:
    """A condition on one of the parameters that came before, so that some points meet it and some do not."""
    parameter = draw(st.sampled_from(earlier))
    if isinstance(parameter, Choice):
        return When(parameter.name, tuple(draw(st.lists(st.sampled_from(parameter.values), min_size=1, unique=True))))
    return When(parameter.name, at_least=parameter.nearest_value((parameter.low + parameter.high) / 2))


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """One to six parameters, each under up to two conditions on earlier ones."""
    made: list[Parameter] = []
    for name in NAMES[: draw(st.integers(1, len(NAMES)))]:
        when = tuple(draw(st.lists(conditions(made), max_size=2))) if made else ()
        made.append(draw(parameters(name, when)))
    return Space(tuple(made))


def allowed(parameter: Parameter, value: Value) -> bool:
    """Whether the definition of a parameter has this value: written again, and otherwise, to judge the first by."""
    if isinstance(parameter, Choice):
        return (type(value), value) in [(type(v), v) for v in parameter.values]
    if isinstance(value, bool | str) or not parameter.low <= value <= parameter.high:
        return False
    if parameter.integer and value != int(value):
        return False
    steps = (value - parameter.low) / (parameter.step or 1)
    return parameter.step is None or parameter.log or abs(steps - round(steps)) < 1e-6


def active(space: Space, params: dict[str, Value]) -> set[str]:
    """The parameters that a point must have, by the meaning of conditions alone."""
    there: set[str] = set()
    for parameter in space.parameters:
        if all(_met(condition, params, there) for condition in parameter.when):
            there.add(parameter.name)
    return there


def _met(condition: When, params: dict[str, Value], there: set[str]) -> bool:
    if condition.parameter not in there:
        return False
    value = params[condition.parameter]
    if condition.at_least is None:
        return value in condition.one_of
    return not isinstance(value, str) and value >= condition.at_least
