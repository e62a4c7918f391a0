"""How well each class is recognized, in words."""

from __future__ import annotations

from collections.abc import Sequence

from reports.wording.values import NONE, count, shortened
from search.results.more_pictures import Verdict
from search.results.recall import Recall, clearly_least
from search.results.summary import StudySummary

FEW = 10  # pictures of a class, with which its share says little


def interval(row: Recall) -> str:
    """'17 of 20 recognized, 85 % (64 to 95)'."""
    return f"{row.found} of {row.images} recognized, {share(row)}" if row.images else "no picture"


def share(row: Recall) -> str:
    """'85 % (64 to 95)'."""
    if not row.images:
        return NONE
    return f"{100 * row.share:.0f} % ({100 * row.low:.0f} to {100 * row.high:.0f})"


def about(data: StudySummary, rows: Sequence[Recall]) -> str:
    """What the dots say, and which classes stand out."""
    what = (
        "The dot is the share of a class's pictures that are recognized. The line is where it may lie for new pictures "
        "of the same kind, with 95 % confidence (Wilson): the fewer pictures, the longer."
    )
    worst = clearly_least(rows)
    few = [row for row in rows if row.images < FEW and row is not worst]  # of `worst` they are enough to tell
    return " ".join(filter(None, (_weakest(data, rows, worst), what, _few(data, few))))


def _weakest(data: StudySummary, rows: Sequence[Recall], worst: Recall | None) -> str:
    """Names the class that is clearly recognized less often than the others."""
    known = sum(row.images > 0 for row in rows)
    if known < 2:
        return ""
    others = "the other" if known == 2 else "the others"
    if worst is None:
        first = "Neither class" if known == 2 else "No class"
        return f"{first} is clearly harder than {others}: what they differ by may be luck."
    name = shortened(data.study.classes[worst.label], 40)
    told = (
        f"{name} is recognized less often than {others}, {worst.found} of {worst.images}, and that is hardly luck. "
        "Look at those that are mistaken: are they clear, and is their label right?"
    )
    if data.more is not None and data.more.verdict is Verdict.LITTLE:
        return told  # the section on more pictures says that they are not expected to help much
    return f"{told} More pictures of it may help."


def _few(data: StudySummary, few: Sequence[Recall]) -> str:
    if not few:
        return ""
    names = ", ".join(shortened(data.study.classes[row.label], 30) for row in few[:3])
    more = f" and {count(len(few) - 3, 'other class', 'other classes')}" if len(few) > 3 else ""
    have = "has" if len(few) == 1 else "have"
    return f"{names}{more} {have} fewer than {FEW} pictures here: too few to tell."
