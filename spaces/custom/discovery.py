"""The space of a user's builder, found by running it: which parameters it requests of Keras Tuner's `hp`, and when."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from spaces.parameters import Choice, Number, Parameter, SpaceError, Value, When, format_value
from spaces.space import Space

if TYPE_CHECKING:
    import keras_tuner

Run: TypeAlias = "tuple[keras_tuner.HyperParameters, bool]"  # what a builder requested, whether it returned

MAX_VALUES = 64  # of one parameter, that are tried; of a longer range SPREAD values are
SPREAD = 9
QUIET = 32  # random points in a row without anything new, after which it ends: finds three booleans together in 98 %
MAX_LISTED = 1000  # values of a choice that a stepped range becomes


def discovered(run_at: Callable[[Mapping[str, Value]], Run], max_seconds: float) -> tuple[Space, bool]:
    """(the space of a builder, whether everything was tried within `max_seconds`).

    `run_at` runs the builder at these values, the others at their defaults. It is run at its defaults, at every value
    of every parameter, and at random points. A parameter that is requested only at some values of another gets that
    condition, unless it was requested at any other point too: a superfluous parameter does no harm, a missing one
    fails trials. Raises SpaceError where a parameter cannot be searched.
    """
    explorer = _Explorer(run_at, time.monotonic() + max_seconds)
    explorer.visit({})
    explorer.try_all_values()
    rng = np.random.default_rng(0)
    space, quiet = explorer.space(), 0
    while quiet < QUIET and explorer.in_time:
        explorer.visit(space.sample(rng))
        explorer.try_all_values()
        before, space = space, explorer.space()
        quiet = quiet + 1 if space == before else 0
    return space, explorer.in_time


def requested(hp: keras_tuner.HyperParameters) -> list[str]:
    """Names of the active parameters that a builder requested, in the order of their first request."""
    return list(dict.fromkeys(p.name for p in hp.space if hp.is_active(p)))


class _Explorer:
    """Which parameters were requested at which points, and the space that follows."""

    def __init__(self, run_at: Callable[[Mapping[str, Value]], Run], until: float) -> None:
        self._run_at, self._until = run_at, until
        self._entries: dict[str, Any] = {}  # Keras Tuner's, each as first requested
        self._parameters: dict[str, Parameter] = {}
        self._contexts: dict[str, dict[str, Value]] = {}  # a point at which the parameter is active
        self._visited: set[_Key] = set()
        self._seen: dict[_Key, frozenset[str]] = {}  # point -> what was requested there, where the builder returned
        self._times: Counter[str] = Counter()  # how often a parameter was requested
        self._varied: set[str] = set()  # parameters for which all values were tried
        self._idle: set[str] = set()  # parameters whose value changed nothing in what is requested
        self._values_beside: defaultdict[tuple[str, str], Counter[Value]] = defaultdict(Counter)
        """(parameter, another one requested at the same points) -> values of the other."""

    @property
    def in_time(self) -> bool:
        """Whether the builder may be run again."""
        return time.monotonic() < self._until

    def visit(self, values: Mapping[str, Value]) -> None:
        """Run the builder at these values, once, and keep the order in which parameters are requested."""
        if _key(values) in self._visited or (self._visited and not self.in_time):
            return
        hp, returned = self._run_at(values)
        names = requested(hp)
        point: dict[str, Value] = {name: _plain(hp.values[name]) for name in names}
        self._visited |= {_key(values), _key(point)}
        if returned:  # else a parameter that is missing might have been requested later
            self._seen[_key(point)] = self._seen[_key(values)] = frozenset(names)
        previous = ""
        for entry in filter(hp.is_active, hp.space):
            self._take(entry, previous, point)
            previous = entry.name
        for name in names:
            self._times[name] += 1
            for other in names:
                self._values_beside[name, other][point[other]] += 1

    def try_all_values(self) -> None:
        """At a point where a parameter is active, try all values of each parameter of that point.

        This is repeated while it finds new parameters. Parameters that are active at the same point share the visits.
        """
        while pending := [name for name in self._parameters if name not in self._varied]:
            for name in pending:
                self._varied.add(name)
                for parent in self._contexts[name]:
                    self._vary(self._contexts[name], parent)

    def _vary(self, context: Mapping[str, Value], parent: str) -> None:
        """Change one parameter of a point to each of its values; to three while that never changed the requests."""
        values = _values(self._parameters[parent])[0]
        idle = parent in self._idle
        for value in [values[0], values[len(values) // 2], values[-1]] if idle else values:
            self.visit({**context, parent: value})
        keys = (_key({**context, parent: value}) for value in values)
        if len({self._seen[key] for key in keys if key in self._seen}) < 2:
            self._idle.add(parent)
        elif idle:
            self._idle.discard(parent)
            self._vary(context, parent)

    def space(self) -> Space:
        """The parameters so far, each with the conditions that agree with all that was requested."""
        names = list(self._parameters)
        return Space(
            tuple(
                replace(self._parameters[name], when=tuple(self._conditions(name, names[:index])))
                for index, name in enumerate(names)
            )
        )

    def _take(self, entry: Any, previous: str, point: Mapping[str, Value]) -> None:
        """Note a parameter, requested at this point after `previous`; a name's first range counts, as in Keras Tuner.

        Keras Tuner has a parameter for each scope. Here a name is one parameter, so its ranges must not differ.
        """
        first = self._entries.get(entry.name)
        if first is None:
            self._entries[entry.name] = entry
            items = list(self._parameters.items())
            place = 1 + next((i for i, (name, _) in enumerate(items) if name == previous), -1)
            self._parameters = dict([*items[:place], (entry.name, parameter_of(entry)), *items[place:]])
            self._contexts[entry.name] = dict(point)
        elif first.conditions != entry.conditions and repr(first) != repr(entry):
            raise SpaceError(
                f"'{entry.name}' has one range {_scope(first)} and another {_scope(entry)}, {first} and {entry}, but a "
                "name can have only one here: give them different names, for example with hp.name_scope"
            )

    def _conditions(self, name: str, before: Sequence[str]) -> Iterable[When]:
        """Conditions on earlier parameters, without those that `name` was also requested outside of."""
        for parent in before:
            others = self._values_beside[name, parent]
            condition = self._condition(name, parent) if others.total() == self._times[name] else None
            if condition and all(condition.holds({parent: value}) for value in others):
                yield condition

    def _condition(self, name: str, parent: str) -> When | None:
        """The values of `parent` at which `name` stays active if nothing else changes; None where these are all values.

        A value that was not tried, between two that were, is assumed to keep it active.
        """
        parameter, context = self._parameters[parent], self._contexts[name]
        values, complete = _values(parameter)
        stays = [name in self._seen.get(_key({**context, parent: value}), {name}) for value in values]
        if all(stays):
            return None
        last = len(stays) - 1 - stays[::-1].index(False)  # the highest value without it
        if isinstance(parameter, Number) and not any(stays[:last]) and last + 1 < len(values):
            if complete:
                return When(parent, at_least=float(values[last + 1]))
            if (step := _step(parameter)) is not None:
                return When(parent, at_least=float(parameter.nearest_value(float(values[last]) + step)))
            return When(parent, at_least=float(values[last])) if last else None  # above the lowest is nearly all
        return When(parent, one_of=tuple(itertools.compress(values, stays))) if complete else None


_Key: TypeAlias = tuple[tuple[str, Value], ...]


def _key(values: Mapping[str, Value]) -> _Key:
    return tuple(sorted(values.items()))


def _plain(value: Any) -> Any:
    """A NumPy number as a Python number."""
    return value.item() if isinstance(value, np.generic) else value


def _scope(entry: Any) -> str:
    """The scope of an entry of Keras Tuner, in words."""
    conditions = (f"{c.name} = {' or '.join(map(format_value, c.values))}" for c in entry.conditions)
    return f"where {' and '.join(conditions)}" if entry.conditions else "outside of a scope"


def _step(parameter: Number) -> float | None:
    return 1 if parameter.integer and parameter.step is None else parameter.step


def _count(parameter: Number) -> int | None:
    """The number of values; None for a float without steps."""
    step = _step(parameter)
    return None if step is None else int((parameter.high - parameter.low) / step + 1e-9) + 1


def _values(parameter: Parameter) -> tuple[list[Value], bool]:
    """(the values to try, in order, whether these are all values)."""
    if isinstance(parameter, Choice):
        every = parameter.values
        if len(every) <= MAX_VALUES:
            return list(every), True
        return [every[round(place)] for place in np.linspace(0, len(every) - 1, MAX_VALUES)], False
    count = _count(parameter)
    complete = count is not None and count <= MAX_VALUES
    if count is not None and complete:
        numbers = [parameter.low + i * (_step(parameter) or 1) for i in range(count)]
    else:
        scale = np.geomspace if parameter.log else np.linspace
        numbers = [float(value) for value in scale(parameter.low, parameter.high, SPREAD)]
    kind: type[int] | type[float] = int if parameter.integer else float
    return sorted({kind(parameter.nearest_value(number)) for number in numbers}), complete


def parameter_of(entry: Any) -> Parameter:
    """A parameter of Keras Tuner as one of ours, with the same values. Raises SpaceError for an impossible range.

    Logarithmic sampling with a step multiplies, so its values become a choice. 'reverse_log' without a step has no
    equivalent and is searched linearly. Of a linear range with a step Keras Tuner's code sometimes loses the last value
    (1 // 0.2 is 4), against its documentation; here it is kept.

    A default that is none of the values is allowed there, and trial 0 takes it: it becomes one more value of a choice,
    or, where there are more than MAX_LISTED values, an end of the range.
    """
    kind, name, default = type(entry).__name__, entry.name, _plain(entry.default)
    if kind == "Fixed":
        return Choice(name, (default,), default)
    if kind == "Boolean":
        return Choice(name, (False, True), bool(default))
    if kind == "Choice":
        values = tuple(dict.fromkeys(map(_plain, entry.values)))
        return Choice(name, values, next(value for value in values if value == default))
    if entry.sampling != "linear" and entry.step is not None and len(several := _multiplied(entry)) <= MAX_LISTED:
        return _listed(name, several, default)
    return _ranged(entry, default, integer=kind == "Int")


def _ranged(entry: Any, default: Any, *, integer: bool) -> Parameter:
    """A range of Keras Tuner's whose values are not multiplied. `integer`: whether they are integers."""
    name, low, high, log = entry.name, _plain(entry.min_value), _plain(entry.max_value), entry.sampling == "log"
    step = _plain(entry.step) if entry.sampling == "linear" else None
    if integer:
        default = int(default) if float(default).is_integer() else default
        step = 1 if step is None and not log else step
    number = Number(name, low, high, low, integer=integer, log=log, step=step)
    with contextlib.suppress(SpaceError):
        return replace(number, default=default)
    count = _count(number)
    if count is not None and count <= MAX_LISTED:
        several = [number.nearest_value(low + i * (_step(number) or 1)) for i in range(count)]
        return _listed(name, several, default)
    if log and default <= 0:  # no end of such a range; `values` are the ten of Keras Tuner's grid
        return _listed(name, map(_plain, entry.values), default)
    return Number(name, min(low, default), max(high, default), default, integer=integer, log=log)


def _multiplied(entry: Any) -> list[float]:
    """The values of a logarithmic range with a step, rounded as Keras Tuner rounds them."""
    count = sum(1 for _ in entry.values)
    return sorted(_plain(entry.prob_to_value((place + 0.5) / count)) for place in range(count))


def _listed(name: str, values: Iterable[float], default: float) -> Choice:
    """A choice of these numbers, each once, and of the default, which may differ from one of them in a last digit."""
    others = {value for value in values if not math.isclose(value, default, rel_tol=1e-9)}
    return Choice(name, tuple(sorted({*others, default})), default)
