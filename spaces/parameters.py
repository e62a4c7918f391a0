"""The parameters of a space: what one may be, and how a person narrows it."""

from __future__ import annotations

import difflib
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias, TypeGuard

Value: TypeAlias = bool | int | float | str


class SpaceError(ValueError):
    """A space, a point of it, or a change to it breaks a rule. The message names parameter, rule and value."""


def nearest(name: str, known: Sequence[str]) -> str:
    """A half sentence that helps with an unknown name: the closest known one, or all of them."""
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"known: {', '.join(known)}"


def _is_finite(value: object) -> TypeGuard[float]:
    """Whether it is a number that a float holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


@dataclass(frozen=True)
class When:
    """A condition: an earlier parameter is active and has one of these values, or at least this value."""

    parameter: str
    one_of: tuple[Value, ...] = ()
    at_least: float | None = None

    def __post_init__(self) -> None:
        if self.at_least is not None and not _is_finite(self.at_least):  # NaN too, with which nothing compares
            raise SpaceError(f"a condition on {self.parameter}: at_least must be a number, got {self.at_least!r}")

    def holds(self, params: Mapping[str, Value]) -> bool:
        """Whether the condition holds for the parameters chosen so far."""
        if self.parameter not in params:
            return False
        value = params[self.parameter]
        if self.at_least is not None:
            return not isinstance(value, str) and value >= self.at_least
        return value in self.one_of

    def __str__(self) -> str:
        if self.at_least is not None:
            return f"{self.parameter} >= {self.at_least:g}"
        if len(self.one_of) == 1:
            return f"{self.parameter} = {format_value(self.one_of[0])}"
        return f"{self.parameter} in {', '.join(map(format_value, self.one_of))}"


@dataclass(frozen=True)
class Number:
    """An integer or a float in [low, high], on a linear or a logarithmic scale, or in steps from low.

    `limits` bounds what `narrow` may widen the range to, both ends included. `help` says what it does, `source` where
    range and default come from.
    """

    name: str
    low: float
    high: float
    default: float
    integer: bool = False
    log: bool = False
    step: float | None = None
    limits: tuple[float, float] = (-math.inf, math.inf)
    when: tuple[When, ...] = ()
    help: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        for key in ("low", "high") if self.step is None else ("low", "high", "step"):
            self._check_number(f"{self.name}.{key}", getattr(self, key))
        if self.low > self.high:
            raise SpaceError(f"{self.name}: low must not be above high, got low {self.low:g}, high {self.high:g}")
        if self.log and self.low <= 0:
            raise SpaceError(f"{self.name}: a logarithmic range must begin above 0, got low {self.low:g}")
        if self.log and self.step is not None and not (self.integer and self.step == 1):
            raise SpaceError(f"{self.name}: a range is either logarithmic or stepped, got both")
        if self.step is not None and self.step <= 0:
            raise SpaceError(f"{self.name}: step must be above 0, got {self.step:g}")
        if self.limits[0] > self.low or self.high > self.limits[1]:
            raise SpaceError(
                f"{self.name}: must stay within {self.limits[0]:g} to {self.limits[1]:g}, "
                f"got {self.low:g} to {self.high:g}"
            )
        self.check(self.default)

    def check(self, value: object) -> None:
        """Raise SpaceError unless `value` is in the range and on a step."""
        value = self._check_number(self.name, value)
        if self.step is not None and not self.log:  # 0.1 + 0.2 is on step 0.1, and in 0 to 0.3
            fits = math.isclose(self.nearest_value(value), value, rel_tol=1e-9, abs_tol=1e-12)
        else:
            fits = self.low <= value <= self.high
        if not fits:
            raise SpaceError(f"{self.name}: must be in {self.range}, got {received(value)}")

    def nearest_value(self, value: float) -> float:
        """The allowed value closest to `value`."""
        value = min(max(value, self.low), self.high)
        value = self._on_step(value)
        return round(value) if self.integer else value

    def narrow(self, change: object) -> Parameter:
        """This parameter as the user's TOML value says: a number fixes, a list lists, a table sets the range."""
        match change:
            case bool() | str():
                raise SpaceError(f"{self.name}: must be a number, a list of them or a range, got {received(change)}")
            case int() | float():
                return self._fixed(change)
            case list():
                for value in change:
                    self._fixed(value)
                values = tuple(int(v) if self.integer else float(v) for v in change)
                chosen = choice_of(self.name, values, self.default)
                return replace(chosen, when=self.when, help=self.help, source=self.source)
            case dict():
                return self._between(change)
            case _:
                raise SpaceError(f"{self.name}: must be a number, a list of them or a range, got {received(change)}")

    def _check_number(self, what: str, value: object) -> float:
        """`value`, where it is finite (a float holds it) and whole where it has to be; else SpaceError on `what`."""
        if not _is_finite(value):
            raise SpaceError(f"{what}: must be a number, got {received(value)}")
        if self.integer and not float(value).is_integer():
            raise SpaceError(f"{what}: must be a whole number, got {received(value)}")
        return value

    def _fixed(self, value: object) -> Number:
        self._check_number(self.name, value)
        return self._between({"low": value, "high": value, "step": None, "log": False})

    def _between(self, change: Mapping[str, Any]) -> Number:
        keys = ("low", "high", "default", "log", "step")
        for key, value in change.items():
            if key not in keys:
                raise SpaceError(f"{self.name}: unknown key '{key}'; {nearest(key, keys)}")
            if key == "log" and not isinstance(value, bool):
                raise SpaceError(f"{self.name}.log: must be true or false, got {received(value)}")
            if key != "log" and not (key == "step" and value is None):
                self._check_number(f"{self.name}.{key}", value)
        low, high = change.get("low", self.low), change.get("high", self.high)
        if low > high:
            raise SpaceError(f"{self.name}: low must not be above high, got low {low:g}, high {high:g}")
        log = change.get("log", self.log)
        step = change.get("step", None if log and not self.log else self.step)
        bounds: dict[str, Any] = {"low": low, "high": high, "log": log, "step": step}
        if self.limits[0] > low or high > self.limits[1]:
            raise SpaceError(
                f"{self.name}: must stay within {self.limits[0]:g} to {self.limits[1]:g}, got {low:g} to {high:g}"
            )
        roomy = replace(self, default=low, **bounds)
        default = change.get("default", roomy.nearest_value(self.default))
        return replace(roomy, default=default)

    def _on_step(self, value: float) -> float:
        if self.step is None or self.log:
            return value
        steps = min(round((value - self.low) / self.step), math.floor((self.high - self.low) / self.step + 1e-9))
        exact = Decimal(str(self.low)) + steps * Decimal(str(self.step))  # three steps of 0.1 are 0.3
        return min(max(float(exact), self.low), self.high)

    @property
    def spacing(self) -> float | None:
        """The step between values on their scale; None where they are without steps."""
        return (self.step or 1) if self.integer else None if self.log else self.step

    @property
    def range(self) -> str:
        """The range in words."""
        if self.low == self.high:
            return format_value(self.low)
        scale = ", logarithmic" if self.log else ""
        step = f", step {self.step:g}" if self.step and not (self.integer and self.step == 1) else ""
        return f"{self.low:g} to {self.high:g}{scale}{step}"


