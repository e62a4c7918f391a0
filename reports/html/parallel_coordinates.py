"""Parallel coordinates: each trial is a line through the values of its parameters to its score.

Optuna's plot omits each trial that lacks one of the parameters. In a space with conditions that is most trials.
Here an inactive parameter has a place below its axis.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.html import svg
from reports.wording import study as words
from reports.wording.values import count, metric_words, shortened, value_words, visible
from search.results.summary import StudySummary, TrialRow
from spaces import Number, Space

_MAX_AXES, _MAX_LINES, _MAX_VALUES = 8, 200, 9
_GAP, _SIDE, _TOP, _BOTTOM, _HIGH = 122.0, 72.0, 44.0, 300.0, 352.0
_OFF = _BOTTOM + 26
_LINE = 15  # characters of a name in one line
_KINDS = {"winner": "the best", "top": "best tenth", "other": "others"}


@dataclass(frozen=True)
class Axis:
    """One parameter, or the score: where its values lie, and which of them are labelled."""

    name: str
    place: Callable[[object], float]
    labels: tuple[tuple[float, str], ...]  # (y, words)
    optional: bool  # whether some trials lack it


@dataclass(frozen=True)
class Parallel:
    """The drawing and the counts for its caption."""

    drawing: Markup
    lines: int  # trials drawn
    kinds: tuple[tuple[str, str], ...]  # (CSS class, words) of each kind of line that is drawn, for its legend
    left_out: int  # parameters without an axis


def parallel(data: StudySummary, space: Space | None, importance: Mapping[str, float]) -> Parallel | None:
    """The drawing; None with fewer than two complete trials, or if no parameter varies."""
    rows = [row for row in data.rows if row.rank is not None]
    if len(rows) < 2:
        return None
    names = varying(rows, importance)
    if not names:
        return None
    drawn = _sampled(rows)
    top = max(1, round(len(rows) / 10))
    axes = [_axis(name, drawn, space) for name in names[:_MAX_AXES]]
    axes.append(_score_axis(data, drawn))
    wide = 2 * _SIDE + _GAP * (len(axes) - 1)
    xs = [_SIDE + _GAP * place for place in range(len(axes))]
    kind_of = {row.number: _kind(data, row, top) for row in drawn}
    parts = [_trial_line(row, kind_of[row.number], axes, xs) for row in reversed(drawn)]  # the best last, on top
    for axis, x in zip(axes, xs, strict=True):
        parts += _drawn_axis(axis, x)
    label = (
        f"Parallel coordinates of {count(len(drawn), 'trial')} over {', '.join(names[:_MAX_AXES])} "
        f"and {metric_words(data.metric)}. The same values are in the leaderboard."
    )
    return Parallel(
        svg.picture(wide, _HIGH, label, *parts, class_="parallel"),
        len(drawn),
        tuple((kind, word) for kind, word in _KINDS.items() if kind in kind_of.values()),
        len(names) - len(axes) + 1,
    )


def varying(rows: Sequence[TrialRow], importance: Mapping[str, float]) -> list[str]:
    """Parameters with more than one value; inactive counts as a value.

    The most important come first, then those that most trials have.
    """
    distinct: dict[str, set[object]] = {}
    for row in rows:
        for name, value in row.params.items():
            distinct.setdefault(name, set()).add(value)
    trials_with = Counter(name for row in rows for name in row.params)
    names = [name for name, values in distinct.items() if len(values) + (trials_with[name] < len(rows)) > 1]
    return sorted(names, key=lambda name: (-importance.get(name, 0.0), -trials_with[name]))


def _sampled(rows: Sequence[TrialRow]) -> list[TrialRow]:
    """At most `_MAX_LINES` rows: a quarter of them are the best, the others are spread evenly over the rest."""
    if len(rows) <= _MAX_LINES:
        return list(rows)
    head, rest = _MAX_LINES // 4, _MAX_LINES - _MAX_LINES // 4
    step = (len(rows) - head) / rest
    return [*rows[:head], *(rows[head + int(i * step)] for i in range(rest))]


def _axis(name: str, rows: Sequence[TrialRow], space: Space | None) -> Axis:
    values = [row.params[name] for row in rows if name in row.params]
    optional = len(values) < len(rows)
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not values or not numbers:
        return _choice_axis(name, values, optional)
    parameter = space.by_name.get(name) if space else None
    log = isinstance(parameter, Number) and parameter.log and min(values) > 0
    low, high = float(min(values)), float(max(values))
    bend: Callable[[float], float] = math.log if log else float
    scale = svg.linear(bend(low), bend(high), _BOTTOM, _TOP)

    def place(value: object) -> float:
        return scale(bend(float(value))) if isinstance(value, int | float) else math.nan

    shown = [low, high] if high > low else [low]
    middle = math.sqrt(low * high) if log else (low + high) / 2
    if high > low and all(isinstance(v, int) for v in values):
        middle = round(middle)
    shown += [middle] if low < middle < high else []
    labels = tuple((place(v), value_words(int(v) if float(v).is_integer() else v)) for v in shown)
    return Axis(name, place, labels, optional)


def _choice_axis(name: str, values: Sequence[object], optional: bool) -> Axis:
    distinct = sorted(set(values), key=lambda v: (isinstance(v, str), str(v)))
    step = (_BOTTOM - _TOP) / max(len(distinct) - 1, 1)
    alone = (_BOTTOM + _TOP) / 2
    places = {value: _BOTTOM - i * step if len(distinct) > 1 else alone for i, value in enumerate(distinct)}
    every = math.ceil(len(distinct) / _MAX_VALUES) or 1
    labels = tuple((places[v], shortened(value_words(v), 14)) for v in distinct[::every])
    return Axis(name, lambda value: places.get(value, math.nan), labels, optional)


def _score_axis(data: StudySummary, rows: Sequence[TrialRow]) -> Axis:
    scores = [row.score for row in rows if row.score is not None]
    low, high = min(scores), max(scores)
    scale = svg.linear(low, high, _BOTTOM, _TOP)

    def place(value: object) -> float:
        return scale(value) if isinstance(value, float) else math.nan

    ends = (low, high) if high > low else (low,)
    return Axis(metric_words(data.metric), place, tuple((scale(v), f"{v:.3f}") for v in ends), False)


def _kind(data: StudySummary, row: TrialRow, top: int) -> str:
    """Of `_KINDS`, that of a complete trial; `top`: as many are the best tenth."""
    if data.best is not None and row.number == data.best.number:
        return "winner"
    return "top" if row.rank is not None and row.rank <= top else "other"


def _trial_line(row: TrialRow, kind: str, axes: Sequence[Axis], xs: Sequence[float]) -> Markup:
    points = []
    for axis, x in zip(axes[:-1], xs, strict=False):
        points.append((x, axis.place(row.params[axis.name]) if axis.name in row.params else _OFF))
    points.append((xs[-1], axes[-1].place(row.score)))
    return svg.path(points, f"trial {kind}", f"trial {row.number}: {words.score_words(row)}")


def _in_two(name: str) -> tuple[str, str]:
    """A name in two lines that fit between axes, broken after an underscore. The first may be empty."""
    if len(name) <= _LINE:
        return "", shortened(name, _LINE)
    cut = name.rfind("_", 1, _LINE) + 1 or len(name) // 2
    return shortened(name[:cut], _LINE), shortened(name[cut:], _LINE)


def _drawn_axis(axis: Axis, x: float) -> list[Markup]:
    parts = [svg.line(x, _TOP, x, _BOTTOM, "axis")]
    for line, y in zip(_in_two(axis.name), (12.0, 28.0), strict=True):
        whole = svg.tag("title", visible(axis.name))
        parts.append(svg.tag("text", whole, line, x=x, y=y, text_anchor="middle", class_="axis-name"))
    for y, label in axis.labels:
        parts.append(svg.text(x + 6, y + 4, label, class_="tick halo"))
    if axis.optional:
        parts.append(svg.line(x - 5, _OFF, x + 5, _OFF, "axis"))
        parts.append(svg.text(x + 8, _OFF + 4, "off", class_="tick halo"))
    return parts
