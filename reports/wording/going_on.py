"""Commands that go on with a study, word by word, as they are typed in its folder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from reports.wording.values import visible
from search.results.next_steps import FinishTrial, SearchOn, next_steps
from search.results.not_run import NotRun, not_run
from search.results.summary import StudySummary
from search.text import as_typed_in, command_line, duration_of

TRIALS = 30  # at least, in a study that is searched further
RESERVE = 1.5  # times what trials took so far: the next ones may be larger, and the machine busier
STARTING = 60.0  # seconds that a session needs beside training, and more
CATCHING_UP = 60.0  # seconds of further search in which what was left out is made up for, and
CATCHING_UP_IMAGE = 0.04  # for each image, whose features may have to be computed

HERE = "."  # the study, in its folder, where a command cannot do without
_OF_A_STUDY = ("resume", "report", "explain", "export", "predict")  # whose first argument is the study


def typed(words: Sequence[str | Path], study: Path | None) -> str:
    """A command, verb first, as it is typed where the study has this path; None: in its folder. Paths begin there."""
    verb, *arguments = words
    if study is not None:
        arguments = [as_typed_in(Path(), study / word) if isinstance(word, Path) else word for word in arguments]
    where = [study] if study is not None and verb in _OF_A_STUDY else []
    return command_line(str(verb), *where, *(word for word in arguments if not where or word != HERE))


def going_on(data: StudySummary) -> tuple[str, ...]:
    """The one command that goes on with a study: whatever asks for it, it has time for all that is left.

    Budgets are totals, and with none left nothing would be done.
    """
    steps = next_steps(data)
    finish = next((step for step in steps if isinstance(step, FinishTrial)), None)
    if finish is not None and not finish.out_of_time:
        return ("resume", *own_model(data))  # the search was stopped: its budgets are not used up
    seconds, trials = STARTING, []
    if finish is not None:
        seconds += RESERVE * finish.seconds
    if any(isinstance(step, SearchOn) for step in steps):
        further, taken = further_trials(data)
        seconds, trials = seconds + RESERVE * taken, ["--trials", str(len(data.rows) + further)]
    if not_run(data) != NotRun():
        seconds += CATCHING_UP + CATCHING_UP_IMAGE * data.searched_images
        if finish is None and not trials:  # else time was what ended the search
            trials = ["--trials", str(len(data.rows) + further_trials(data)[0])]
    return ("resume", *trials, *more_time(data, seconds), *own_model(data))


def further_trials(data: StudySummary) -> tuple[int, float]:
    """(Number, seconds that they take at the pace so far) of the trials with which a search goes on."""
    done = len(data.rows)
    further = max(done, TRIALS - done)
    return further, further * data.spent_seconds / max(done, 1)


def own_model(data: StudySummary) -> tuple[str, ...]:
    """`--model` for a study that searches a model of the user; where its file is, is not known here."""
    return ("--model", f"PATH/{visible(data.preset)}") if ".py:" in data.preset else ()


def more_time(data: StudySummary, seconds: float) -> tuple[str, ...]:
    """`--time` with so much more than all sessions have taken: budgets are totals."""
    return ("--time", duration_of(60 * math.ceil((data.spent_seconds + seconds) / 60)))
