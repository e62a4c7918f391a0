"""What a search had no time for, beside trials: plain methods, and the learning curve of one of them."""

from __future__ import annotations

from dataclasses import dataclass

from search.results.summary import StudySummary
from search.stats.learning_curve import LONGEST, PERCENTS


@dataclass(frozen=True)
class NotRun:
    """What is missing, and would be run if the search went on."""

    plain: bool = False  # every plain method but the largest class
    curve: bool = False  # the learning curve


def not_run(data: StudySummary) -> NotRun:
    """Nothing, unless a model is saved and no process searches: before, what is missing may still come."""
    if data.chosen is None or data.searching:
        return NotRun()
    known = [row for row in data.references if row.score is not None and row.name != "majority"]
    return NotRun(plain=not known, curve=data.more is None and not _too_slow(data))


def _too_slow(data: StudySummary) -> bool:
    """Whether the curve's shortest fits take so long that they are never begun."""
    known = [row.seconds / data.folds for row in data.references if row.score is not None and row.name != "majority"]
    return bool(known) and min(known) * min(PERCENTS) / 100 > LONGEST
