"""Commands that go on with a study, word by word, as they are typed in its folder."""

from __future__ import annotations

import math

from reports.wording.values import visible
from search.results.summary import StudySummary
from search.text import duration_of

TRIALS = 30  # at least, in a study that is searched further


def own_model(data: StudySummary) -> tuple[str, ...]:
    """`--model` for a study that searches a model of the user; where its file is, is not known here."""
    return ("--model", f"PATH/{visible(data.preset)}") if ".py:" in data.preset else ()


def more_time(data: StudySummary, seconds: float) -> tuple[str, ...]:
    """`--time` with so much more than all sessions have taken: budgets are totals."""
    return ("--time", duration_of(60 * math.ceil((data.spent_seconds + seconds) / 60)))
