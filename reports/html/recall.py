"""How many images of each class are recognized, as dots with their uncertainty."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.html import svg
from reports.wording import recall as words
from search.results.recall import Recall, recalls
from search.results.summary import StudySummary

_WIDE, _HIGH, _PAD = 120.0, 22.0, 7.0


@dataclass(frozen=True)
class ClassRow:
    """One class."""

    name: str
    recall: Recall
    drawing: Markup
    interval: str  # in words


def recall_rows(data: StudySummary) -> Sequence[ClassRow]:
    """All classes, the one that is recognized least first; empty without predictions or for a single class."""
    if data.pooled is None or len(data.study.classes) < 2:
        return ()
    return [
        ClassRow(data.study.classes[row.label], row, _drawn(data, row), words.interval(row))
        for row in recalls(data.pooled.confusion)
    ]


def recall_axis() -> Markup:
    """The scale of all dots, for the head of the table."""
    x = svg.linear(0.0, 1.0, _PAD, _WIDE - _PAD)
    ends = ((0.0, "0 %", "start", 0.0), (0.5, "50", "middle", x(0.5)), (1.0, "100 %", "end", _WIDE))
    parts = [svg.text(at, 14, label, anchor=anchor, class_="tick") for _, label, anchor, at in ends]
    return svg.picture(_WIDE, 18, "scale from 0 to 100 %", *parts, class_="recall-dot")


def _drawn(data: StudySummary, row: Recall) -> Markup:
    """A dot at the share and a line over its interval."""
    x, middle = svg.linear(0.0, 1.0, _PAD, _WIDE - _PAD), _HIGH / 2
    parts = [svg.line(x(0.0), middle, x(1.0), middle, "grid")]
    if row.images:
        parts.append(svg.line(x(row.low), middle, x(row.high), middle, "span"))
        parts.append(svg.tag("circle", cx=x(row.share), cy=middle, r=4.5, class_="dot"))
    label = f"{data.study.classes[row.label]}: {words.interval(row)}"
    return svg.picture(_WIDE, _HIGH, label, *parts, class_="recall-dot")
