"""A space: parameters in order, each perhaps under conditions on earlier ones."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from functools import cached_property
from typing import Any

import numpy as np

from spaces.parameters import Choice, Number, Parameter, SpaceError, Value, When, format_value, nearest


@dataclass(frozen=True)
class Space:
    """Parameters in the order in which they are decided. A condition may only look back.

    Everything that traverses a space (sampling, defaults, checking, an Optuna trial) goes through `resolve`,
    so that what is active is decided in one place.
    """

    parameters: tuple[Parameter, ...]

    def __post_init__(self) -> None:
        seen: set[str] = set()
        for parameter in self.parameters:
            if parameter.name in seen:
                raise SpaceError(f"{parameter.name}: a parameter of this name is there already")
            for condition in parameter.when:
                if condition.parameter not in seen:
                    raise SpaceError(f"{parameter.name}: its condition needs '{condition.parameter}' to come before it")
            seen.add(parameter.name)

    @cached_property
    def by_name(self) -> dict[str, Parameter]:
        """Parameters by name, in order."""
        return {p.name: p for p in self.parameters}

    def resolve(self, choose: Callable[[Parameter], Value]) -> dict[str, Value]:
        """Traverse the space: call `choose` for each active parameter, in order; return the point."""
        params: dict[str, Value] = {}
        for parameter in self.parameters:
            if all(condition.holds(params) for condition in parameter.when):
                value = choose(parameter)
                if isinstance(parameter, Number) and not isinstance(value, str):
                    value = int(value) if parameter.integer else float(value)
                params[parameter.name] = value
        return params

    def defaults(self, **changes: Value) -> dict[str, Value]:
        """The default point (the baseline), with some values replaced where they are active and allowed."""
        return self.resolve(lambda p: _allowed(p, changes[p.name]) if p.name in changes else p.default)

    def sample(self, rng: np.random.Generator) -> dict[str, Value]:
        """A point drawn uniformly (uniformly in the logarithm where the range is logarithmic)."""
        return self.resolve(lambda p: _draw(p, rng))

    def check(self, params: Mapping[str, Value]) -> None:
        """Raise SpaceError, naming every problem, unless `params` is a point of this space."""
        _, problems = self._point(params)
        if problems:
            raise SpaceError("\n".join(problems))

    def changed(self, changes: Mapping[str, object]) -> dict[str, Value]:
        """The default point with these changes made, as a person writes them: 0 means 0.0 where that is a choice.

        Raises SpaceError that names every problem: a parameter that is unknown or not active there, a value that is
        not allowed.
        """
        own = {
            name: p.own_kind(value) if isinstance(p := self.by_name.get(name), Choice) else value
            for name, value in changes.items()
        }
        point, problems = self._point(own, defaults=True)
        if problems:
            raise SpaceError("\n".join(problems))
        return point

    def _point(self, params: Mapping[str, Any], *, defaults: bool = False) -> tuple[dict[str, Value], list[str]]:
        """The point of these values and what is wrong with them; a missing one is wrong, or the default is taken."""
        problems: list[str] = []

        def take(parameter: Parameter) -> Value:
            if parameter.name not in params:
                if not defaults:
                    problems.append(f"{parameter.name}: missing; {parameter.range}")
                return parameter.default
            value: Value = params[parameter.name]
            try:
                parameter.check(value)
            except SpaceError as error:
                problems.append(str(error))
                return parameter.default
            return value

        active = self.resolve(take)
        for name in (n for n in params if n not in active):
            if name in self.by_name:
                conditions = " and ".join(map(str, self.by_name[name].when))
                problems.append(f"{name}: only where {conditions}; set that too")
            else:
                problems.append(f"{name}: unknown; {nearest(name, list(self.by_name))}")
        return active, problems

    def narrow(self, changes: Mapping[str, object]) -> Space:
        """This space with some parameters fixed, listed, narrowed or widened; names every problem at once."""
        problems: list[str] = []
        changed = dict(self.by_name)
        for name, change in changes.items():
            if name not in changed:
                problems.append(f"{name}: no such parameter; {nearest(name, list(changed))}")
                continue
            try:
                changed[name] = changed[name].narrow(change)
            except SpaceError as error:
                problems.append(str(error))
        if problems:
            raise SpaceError("\n".join(problems))
        return Space(tuple(changed.values()))

    def rows(self) -> list[dict[str, str]]:
        """The space as a table for people: name, range, default, when, help, source."""
        return [
            {
                "name": p.name,
                "range": p.range,
                "default": format_value(p.default),
                "when": " and ".join(map(str, p.when)),
                "help": p.help,
                "source": p.source,
            }
            for p in self.parameters
        ]

    def to_json(self) -> dict[str, Any]:
        """Plain data from which `from_json` makes an equal space."""
        return {"parameters": [_parameter_to_json(p) for p in self.parameters]}

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> Space:
        """The space that `to_json` wrote. Raises SpaceError for anything else."""
        try:
            return Space(tuple(_parameter_from_json(p) for p in data["parameters"]))
        except SpaceError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise SpaceError(f"this is not a stored space: {error}") from error


def _allowed(parameter: Parameter, value: Value) -> Value:
    try:
        parameter.check(value)
    except SpaceError:
        return parameter.default
    return value


def _draw(parameter: Parameter, rng: np.random.Generator) -> Value:
    if isinstance(parameter, Choice):
        return parameter.values[int(rng.integers(len(parameter.values)))]
    if parameter.log:
        margin = 0.5 if parameter.integer else 0.0  # what is rounded to an end counts for it
        low, high = np.log(parameter.low - margin), np.log(parameter.high + margin)
        return parameter.nearest_value(float(np.exp(rng.uniform(low, high))))
    step = 1 if parameter.integer and parameter.step is None else parameter.step
    if step is not None:
        count = int((parameter.high - parameter.low) / step + 1e-9) + 1
        return parameter.nearest_value(parameter.low + step * int(rng.integers(count)))
    return parameter.nearest_value(float(rng.uniform(parameter.low, parameter.high)))


_KINDS: dict[str, type[Number | Choice]] = {"number": Number, "choice": Choice}


def _parameter_to_json(parameter: Parameter) -> dict[str, Any]:
    kind = "number" if isinstance(parameter, Number) else "choice"
    stored: dict[str, Any] = {"kind": kind}
    for field in fields(parameter):
        value = getattr(parameter, field.name)
        if field.default is not MISSING and value == field.default:
            continue
        if field.name == "when":
            value = [{**asdict(condition), "one_of": list(condition.one_of)} for condition in value]
        if field.name == "limits":  # JSON has no infinity
            value = [limit if math.isfinite(limit) else None for limit in value]
        stored[field.name] = list(value) if isinstance(value, tuple) else value
    return stored


def _parameter_from_json(stored: Mapping[str, Any]) -> Parameter:
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items() if k != "kind"}
    given["when"] = tuple(When(w["parameter"], tuple(w["one_of"]), w["at_least"]) for w in stored.get("when", ()))
    if "limits" in given:
        low, high = given["limits"]
        given["limits"] = (-math.inf if low is None else low, math.inf if high is None else high)
    return _KINDS[stored["kind"]](**given)
