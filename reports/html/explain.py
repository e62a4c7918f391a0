"""What made the difference between two trials, as a waterfall."""

from __future__ import annotations

import math
from collections.abc import Sequence

from markupsafe import Markup

from reports.html import svg
from reports.html.charts import Limits, score_limits
from reports.wording import explain as words
from reports.wording.values import in_percent, metric_words, shortened
from search.results.explained import Explanation
from search.results.summary import StudySummary

_WIDE, _SIDE, _ROW, _BAR = 620.0, 8.0, 54.0, 16.0
_BAND = 36.0  # of a row: the middle of its bar, below its words
_PLOT = 460.0  # right end of the axis; beside it stand the numbers
_LABEL = 62  # characters


def waterfall(data: StudySummary, e: Explanation) -> Markup:
    """One row for the start, for each step, and for the goal, on one axis of scores."""
    rows = words.bars(e)
    limits = _limits(data, rows)
    x = svg.linear(limits.low, limits.high, _SIDE, _PLOT)
    bottom = _ROW * len(rows)
    parts = []
    lines = [(value, "grid") for value in svg.ticks(limits.low, limits.high, 5)]
    for value, _ in lines:
        tick = words.score(e.metric, value) if in_percent(e.metric) else f"{value:g}"
        parts.append(svg.text(x(value), bottom + 18, tick, anchor=_anchor(x(value)), class_="tick"))
    if math.isfinite(data.chance):
        lines.append((data.chance, "chance"))
        at = x(data.chance)
        parts.append(svg.text(at, bottom + 38, "chance", anchor=_anchor(at), class_="chance-label"))
    for place in range(len(rows)):  # not across the words
        band = place * _ROW + _BAND
        parts += [svg.line(x(value), band - 12, x(value), band + 14, class_) for value, class_ in lines]
    for place, bar in enumerate(rows):
        parts += _row(bar, x, place * _ROW, last=place == len(rows) - 1)
    label = "; ".join(f"{bar.label}: {bar.words}" for bar in rows)
    return svg.picture(
        _WIDE, bottom + 44, f"Waterfall of {metric_words(e.metric)}. {label}.", *parts, class_="waterfall"
    )


def _limits(data: StudySummary, rows: Sequence[words.Bar]) -> Limits:
    scores = [bar.after for bar in rows]
    scores += [bar.after + sign * (bar.half or 0.0) for bar in rows for sign in (1, -1)]
    bounded = [min(max(score, 0.0), 1.0) if in_percent(data.metric) else max(score, 0.0) for score in scores]
    return score_limits(data, bounded)


def _row(bar: words.Bar, x: svg.Scale, top: float, *, last: bool) -> list[Markup]:
    """The words of a row above its bar; a line leads from its end to the next row."""
    at = top + _BAND
    parts = [
        svg.text(_SIDE, top + 17, shortened(bar.label, _LABEL), class_="halo" if bar.is_step else "halo end"),
        svg.text(_WIDE - _SIDE, at + 5, bar.words, anchor="end", class_="halo end"),
    ]
    if not math.isfinite(bar.after):
        return parts
    if not last:
        parts.append(svg.line(x(bar.after), at, x(bar.after), at + _ROW, "link"))
    if bar.before is None:
        return [*parts, svg.tag("circle", cx=x(bar.after), cy=at, r=7.0, class_="dot total")]
    if math.isfinite(bar.before):
        left, right = sorted((x(bar.before), x(bar.after)))
        wide, kind = max(right - left, 2.0), bar.kind if bar.clear else f"{bar.kind} unclear"
        parts.append(svg.tag("rect", x=left, y=at - _BAR / 2, width=wide, height=_BAR, class_=kind))
    if bar.half is not None:
        low, high = x(bar.after - bar.half), x(bar.after + bar.half)
        parts.append(svg.line(low, at, high, at, "whisker"))
        parts += [svg.line(end, at - 5, end, at + 5, "whisker") for end in (low, high)]
    return parts


def _anchor(at: float) -> str:
    return "start" if at < 30 else "end" if at > _PLOT - 30 else "middle"
