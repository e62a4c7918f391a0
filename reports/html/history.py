"""How a search went: the score of each trial in their order, and the best so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.html import svg
from reports.html.charts import Limits, detail_limits
from reports.wording import study as words
from reports.wording.values import metric_words, number
from search.results.importance import evenly
from search.results.summary import StudySummary, TrialRow
from storage.records import TrialState

_MAX_POINTS = 1000  # more would overlap, and each takes 150 bytes of the page
_CROWDED = 200  # with more points than this, each is drawn smaller
_WIDE, _HIGH = 760.0, 336.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 72.0, 12.0, 46.0, 54.0
_PAD = 12.0  # between the axis and the first and last trial


@dataclass(frozen=True)
class History:
    """The drawing, and the entries of its legend."""

    drawing: Markup
    states: tuple[tuple[str, str], ...]  # (CSS class, words) of each state of which a point is drawn
    chance: bool  # whether it is drawn


def history(data: StudySummary) -> History | None:
    """The drawing; None while no trial is complete, or only one has a score.

    Open and stopped trials are drawn at the mean of their folds.
    """
    rows = sorted((row for row in data.rows if row.score is not None), key=lambda row: row.number)
    if data.best is None or len(rows) < 2:
        return None
    complete = [row for row in rows if row.rank is not None]
    limits = detail_limits(data, [row.score for row in rows if row.score is not None])
    last = rows[-1].number
    x = svg.linear(0, last, _LEFT + _PAD, _WIDE - _RIGHT - _PAD)
    y = svg.linear(limits.low, limits.high, _HIGH - _BOTTOM, _TOP)
    drawn = evenly(rows, _MAX_POINTS)
    crowded = len(drawn) > _CROWDED
    parts = [
        *_axes(data, limits, last, x, y),
        *(_point(data, row, x, y, 3.0 if crowded else 4.5) for row in drawn),
        svg.path(_corners(data, complete, last, x, y), "so-far", "best so far"),
        *(_chance_line(data, y) if data.chance in limits else ()),
    ]
    label = (
        f"Score of each trial in order of number, and the best so far; the best is {number(data.best.score)} "
        f"at trial {data.best.number}."
    )
    ended = {state: [row for row in drawn if row.state == state] for state in TrialState}
    return History(
        svg.picture(_WIDE, _HIGH, label, *parts, class_="history crowded" if crowded else "history"),
        tuple((state.value, _ended(data, rows_)) for state, rows_ in ended.items() if rows_),
        data.chance in limits,
    )


def _ended(data: StudySummary, rows: Sequence[TrialRow]) -> str:
    """'stopped early or out of time': what trials of one state are called."""
    return " or ".join(dict.fromkeys(words.ended_words(row, searching=data.searching) for row in rows))


def _axes(data: StudySummary, limits: Limits, last: int, x: svg.Scale, y: svg.Scale) -> list[Markup]:
    parts = []
    for value in svg.ticks(limits.low, limits.high, 5):
        parts.append(svg.line(_LEFT, y(value), _WIDE - _RIGHT, y(value), "grid"))
        parts.append(svg.text(_LEFT - 8, y(value) + 4, f"{value:g}", anchor="end", class_="tick"))
    for trial in svg.ticks(0, last, 6):
        if float(trial).is_integer():
            parts.append(svg.text(x(trial), _HIGH - _BOTTOM + 22, f"{trial:,.0f}", anchor="middle", class_="tick"))
    parts.append(svg.text(0, 18, metric_words(data.metric), class_="tick"))
    parts.append(svg.text(_WIDE - _RIGHT, _HIGH - 6, "trial", anchor="end", class_="tick"))
    return parts


def _chance_line(data: StudySummary, y: svg.Scale) -> list[Markup]:
    at = y(data.chance)
    above = at - 6 if at > _TOP + 20 else at + 18
    return [
        svg.line(_LEFT, at, _WIDE - _RIGHT, at, "chance"),
        svg.text(_WIDE - _RIGHT, above, "chance", anchor="end", class_="chance-label halo"),
    ]


def _point(data: StudySummary, row: TrialRow, x: svg.Scale, y: svg.Scale, radius: float) -> Markup:
    state = "" if row.rank is not None else f" ({words.ended_words(row, searching=data.searching)})"
    title = f"trial {row.number}{state}: {words.score_words(row)} {metric_words(data.metric)}"
    place = {"cx": x(row.number), "cy": y(row.score if row.score is not None else math.nan)}
    return svg.tag("circle", svg.tag("title", title), **place, r=radius, class_=f"point {row.state.value}")


def _corners(
    data: StudySummary, complete: Sequence[TrialRow], last: int, x: svg.Scale, y: svg.Scale
) -> list[tuple[float, float]]:
    """The corners of the line of the best so far: it is level up to each better trial, and then goes up to it."""
    corners: list[tuple[float, float]] = []
    best = math.nan
    for row in complete:
        if row.score is None or not (math.isnan(best) or data.ahead(row.score, best) > 0):
            continue
        if corners:
            corners.append((x(row.number), y(best)))
        best = row.score
        corners.append((x(row.number), y(best)))
    return [*corners, (x(last), y(best))]
