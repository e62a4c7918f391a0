"""The picture of the answer: what to expect of the model, and all it is compared with, on one axis."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from reports.html import svg
from reports.html.charts import Limits
from reports.wording import answer as words
from reports.wording.values import in_percent, shortened
from search.results.standing import Standing, What, standings
from search.results.summary import StudySummary
from search.stats.metrics import METRICS

_WIDE, _ROW, _SIDE = 560.0, 46.0, 8.0
_TEXT, _BAR = 15.0, 31.0  # from the top of a row: its words, and its bar below them, so that it is read on a phone too
_TOP, _BOTTOM = 4.0, 32.0
OWN = (What.EXPECTED, What.NESTED, What.TESTED)  # scores of the model itself


def axis(data: StudySummary) -> Markup | None:
    """One line a score: its name, its interval and point, its number; None while only guessing is known."""
    rows = standings(data)
    if not any(row.what != What.GUESS for row in rows):
        return None
    limits = _limits(data, rows)
    x = svg.linear(limits.low, limits.high, _SIDE, _WIDE - _SIDE)
    bottom = _TOP + _ROW * len(rows)
    parts = []
    for value in svg.ticks(limits.low, limits.high, 5):
        name = words.score(data, value) if in_percent(data.metric) else f"{value:g}"
        parts += _beside_bars(x(value), len(rows), "grid")
        anchor = "start" if x(value) < _WIDE / 10 else "end" if x(value) > _WIDE * 0.9 else "middle"
        parts.append(svg.text(x(value), bottom + 20, name, anchor=anchor, class_="tick"))
    if math.isfinite(data.chance):
        parts += _beside_bars(x(data.chance), len(rows), "chance")
    for place, row in enumerate(rows):
        parts += _line(data, row, _TOP + _ROW * place, x)
    said = ". ".join(f"{words.label(row)}: {words.in_words(data, row)}" for row in rows)
    return svg.picture(_WIDE, bottom + _BOTTOM, f"{said}.", *parts, class_="standing")


def _beside_bars(at: float, rows: int, class_: str) -> list[Markup]:
    """An upright line at every bar, but not through the words between them."""
    middles = (_TOP + _ROW * place + _BAR for place in range(rows))
    return [svg.line(at, middle - 9, at, middle + 9, class_) for middle in middles]


def _line(data: StudySummary, row: Standing, top: float, x: svg.Scale) -> list[Markup]:
    own = "own" if row.what in OWN else "guess" if row.what == What.GUESS else "other"
    at = top + _BAR
    parts = [
        svg.text(0, top + _TEXT, shortened(words.label(row), 38), class_=f"halo name {own}"),
        svg.text(_WIDE, top + _TEXT, words.in_words(data, row), anchor="end", class_=f"halo value {own}"),
    ]
    if row.low is not None and row.high is not None:
        parts.append(svg.line(x(row.low), at, x(row.high), at, f"span {own}"))
    return [*parts, svg.tag("circle", cx=x(row.value), cy=at, r=6.0 if own == "own" else 4.5, class_=f"at {own}")]


def _limits(data: StudySummary, rows: Sequence[Standing]) -> Limits:
    values = [v for row in rows for v in (row.value, row.low, row.high) if v is not None and math.isfinite(v)]
    bound = METRICS[data.metric].bound
    if math.isinf(bound):
        return Limits(0.0, max(values) * 1.05 or 1.0)
    low, high = math.floor(min(values) * 20 - 0.2) / 20, min(math.ceil(max(values) * 20 + 0.2) / 20, bound)
    return Limits(max(low, 0.0), high if high > low else low + 0.05)
