"""One parameter: what it may be, which values it takes, how `study.toml` changes it, and how it refuses."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from spaces import Choice, Number, Parameter, SpaceError, When
from spaces.parameters import boolean, choice, choice_of, format_value, integer, nearest, real, received
from tests.spaces.strategies import STEPS, allowed, choices, numbers, parameters, reals

HUGE = 10**400  # an integer that TOML can hold and no float can
DROPOUT = real("dropout", 0.0, 0.5, 0.2, step=0.1, limits=(0.0, 0.9))
RATE = real("rate", 1e-4, 1e-2, 1e-3, log=True, limits=(1e-7, 10.0))
FILTERS = integer("filters", 8, 64, 16, step=8, limits=(1, 512))
UNITS = integer("units", 16, 512, 64, log=True, limits=(1, 4096))
BATCH = choice("batch", 4, 8, 16, default=16, known=(1, 32))
PENALTY = choice("penalty", 0.01, 0.001, 0.0)
ACTIVATION = choice("activation", "relu", "elu", known=("tanh",))
FLIP = boolean("flip", default=True)


def refusal(parameter: Parameter, change: Any) -> str:
    with pytest.raises(SpaceError) as caught:
        parameter.narrow(change)
    return str(caught.value)


def values_of(parameter: Number) -> list[float]:
    """The values of a stepped or whole range, from its definition."""
    step = parameter.step or 1
    count = math.floor((parameter.high - parameter.low) / step + 1e-9)
    return [parameter.low + n * step for n in range(count + 1)]


# Making one


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: real("x", 2, 1, 1), "x: low must not be above high, got low 2, high 1"),
        (lambda: real("x", 0, 1, 0.5, log=True), "x: a logarithmic range must begin above 0, got low 0"),
        (lambda: real("x", 1, 2, 1, log=True, step=0.5), "x: a range is either logarithmic or stepped, got both"),
        (lambda: real("x", 1, 2, 1, log=True, step=1), "x: a range is either logarithmic or stepped, got both"),
        (lambda: real("x", 0, 1, 0, step=0), "x: step must be above 0, got 0"),
        (lambda: real("x", 0, 1, 0, step=-0.5), "x: step must be above 0, got -0.5"),
        (lambda: real("x", 0, 1, 0, step=math.nan), "x.step: must be a number, got nan"),
        (lambda: real("x", 0, 1, 2), "x: must be in 0 to 1, got 2"),
        (lambda: real("x", 0, 1, 0.25, step=0.1), "x: must be in 0 to 1, step 0.1, got 0.25"),
        (lambda: real("x", 0, math.inf, 0), "x.high: must be a number, got inf"),
        (lambda: real("x", math.nan, 1, 0), "x.low: must be a number, got nan"),
        (lambda: real("x", 0, 1, 0, limits=(0.5, 2)), "x: must stay within 0.5 to 2, got 0 to 1"),
        (lambda: Number("x", 0.5, 2, 1, integer=True), "x.low: must be a whole number, got 0.5"),
        (lambda: integer("x", 1, 5, 9), "x: must be in 1 to 5, got 9"),
        (lambda: Choice("x", (), 1), "x: needs at least one value, got none"),
        (lambda: Choice("x", (1, 2, 1), 1), "x: a value stands twice in [1, 2, 1]"),
        (lambda: Choice("x", (1, True), 1), "x: a value stands twice in [1, True]"),
        (lambda: choice("x", "a", "b", default="c"), "x: must be one of a, b, got 'c'"),
    ],
)
def test_a_definition_that_breaks_a_rule_is_refused_by_name_rule_and_value(make: Any, message: str) -> None:
    with pytest.raises(SpaceError, match=f"^{re.escape(message)}$"):
        make()


@given(parameters())
def test_the_default_is_a_value(parameter: Parameter) -> None:
    parameter.check(parameter.default)
    assert allowed(parameter, parameter.default)


def test_the_short_forms_are_what_they_say() -> None:
    assert integer("n", 1, 5, 2) == Number("n", 1, 5, 2, integer=True, step=1)
    assert integer("n", 1, 5, 2, log=True) == Number("n", 1, 5, 2, integer=True, log=True)
    assert real("r", 0, 1, 0.5) == Number("r", 0, 1, 0.5)
    assert choice("c", "a", "b") == Choice("c", ("a", "b"), "a")
    assert choice("c", 1, 0, default=0) == Choice("c", (1, 0), 0)
    assert boolean("b", default=True) == Choice("b", (False, True), True)


# Checking a value


@given(numbers(), reals(-200, 200))
def test_a_number_takes_the_values_of_its_definition_and_no_others(number: Number, value: float) -> None:
    assume(number.step is None or abs(number.nearest_value(value) - value) > 1e-5 or allowed(number, value))
    if allowed(number, value):
        number.check(value)
    else:
        with pytest.raises(SpaceError, match=f"^{number.name}: must be .*, got {re.escape(repr(value))}$"):
            number.check(value)


@given(numbers(), reals(-200, 200))
def test_the_nearest_value_is_a_value_and_none_is_nearer(number: Number, wanted: float) -> None:
    found = number.nearest_value(wanted)
    assert allowed(number, found)
    number.check(found)
    if number.step is not None and not number.log:
        distance = min(abs(value - wanted) for value in values_of(number))
        assert abs(found - wanted) == pytest.approx(distance, abs=1e-9)


@pytest.mark.parametrize("wrong", [True, "3", None, math.nan, math.inf, -math.inf, HUGE, [1], {"low": 1}])
@pytest.mark.parametrize("number", [DROPOUT, RATE, FILTERS, UNITS], ids=lambda p: p.name)
def test_no_number_takes_what_is_not_a_finite_number(number: Number, wrong: Any) -> None:
    with pytest.raises(SpaceError, match=f"^{number.name}: must be a number, got {re.escape(received(wrong))}$"):
        number.check(wrong)


def test_an_integer_takes_whole_numbers_only() -> None:
    FILTERS.check(16.0)
    with pytest.raises(SpaceError, match=r"^filters: must be a whole number, got 16\.5$"):
        FILTERS.check(16.5)


def test_a_value_off_the_step_is_refused_and_rounding_is_not() -> None:
    DROPOUT.check(0.1 + 0.2)
    real("x", 0.0, 0.3, 0.3, step=0.1).check(0.1 + 0.2)
    real("x", -1.44531, -1.44531 + 1.0, -1.44531, step=0.1).check(-0.44531)
    real("x", 1.2345678901e-6, 1.0, 1.2345678901e-6, step=0.1)
    with pytest.raises(SpaceError, match=r"^dropout: must be in 0 to 0\.5, step 0\.1, got 0\.25$"):
        DROPOUT.check(0.25)


@given(choices(), st.one_of(st.booleans(), st.integers(-9, 99), reals(-1, 1), st.none(), st.text()))
def test_a_choice_takes_its_own_values_of_their_own_type(parameter: Choice, value: Any) -> None:
    if any(type(value) is type(own) and value == own for own in parameter.values):
        parameter.check(value)
    else:
        with pytest.raises(SpaceError, match=r"^alpha: must be one of ") as caught:
            parameter.check(value)
        assert str(caught.value).endswith(f", got {received(value)}")


@pytest.mark.parametrize(
    ("parameter", "wrong"), [(FLIP, 1), (FLIP, 1.0), (FLIP, "true"), (BATCH, 8.0), (BATCH, True), (PENALTY, 0)]
)
def test_equal_is_not_enough_for_a_choice(parameter: Choice, wrong: Any) -> None:
    with pytest.raises(SpaceError, match=f"^{parameter.name}: must be one of .*, got {re.escape(received(wrong))}$"):
        parameter.check(wrong)


# Narrowing, as study.toml does


@given(numbers(), st.data())
def test_a_number_fixes(number: Number, data: st.DataObject) -> None:
    value = data.draw(st.integers(int(number.low), int(number.high)) if number.integer else reals_in(number))
    fixed = number.narrow(value)
    assert isinstance(fixed, Number)
    assert (fixed.low, fixed.high, fixed.default) == (value, value, value)
    assert (fixed.name, fixed.when, fixed.help, fixed.source, fixed.integer) == (
        number.name,
        number.when,
        number.help,
        number.source,
        number.integer,
    )
    assert fixed.range == format_value(type(fixed.low)(value))


@given(numbers(), st.data())
def test_a_list_lists(number: Number, data: st.DataObject) -> None:
    one = st.integers(int(number.low), int(number.high)) if number.integer else reals_in(number)
    listed = data.draw(st.lists(one, min_size=1, max_size=4, unique=True))
    narrowed = number.narrow(listed)
    assert isinstance(narrowed, Choice)
    assert list(narrowed.values) == listed
    assert (narrowed.when, narrowed.help, narrowed.source) == (number.when, number.help, number.source)
    assert {type(v) for v in narrowed.values} == {int if number.integer else float}
    distances = [abs(v - number.default) for v in listed]
    assert narrowed.default == listed[distances.index(min(distances))]


@given(numbers(), st.data())
def test_a_range_within_the_range_takes_nothing_that_was_not_taken(number: Number, data: st.DataObject) -> None:
    low, high = sorted(number.nearest_value(data.draw(reals(number.low, number.high))) for _ in range(2))
    narrowed = number.narrow({"low": low, "high": high})
    assert isinstance(narrowed, Number)
    assert (narrowed.low, narrowed.high) == (low, high)
    assert (narrowed.log, narrowed.step, narrowed.integer) == (number.log, number.step, number.integer)
    for share in (0.0, 0.3, 0.5, 1.0):
        number.check(narrowed.nearest_value(low + share * (high - low)))
    narrowed.check(narrowed.default)


@given(numbers(), reals(0, 20), reals(0, 20))
def test_a_range_widens_up_to_the_limits(number: Number, below: float, above: float) -> None:
    round_to = round if number.integer else float
    low, high = round_to(number.low - below), round_to(number.high + above)
    assume(not number.log or low > 0)
    if number.limits[0] <= low and high <= number.limits[1]:
        widened = number.narrow({"low": low, "high": high})
        assert isinstance(widened, Number)
        assert (widened.low, widened.high) == (low, high)
        widened.check(low)
    else:
        limits = f"{number.limits[0]:g} to {number.limits[1]:g}"
        assert refusal(number, {"low": low, "high": high}) == (
            f"alpha: must stay within {limits}, got {low:g} to {high:g}"
        )


def test_what_a_table_leaves_out_stays_and_the_default_moves_as_little_as_it_can() -> None:
    assert FILTERS.narrow({"high": 32}) == integer("filters", 8, 32, 16, step=8, limits=(1, 512))
    assert FILTERS.narrow({"low": 20}) == integer("filters", 20, 64, 20, step=8, limits=(1, 512))
    assert FILTERS.narrow({"default": 64}) == integer("filters", 8, 64, 64, step=8, limits=(1, 512))
    assert FILTERS.narrow({"log": True}) == integer("filters", 8, 64, 16, log=True, limits=(1, 512))
    assert DROPOUT.narrow({"step": 0.25}) == real("dropout", 0, 0.5, 0.25, step=0.25, limits=(0.0, 0.9))
    assert RATE.narrow({"log": False}) == real("rate", 1e-4, 1e-2, 1e-3, limits=(1e-7, 10.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low": 40, "high": 16}, "filters: low must not be above high, got low 40, high 16"),
        ({"low": 0}, "filters: must stay within 1 to 512, got 0 to 64"),
        (0, "filters: must stay within 1 to 512, got 0 to 0"),
        ({"hihg": 32}, "filters: unknown key 'hihg'; did you mean 'high'?"),
        ({"high": "32"}, "filters.high: must be a number, got '32'"),
        ({"high": True}, "filters.high: must be a number, got true"),
        ({"high": math.nan}, "filters.high: must be a number, got nan"),
        ({"high": 31.5}, "filters.high: must be a whole number, got 31.5"),
        ({"step": 0}, "filters: step must be above 0, got 0"),
        ({"log": 1}, "filters.log: must be true or false, got 1"),
        ({"default": 12}, "filters: must be in 8 to 64, step 8, got 12"),
        ({"log": True, "step": 8}, "filters: a range is either logarithmic or stepped, got both"),
        (12.5, "filters: must be a whole number, got 12.5"),
        (math.nan, "filters: must be a number, got nan"),
        (HUGE, f"filters: must be a number, got {HUGE}"),
        ([], "filters: needs at least one value, got none"),
        ([8, "16"], "filters: must be a number, got '16'"),
        ([8, 8], "filters: a value stands twice in [8, 8]"),
        ([8, 1024], "filters: must stay within 1 to 512, got 1024 to 1024"),
        ("16", "filters: must be a number, a list of them or a range, got '16'"),
        (True, "filters: must be a number, a list of them or a range, got true"),
        (None, "filters: must be a number, a list of them or a range, got None"),
    ],
)
def test_a_change_to_a_number_that_breaks_a_rule_is_refused(change: Any, message: str) -> None:
    assert refusal(FILTERS, change) == message


@pytest.mark.parametrize("step", [math.nan, math.inf, HUGE])
def test_a_step_is_finite(step: float) -> None:
    assert refusal(DROPOUT, {"step": step}) == f"dropout.step: must be a number, got {step!r}"


@given(choices(), st.data())
def test_a_choice_narrows_to_some_of_its_values(parameter: Choice, data: st.DataObject) -> None:
    everything = list(dict.fromkeys((*parameter.values, *parameter.known)))
    some = data.draw(st.lists(st.sampled_from(everything), min_size=1, unique=True))
    narrowed = parameter.narrow(some)
    assert (narrowed.values, narrowed.known, narrowed.when) == (tuple(some), parameter.known, parameter.when)
    assert narrowed.default == (parameter.default if parameter.default in some else narrowed.default)
    assert parameter.narrow(some[0]) == parameter.narrow(some[:1])


@pytest.mark.parametrize(
    ("parameter", "change", "message"),
    [
        (ACTIVATION, "rellu", "activation: must be one of relu, elu, tanh, got 'rellu'; did you mean 'relu'?"),
        (ACTIVATION, ["elu", "x"], "activation: must be one of relu, elu, tanh, got 'x'; known: relu, elu, tanh"),
        (ACTIVATION, [], "activation: needs at least one value, got none"),
        (ACTIVATION, ["elu", "elu"], "activation: a value stands twice in ['elu', 'elu']"),
        (ACTIVATION, {"low": 1}, "activation: must be one of relu, elu, tanh, got {'low': 1}; known: relu, elu, tanh"),
        (BATCH, 64, "batch: must be one of 4, 8, 16, 1, 32, got 64; did you mean '4'?"),
        (BATCH, True, "batch: must be one of 4, 8, 16, 1, 32, got true; known: 4, 8, 16, 1, 32"),
        (BATCH, HUGE, f"batch: must be one of 4, 8, 16, 1, 32, got {HUGE}; known: 4, 8, 16, 1, 32"),
        (FLIP, 1, "flip: must be one of false, true, got 1; known: false, true"),
        (FLIP, "true", "flip: must be one of false, true, got 'true'; did you mean 'true'?"),
    ],
)
def test_a_change_to_a_choice_that_breaks_a_rule_is_refused(parameter: Choice, change: Any, message: str) -> None:
    assert refusal(parameter, change) == message


def test_a_person_may_write_0_for_0_point_0_and_the_other_way_round() -> None:
    narrowed = PENALTY.narrow([0, 0.001])
    assert [(type(v), v) for v in narrowed.values] == [(float, 0.0), (float, 0.001)]
    assert BATCH.narrow(32.0).values == (32,)
    assert type(BATCH.narrow(32.0).default) is int


def test_a_list_for_a_number_has_a_default_of_its_own_type() -> None:
    assert type(choice_of("x", (1.0, 2.0), 1).default) is float
    assert choice_of("x", (4, 9), 6).default == 4
    assert choice_of("x", ("b", "c"), "a").default == "b"


# Words for people


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        (DROPOUT, "0 to 0.5, step 0.1"),
        (RATE, "0.0001 to 0.01, logarithmic"),
        (integer("n", 1, 5, 2), "1 to 5"),
        (FILTERS, "8 to 64, step 8"),
        (FILTERS.narrow(16), "16"),
        (FLIP, "false, true"),
        (PENALTY, "0.01, 0.001, 0"),
        (choice("n", 5_000_000), "5000000"),
    ],
)
def test_a_range_in_words(parameter: Parameter, words: str) -> None:
    assert parameter.range == words


def test_a_condition_in_words() -> None:
    assert str(When("depth", at_least=2)) == "depth >= 2"
    assert str(When("flip", (True,))) == "flip = true"
    assert str(When("optimizer", ("adam", "sgd"))) == "optimizer in adam, sgd"


def test_an_unknown_name_is_answered_with_the_nearest_or_with_all() -> None:
    assert nearest("dropuot", ["dropout", "depth"]) == "did you mean 'dropout'?"
    assert nearest("zzz", ["dropout", "depth"]) == "known: dropout, depth"


def reals_in(number: Number) -> st.SearchStrategy[float]:
    return reals(number.low, number.high).filter(lambda x: number.low <= x <= number.high)


def test_the_steps_that_the_properties_try_are_steps() -> None:
    for step in STEPS:
        real("x", 0.0, 10.0, 10.0, step=step)


def test_spacing_is_the_step_between_values_and_none_where_there_is_none() -> None:
    assert integer("x", 0, 10, 0).spacing == 1
    assert integer("x", 1, 100, 1, log=True).spacing == 1
    assert integer("x", 0, 10, 0, step=5).spacing == 5
    assert real("x", 0.0, 1.0, 0.0, step=0.25).spacing == 0.25
    assert real("x", 0.0, 1.0, 0.0).spacing is None
    assert real("x", 0.1, 1.0, 0.1, log=True).spacing is None
