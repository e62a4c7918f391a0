"""`grid`, for both engines: every combination once.

The engines' own grids cannot be used: Optuna's `GridSampler` does not support conditions. Keras Tuner's waits for open
trials to end, since a model might still add parameters. The order is Keras Tuner's, which a test compares.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from search.samplers.base import Exhausted
from spaces import Choice, Parameter, Space, Value
from storage.records import Origin, TrialRecord

GRID_POINTS = 5  # at most so many values of a range


class GridSampler:
    """All combinations in a fixed order: the last parameter varies first, and its default comes before other values.

    The next combination depends only on the last one, neither on the seed nor on scores.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._points = {p.name: _default_first(p) for p in space.parameters}
        self._last: dict[str, Value] | None = None

    def replay(self, trials: Sequence[TrialRecord]) -> None:
        """See Sampler."""
        for trial in trials:
            if trial.origin == Origin.SAMPLER:
                self._last = dict(trial.params)

    def ask(self, number: int, fixed: dict[str, Value] | None = None) -> dict[str, Value]:  # noqa: ARG002 - see Sampler
        """See Sampler."""
        if fixed is not None:
            return dict(fixed)
        point = self._from({}) if self._last is None else self._after(self._last)
        if point is None:
            raise Exhausted("every combination of the grid has been tried")
        self._last = point
        return dict(point)

    def refuse(self, number: int) -> None:
        """See Sampler. The next ask gives the next combination."""

    def tell(self, trial: TrialRecord) -> None:
        """See Sampler. A grid does not use scores."""

    def _after(self, point: Mapping[str, Value]) -> dict[str, Value] | None:
        """The next combination: the last parameter with a next value takes it, and those after it start again."""
        names = list(self._space.resolve(lambda p: point[p.name]))
        for at in reversed(range(len(names))):
            values = self._points[names[at]]
            place = values.index(point[names[at]])
            if place + 1 < len(values):
                return self._from({**{name: point[name] for name in names[:at]}, names[at]: values[place + 1]})
        return None

    def _from(self, kept: Mapping[str, Value]) -> dict[str, Value]:
        return self._space.resolve(lambda p: kept.get(p.name, self._points[p.name][0]))


def grid_points(parameter: Parameter) -> tuple[Value, ...]:
    """The values of a parameter that a grid tries: all if they are few, else five over the range with the default."""
    if isinstance(parameter, Choice):
        return parameter.values
    low, high, step = parameter.low, parameter.high, parameter.spacing
    if step is not None and (high - low) / step < GRID_POINTS - 1e-9:
        places = range(math.floor((high - low) / step + 1e-9) + 1)
        return tuple(dict.fromkeys(parameter.nearest_value(low + at * step) for at in places))

    def on_scale(share: float) -> float:
        return low * (high / low) ** share if parameter.log else low + (high - low) * share

    spread = (parameter.nearest_value(on_scale(at / (GRID_POINTS - 1))) for at in range(GRID_POINTS))
    points, default = list(dict.fromkeys(spread)), parameter.nearest_value(parameter.default)
    if default not in points:
        scale = math.log if parameter.log else float
        inner = sorted(points[1:-1], key=lambda point: abs(scale(point) - scale(default)))
        points = sorted({points[0], *inner[1:], default, points[-1]})  # the ends stay
    return tuple(points)


def _default_first(parameter: Parameter) -> tuple[Value, ...]:
    points = grid_points(parameter)
    default = parameter.default if isinstance(parameter, Choice) else parameter.nearest_value(parameter.default)
    return default, *(point for point in points if point != default)
