"""Score against single parameters, and two parameters together."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.html import svg
from reports.html.charts import Limits, detail_limits
from reports.wording.values import count, metric_words, number, shortened, value_words, visible
from search.results.importance import evenly
from search.results.summary import StudySummary, TrialRow
from spaces import Number, Space

MIN_TRIALS = 8  # complete ones, for slices; and
MIN_PAIR = 30  # with both parameters, for a pair
_COLUMN = 18.0  # width of a column of trials with one value
_MAX_SLICES, _MAX_POINTS, _MAX_VALUES = 6, 300, 6
_WIDE, _HIGH, _LEFT, _RIGHT, _TOP, _BOTTOM = 320.0, 190.0, 42.0, 16.0, 12.0, 36.0


@dataclass(frozen=True)
class Slice:
    """One drawing."""

    name: str
    drawing: Markup
    chance: bool  # whether it is drawn


@dataclass(frozen=True)
class Pair:
    """Two parameters together."""

    first: str
    second: str
    trials: int
    drawing: Markup


@dataclass(frozen=True)
class Scale:
    """An axis of values of a parameter: where they lie from 0 to 1, and which are labelled."""

    place: Callable[[object], float]
    labels: Sequence[tuple[float, str]]
    columns: bool = False  # of values without a size: trials of one value lie beside each other


def slices(data: StudySummary, space: Space | None, names: Sequence[str]) -> list[Slice]:
    """Of the first of `names`, the parameters that vary; empty with few trials."""
    rows = _complete(data)
    if len(rows) < MIN_TRIALS:
        return []
    limits = detail_limits(data, [row.score for row in rows if row.score is not None])
    drawn, chance = names[:_MAX_SLICES], data.chance in limits
    return [Slice(visible(name), _slice(data, name, space, rows, limits), chance) for name in drawn]


def pair(data: StudySummary, space: Space | None, names: Sequence[str]) -> Pair | None:
    """Of the first two of `names`; None if too few trials have both."""
    if len(names) < 2:
        return None
    first, second = names[:2]
    rows = [row for row in _complete(data) if first in row.params and second in row.params]
    if len(rows) < MIN_PAIR:
        return None
    return Pair(visible(first), visible(second), len(rows), _pair(first, second, space, rows))


def _complete(data: StudySummary) -> list[TrialRow]:
    return [row for row in data.rows if row.rank is not None]


def _slice(data: StudySummary, name: str, space: Space | None, rows: Sequence[TrialRow], limits: Limits) -> Markup:
    having = [row for row in rows if name in row.params]
    scale = value_scale(name, [row.params[name] for row in having], space)
    across = svg.linear(0.0, 1.0, _LEFT + 14, _WIDE - _RIGHT - 10)
    y = svg.linear(limits.low, limits.high, _HIGH - _BOTTOM, _TOP)

    def place(row: TrialRow) -> tuple[float, float]:
        return across(scale.place(row.params[name])) + _aside(scale, row), y(
            row.score if row.score is not None else math.nan
        )

    parts = []
    for value in svg.ticks(limits.low, limits.high, 3):
        parts.append(svg.line(_LEFT, y(value), _WIDE - _RIGHT, y(value), "grid"))
        parts.append(svg.text(_LEFT - 6, y(value) + 4, f"{value:g}", anchor="end", class_="tick"))
    parts += _below(scale, across, _HIGH - _BOTTOM)
    if data.chance in limits:
        parts.append(svg.line(_LEFT, y(data.chance), _WIDE - _RIGHT, y(data.chance), "chance"))
    marked = {row.number for row in (data.best,) if row is not None}
    saved = {n for n, _ in data.chosen.members} if data.chosen else set()
    plain = [row for row in having if row.number not in marked | saved]
    parts.append(svg.dots(map(place, evenly(plain, _MAX_POINTS)), "others"))
    for row in having:
        if row.number in marked | saved:
            at, level = place(row)
            kind = "saved" if row.number in saved else "best"
            title = svg.tag("title", f"trial {row.number}")
            parts.append(svg.tag("circle", title, cx=at, cy=level, r=4.5, class_=f"point {kind}"))
    label = f"{metric_words(data.metric)} of {count(len(having), 'trial')} against {name}"
    return svg.picture(_WIDE, _HIGH, label, *parts, class_="slice")


def _pair(first: str, second: str, space: Space | None, rows: Sequence[TrialRow]) -> Markup:
    wide, high, left = 420.0, 300.0, 96.0
    x_scale = value_scale(first, [row.params[first] for row in rows], space)
    y_scale = value_scale(second, [row.params[second] for row in rows], space)
    across, up = svg.linear(0.0, 1.0, left + 14, wide - 20), svg.linear(0.0, 1.0, high - 60, 26)

    def place(row: TrialRow) -> tuple[float, float]:
        at, level = across(x_scale.place(row.params[first])), up(y_scale.place(row.params[second]))
        return at + _aside(x_scale, row), level + _aside(y_scale, row)

    parts = [svg.line(left, up(at), wide - 10, up(at), "grid") for at, _ in y_scale.labels]
    parts += [svg.text(left - 8, up(at) + 4, label, anchor="end", class_="tick") for at, label in y_scale.labels]
    parts += _below(x_scale, across, high - 50)
    parts.append(svg.text(wide - 10, high - 6, shortened(first, 30), anchor="end"))
    parts.append(svg.text(0, 14, shortened(second, 30)))
    good = max(len(rows) // 4, 1)  # rows are best first
    parts.append(svg.dots(map(place, evenly(rows[good:], _MAX_POINTS)), "others"))
    parts.append(svg.dots(map(place, evenly(rows[:good], _MAX_POINTS)), "good"))
    worst_of_good = rows[good - 1].score
    label = (
        f"{first} and {second} of {count(len(rows), 'trial')}; the best quarter has {number(worst_of_good)} or better"
    )
    return svg.picture(wide, high, label, *parts, class_="slice")


def _below(scale: Scale, across: svg.Scale, level: float) -> list[Markup]:
    """The labels under a drawing; the first and the last stay inside."""
    parts = [svg.line(across(0.0) - 14, level, across(1.0) + 10, level, "grid")]
    for at, label in scale.labels:
        anchor = "middle" if 0.12 < at < 0.88 else "start" if at <= 0.12 else "end"
        shift = {"start": -8, "end": 8}.get(anchor, 0)
        parts.append(svg.text(across(at) + shift, level + 20, label, anchor=anchor, class_="tick"))
    return parts


def value_scale(name: str, values: Sequence[object], space: Space | None) -> Scale:
    """Numbers by size, logarithmic where the space is; anything else in columns."""
    numbers = [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if len(numbers) < len(values) or not numbers:
        return _columns(values)
    low, high = min(numbers), max(numbers)
    parameter = space.by_name.get(name) if space else None
    log = isinstance(parameter, Number) and parameter.log and low > 0
    bend: Callable[[float], float] = math.log if log else float
    scale = svg.linear(bend(low), bend(high), 0.0, 1.0) if high > low else (lambda _: 0.5)
    middle = math.sqrt(low * high) if log else (low + high) / 2
    whole = all(isinstance(v, int) for v in values)
    middle = round(middle) if whole else middle
    shown = [low, middle, high] if low < middle < high else sorted({low, high})
    return Scale(
        lambda value: scale(bend(float(value))) if isinstance(value, int | float) else math.nan,
        [(scale(bend(v)), value_words(int(v) if v.is_integer() else v)) for v in map(float, shown)],
    )


def _columns(values: Sequence[object]) -> Scale:
    distinct = sorted(set(values), key=lambda v: (isinstance(v, str), str(v)))
    step = 1 / max(len(distinct) - 1, 1)
    places = {value: i * step if len(distinct) > 1 else 0.5 for i, value in enumerate(distinct)}
    every = math.ceil(len(distinct) / _MAX_VALUES)
    room = 36 // min(len(distinct), _MAX_VALUES)  # characters
    labels = [(places[v], shortened(value_words(v), max(room, 4))) for v in distinct[::every]]
    return Scale(lambda value: places.get(value, math.nan), labels, columns=True)


def _aside(scale: Scale, row: TrialRow) -> float:
    """How far a trial lies beside its column, in units of the drawing: the same each time, so that few overlap."""
    return _COLUMN * ((0.618034 * row.number) % 1 - 0.5) if scale.columns else 0.0
