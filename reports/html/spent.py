"""Where the time went, as one bar."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from reports.html import svg
from reports.wording import spent as words
from reports.wording.values import duration
from search.results.spent import OTHER, Part
from search.results.summary import StudySummary

_WIDE, _HIGH = 760.0, 40.0
_COLOURS = 8  # of the style sheet: part-0 to part-7, and part-other


@dataclass(frozen=True)
class Piece:
    """One entry of the legend."""

    name: str
    seconds: float
    share: float
    class_: str


@dataclass(frozen=True)
class Spent:
    """The bar and its legend."""

    drawing: Markup
    pieces: Sequence[Piece]
    about: str


def spent_bar(data: StudySummary) -> Spent | None:
    """None while no time is stored."""
    total = sum(part.seconds for part in data.spent)
    if total <= 0:
        return None
    pieces = [
        Piece(words.name(part), part.seconds, part.seconds / total, _class(part, place))
        for place, part in enumerate(data.spent)
    ]
    x, parts = 0.0, []
    for piece in pieces:
        wide = piece.share * _WIDE
        title = svg.tag("title", f"{piece.name}: {duration(piece.seconds)}")
        parts.append(svg.tag("rect", title, x=x, y=0.0, width=wide, height=_HIGH, class_=piece.class_))
        x += wide
    label = "; ".join(f"{piece.name}: {duration(piece.seconds)}" for piece in pieces)
    return Spent(svg.picture(_WIDE, _HIGH, label, *parts, class_="spent"), pieces, words.about(data))


def _class(part: Part, place: int) -> str:
    return "part-other" if part.kind == OTHER else f"part-{place % _COLOURS}"