@dataclass(frozen=True)
class Choice:
    """One of a few values, without order. `known` are the values that `narrow` may add (empty: only `values`).

    `help` says what it does, `source` where values and default come from.
    """

    name: str
    values: tuple[Value, ...]
    default: Value
    known: tuple[Value, ...] = ()
    when: tuple[When, ...] = ()
    help: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        if not self.values:
            raise SpaceError(f"{self.name}: needs at least one value, got none")
        if len(set(self.values)) < len(self.values):  # 1, 1.0 and True are one: Optuna cannot tell them apart
            raise SpaceError(f"{self.name}: a value stands twice in {list(self.values)}")
        self.check(self.default)

    def check(self, value: object) -> None:
        """Raise SpaceError unless `value` is one of the values, of the same type."""
        if not any(type(v) is type(value) and v == value for v in self.values):
            raise SpaceError(f"{self.name}: must be one of {self.range}, got {received(value)}")

    def narrow(self, change: object) -> Choice:
        """This parameter as the user's TOML value says: a value fixes, a list lists."""
        values: list[Any] = change if isinstance(change, list) else [change]
        everything = replace(self, values=(*self.values, *(v for v in self.known if v not in self.values)))
        values = [everything.own_kind(value) for value in values]
        for value in values:
            try:
                everything.check(value)
            except SpaceError as error:
                raise SpaceError(
                    f"{error}; {nearest(format_value(value), [format_value(v) for v in everything.values])}"
                ) from None
        narrowed = choice_of(self.name, tuple(values), self.default)
        return replace(self, values=narrowed.values, default=narrowed.default)

    def own_kind(self, value: Any) -> Any:
        """The equal number among the values, if there is one: a person's 0 means 0.0 where that is a choice."""
        numbers = (v for v in self.values if not isinstance(v, bool | str))
        return value if isinstance(value, bool | str) else next((v for v in numbers if v == value), value)

    @property
    def range(self) -> str:
        """The values in words."""
        return ", ".join(map(format_value, self.values))


Parameter: TypeAlias = Number | Choice


def choice_of(name: str, values: tuple[Value, ...], default: Value) -> Choice:
    """A Choice whose default is `default` where that is among the values, else the closest or first of them."""
    same = [v for v in values if v == default]
    if same:
        chosen = same[0]
    elif values and all(isinstance(v, int | float) for v in (*values, default)):
        chosen = min(values, key=lambda v: abs(float(v) - float(default)))
    else:
        chosen = values[0] if values else default
    return Choice(name, values, chosen)


def integer(name: str, low: int, high: int, default: int, **more: Any) -> Number:
    """An integer in [low, high]; see Number."""
    return Number(name, low, high, default, integer=True, **({"step": None if more.get("log") else 1} | more))


def real(name: str, low: float, high: float, default: float, **more: Any) -> Number:
    """A float in [low, high]; see Number."""
    return Number(name, low, high, default, **more)


def choice(name: str, *values: Value, default: Value | None = None, **more: Any) -> Choice:
    """One of `values`, the first being the default unless another is named; see Choice."""
    return Choice(name, values, values[0] if default is None else default, **more)


def boolean(name: str, *, default: bool, **more: Any) -> Choice:
    """True or false; see Choice."""
    return Choice(name, (False, True), default, **more)


def format_value(value: object) -> str:
    """A value as it would stand in TOML, short."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:g}"
    return str(value)


def in_words(params: Mapping[str, Value], defaults: Mapping[str, Value]) -> str:
    """'depth = 4, rate = 0.1': the parameters of a point that differ from their defaults."""
    changed = (
        f"{name} = {format_value(value)}"
        for name, value in params.items()
        if name not in defaults or defaults[name] != value
    )
    return ", ".join(changed)


def received(value: object) -> str:
    """A value of any kind as a message quotes it: 'true' is a word, true is not."""
    return format_value(value) if isinstance(value, bool) else repr(value)
