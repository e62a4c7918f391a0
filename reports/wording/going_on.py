"""Commands that go on with a study, word by word, as they are typed in its folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from reports.wording.values import visible
from search.results.summary import StudySummary
from search.text import command_line, duration_of

TRIALS = 30  # at least, in a study that is searched further

HERE = "."  # the study, in its folder, where a command cannot do without
_OF_A_STUDY = ("resume", "report", "explain", "export", "predict")  # whose first argument is the study


def typed(words: Sequence[str], study: Path | None) -> str:
    """A command, verb first, as it is typed where the study has this path; None: in its folder."""
    verb, *arguments = words
    where = [study] if study is not None and verb in _OF_A_STUDY else []
    return command_line(verb, *where, *(word for word in arguments if not where or word != HERE))


def own_model(data: StudySummary) -> tuple[str, ...]:
    """`--model` for a study that searches a model of the user; where its file is, is not known here."""
    return ("--model", f"PATH/{visible(data.preset)}") if ".py:" in data.preset else ()


def more_time(data: StudySummary, seconds: float) -> tuple[str, ...]:
    """`--time` with so much more than all sessions have taken: budgets are totals."""
    return ("--time", duration_of(60 * math.ceil((data.spent_seconds + seconds) / 60)))
