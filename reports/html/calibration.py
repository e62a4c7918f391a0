"""A reliability diagram: how sure the saved model is, and how often it is right."""

from __future__ import annotations

import math

from markupsafe import Markup

from reports.html import svg
from reports.wording import calibration as words
from search.results.summary import StudySummary

_WIDE, _HIGH = 460.0, 330.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 68.0, 34.0, 30.0, 52.0


def calibration(data: StudySummary) -> Markup | None:
    """The drawing; None where nothing is known."""
    if data.calibrated is None:
        return None
    bins = data.calibrated.after.bins
    lowest = min(value for b in bins for value in (b.said, b.low))
    low = min(max(math.floor(10 * lowest) / 10, 0.0), 0.9)
    x = svg.linear(low, 1.0, _LEFT, _WIDE - _RIGHT)
    y = svg.linear(low, 1.0, _HIGH - _BOTTOM, _TOP)
    parts = []
    for value in svg.ticks(low, 1.0, 5):
        words_ = f"{100 * value:.0f} %"
        parts.append(svg.line(_LEFT, y(value), _WIDE - _RIGHT, y(value), "grid"))
        parts.append(svg.text(_LEFT - 8, y(value) + 4, words_, anchor="end", class_="tick"))
        parts.append(svg.text(x(value), _HIGH - _BOTTOM + 20, words_, anchor="middle", class_="tick"))
    parts.append(svg.text(0, 14, "right", class_="tick"))
    parts.append(svg.text(_WIDE - _RIGHT, _HIGH - 8, "what the model says", anchor="end", class_="tick"))
    parts.append(svg.line(x(low), y(low), x(1.0), y(1.0), "chance"))
    for b in bins:
        parts.append(svg.line(x(b.said), y(b.low), x(b.said), y(b.high), "whisker"))
    for b in bins:
        parts.append(svg.tag("circle", cx=x(b.said), cy=y(b.right), r=4.5, class_="measured"))
    return svg.picture(_WIDE, _HIGH, words.drawn(data), *parts, class_="plot")
