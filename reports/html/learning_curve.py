"""The learning curve of a reference, and what more pictures are expected to bring."""

from __future__ import annotations

import math

from markupsafe import Markup

from reports.html import svg
from reports.wording import more_pictures as words
from search.results.more_pictures import MorePictures
from search.results.summary import StudySummary
from search.stats.metrics import METRICS

_WIDE, _HIGH = 560.0, 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 56.0, 30.0, 16.0, 52.0
_LEVEL = 0.1  # of the axis above and below a curve that is level

Expected = list[tuple[int, float, float, float]]
"""Of each larger number of pictures: (number, score, worse end, better end)."""


def learning_curve(data: StudySummary) -> Markup | None:
    """The drawing, with the number of pictures on a logarithmic axis; None where nothing is known."""
    more = data.more
    if more is None:
        return None
    expected, last = _expected(more, data.metric), more.points[-1]
    lows = [point.low for point in more.points] + [min(low, high) for _, _, low, high in expected]
    highs = [point.high for point in more.points] + [max(low, high) for _, _, low, high in expected]
    low, high = min(lows), max(highs)
    if low == high:
        low, high = low - _LEVEL, high + _LEVEL
    y = svg.linear(low, high, _HIGH - _BOTTOM, _TOP)
    numbers = [point.images for point in more.points] + [images for images, *_ in expected]
    across = svg.linear(math.log(max(numbers[0], 1)), math.log(max(numbers[-1], 2)), _LEFT + 12, _WIDE - _RIGHT)
    x = [across(math.log(max(images, 1))) for images in numbers]
    parts = []
    for value in svg.ticks(low, high):
        parts.append(svg.line(_LEFT, y(value), _WIDE - _RIGHT, y(value), "grid"))
        parts.append(svg.text(_LEFT - 8, y(value) + 4, f"{value:g}", anchor="end", class_="tick"))
    for at, images in zip(x, numbers, strict=True):
        parts.append(svg.text(at, _HIGH - _BOTTOM + 20, f"{images:,}", anchor="middle", class_="tick"))
    parts.append(svg.text(_WIDE - _RIGHT, _HIGH - 8, "training pictures", anchor="end", class_="tick"))
    known = len(more.points)
    parts += [
        svg.line(at, y(point.low), at, y(point.high), "whisker")
        for at, point in zip(x[:known], more.points, strict=True)
    ]
    parts.append(svg.path(((at, y(p.score)) for at, p in zip(x[:known], more.points, strict=True)), "line"))
    further = [(x[known - 1], y(last.score)), *((at, y(e[1])) for at, e in zip(x[known:], expected, strict=True))]
    if expected:
        parts.append(svg.path(further, "line guess"))
    parts += [
        svg.line(at, y(low), at, y(high), "whisker guess")
        for at, (_, _, low, high) in zip(x[known:], expected, strict=True)
    ]
    parts += [
        svg.tag("circle", cx=at, cy=y(point.score), r=4.5, class_="measured")
        for at, point in zip(x[:known], more.points, strict=True)
    ]
    parts += [svg.tag("circle", cx=at, cy=height, r=4.5, class_="expected") for at, height in further[1:]]
    return svg.picture(_WIDE, _HIGH, words.drawn(data), *parts, class_="plot")


def _expected(more: MorePictures, metric: str) -> Expected:
    last, measure = more.points[-1], METRICS[metric]

    def after(gain: float) -> float:
        return min(max(last.score + measure.gain(gain), 0.0), measure.bound)

    return [(gain.times * last.images, after(gain.value), after(gain.low), after(gain.high)) for gain in more.gains]
