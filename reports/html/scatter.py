"""Points on two axes, some of them named, with names that do not overlap."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from markupsafe import Markup

from reports.html import svg
from reports.html.charts import Limits
from reports.wording import costs as words
from reports.wording.values import metric_words
from search.results.costs import WEIGHTS, Costed, Costs
from search.results.importance import evenly
from search.results.summary import StudySummary
from search.stats.metrics import METRICS

_MAX_POINTS = 400  # without a name
_WIDE, _HIGH = 520.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 16.0, 40.0, 50.0
_LETTER, _LINE = 9.0, 17.0  # of a name at the largest size at which the page shows it
_REACH, _LEAST_REACH = 4.0, 0.05  # what is drawn: so many times as far below the best as the middle; at least, accuracy
_MAX_NAMED = 6  # trials of the front, beside the saved and the best


@dataclass(frozen=True)
class Box:
    """Where a name lies: its middle line begins or ends at (x, y)."""

    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: Box) -> bool:
        """Whether both overlap."""
        apart = self.right < other.left or other.right < self.left
        return not (apart or self.bottom < other.top or other.bottom < self.top)


@dataclass(frozen=True)
class Scatter:
    """The drawing, and what it lacks."""

    costs: Costs
    drawing: Markup
    left_out: int  # trials that score too low


def scatter(data: StudySummary, costs: Costs) -> Scatter:
    """Score against cost: a dot a trial, the front as a line, and names for those that matter.

    Trials far below the others are left out: they would press all others together.
    """
    every = costs.points  # best first
    middle = data.ahead(every[0].score, every[len(every) // 2].score)
    reach = max(_REACH * middle, _LEAST_REACH * METRICS[data.metric].scale)
    saved = {number for number, _ in data.chosen.members} if data.chosen else set()
    inside = [p for p in every if p.number in saved or data.ahead(every[0].score, p.score) <= reach]
    costs = replace(costs, points=tuple(inside), front=tuple(p for p in costs.front if p in inside))
    named = _named(data, costs)
    spread = [point.cost for point in costs.points]
    low, high = _around(min(spread), max(spread))
    x = svg.linear(math.log(low), math.log(high), _LEFT, _WIDE - _RIGHT)
    limits = _limits(costs)
    y = svg.linear(limits.low, limits.high, _HIGH - _BOTTOM, _TOP)

    def place(point: Costed) -> tuple[float, float]:
        return x(math.log(point.cost)), y(point.score)

    parts = _axes(data, costs, limits, (low, high), x, y)
    plain = [point for point in costs.points if point.number not in named]
    parts.append(svg.dots(map(place, evenly(plain, _MAX_POINTS)), "others"))
    parts.append(svg.path(_steps([place(point) for point in costs.front]), "front"))
    dots = {point.number: (place(point), point) for point in costs.points if point.number in named}
    for number, ((at, level), point) in dots.items():
        title = svg.tag("title", f"trial {number}: {point.score:.3f}, {words.amount(costs.kind, point.cost)}")
        parts.append(svg.tag("circle", title, cx=at, cy=level, r=5.0, class_=f"point {named[number][1]}"))
    parts += _names({number: dots[number][0] for number in named if number in dots}, named)
    drawing = svg.picture(_WIDE, _HIGH, words.label(data, costs), *parts, class_="scatter")
    return Scatter(costs, drawing, len(every) - len(inside))


def _limits(costs: Costs) -> Limits:
    scores = [point.score for point in costs.points]
    room = 0.08 * (max(scores) - min(scores)) or 0.01
    return Limits(min(scores) - room, max(scores) + room)


def _named(data: StudySummary, costs: Costs) -> dict[int, tuple[str, str]]:
    """Trial -> (name, CSS class), the most important first."""
    saved = Counter(number for number, _ in data.chosen.members) if data.chosen else Counter[int]()
    found = {n: (f"{n}: saved{f', {parts} networks' if parts > 1 else ''}", "saved") for n, parts in saved.items()}
    if data.best is not None:
        number = data.best.number
        known = found.get(number)
        found[number] = (f"{known[0]}, best score", "saved") if known else (f"{number}: best score", "best")
    for point in evenly(costs.front, _MAX_NAMED):
        found.setdefault(point.number, (str(point.number), "on-front"))
    return found


def _around(low: float, high: float) -> tuple[float, float]:
    """A range with room at both ends, on a logarithmic axis."""
    room = max((high / low) ** 0.08, 1.15)
    return low / room, high * room


def _axes(
    data: StudySummary, costs: Costs, limits: Limits, around: tuple[float, float], x: svg.Scale, y: svg.Scale
) -> list[Markup]:
    low, high = around
    parts = []
    for value in svg.ticks(limits.low, limits.high, 5):
        parts.append(svg.line(_LEFT, y(value), _WIDE - _RIGHT, y(value), "grid"))
        parts.append(svg.text(_LEFT - 8, y(value) + 4, f"{value:g}", anchor="end", class_="tick"))
    unit = 1 / words.megabytes(1.0) if costs.kind == WEIGHTS else 1.0  # the axis has round megabytes
    for value in (unit * value for value in log_ticks(low / unit, high / unit)):
        at = x(math.log(value))
        parts.append(svg.line(at, _HIGH - _BOTTOM, at, _HIGH - _BOTTOM + 5, "grid"))
        parts.append(svg.text(at, _HIGH - _BOTTOM + 22, words.tick(costs.kind, value), anchor="middle", class_="tick"))
    parts.append(svg.text(0, 16, metric_words(data.metric), class_="tick"))
    parts.append(svg.text(_WIDE - _RIGHT, _HIGH - 7, words.AXES[costs.kind], anchor="end", class_="tick"))
    if limits.low < data.chance < limits.high:
        at = y(data.chance)
        parts.append(svg.line(_LEFT, at, _WIDE - _RIGHT, at, "chance"))
        parts.append(svg.text(_WIDE - _RIGHT, at - 6, "guessing", anchor="end", class_="chance-label halo"))
    return parts


def log_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers within [low, high], at most `most`, for a logarithmic axis."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for steps in ((1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8), (1, 2, 3, 5), (1, 3), (1,)):
        found = [float(f"{step}e{decade}") for decade in decades for step in steps]
        found = [value for value in found if low <= value <= high]
        if len(found) <= most:
            break
    else:
        found = found[:: math.ceil(len(found) / most)]
    return found if len(found) > 1 else svg.ticks(low, high, 3)


def _steps(places: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """The corners of the front: level up to each dearer point, then to it."""
    corners: list[tuple[float, float]] = []
    for x, y in places:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    if corners:
        corners.append((_WIDE - _RIGHT, corners[-1][1]))
    return corners


def _names(places: dict[int, tuple[float, float]], named: dict[int, tuple[str, str]]) -> list[Markup]:
    """Names beside their points, where they meet no other point and no other name; else left out."""
    taken = [Box(x - 6, x + 6, y - 6, y + 6) for x, y in places.values()]
    parts = []
    for place, (number, (x, y)) in enumerate(places.items()):
        name, kind = named[number]
        others = [box for n, box in enumerate(taken) if n != place]
        for anchor, at, level in _candidates(x, y):
            box = _box(anchor, at, level, _LETTER * len(name))
            if box.left < _LEFT or box.right > _WIDE or box.top < 0 or box.bottom > _HIGH - _BOTTOM:
                continue
            if not any(box.meets(other) for other in others):
                taken.append(box)
                parts.append(svg.text(at, level, name, anchor=anchor, class_=f"name halo {kind}"))
                break
    return parts


def _candidates(x: float, y: float) -> list[tuple[str, float, float]]:
    """(anchor, x, y) of a name beside a point, the preferred one first: the line of the front goes on to the right."""
    beside = [("start", x + 7, y - 8), ("end", x - 10, y + 5), ("start", x + 10, y + 5)]
    above = [("middle", x, y - 11 - gap) for gap in (0, 18, 36)] + [("middle", x, y + 22 + gap) for gap in (0, 18, 36)]
    return [
        *beside,
        *above,
        *((side, x + shift, y + up) for side, shift in (("start", 8), ("end", -8)) for up in (-14, 24, -32, 42)),
    ]


def _box(anchor: str, x: float, y: float, width: float) -> Box:
    left = {"start": x, "middle": x - width / 2, "end": x - width}[anchor]
    return Box(left, left + width, y - _LINE + 3, y + 3)
