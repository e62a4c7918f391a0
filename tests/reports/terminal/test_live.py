"""The live table and the plain lines of a running search."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from reports.terminal.live import LiveTable, PlainLines
from search.results.progress import Progress
from storage.records import TrialRecord, TrialState
from tests.studies import example

TRIALS = example().trials


def progress(trials: Sequence[TrialRecord], best: int | None = None, **more: object) -> Progress:
    values: dict[str, object] = {
        "trials": trials,
        "metric": "balanced_accuracy",
        "folds": 5,
        "running": ((11, 3),),
        "best": best,
        "spent_seconds": 3600.0,
        "session_seconds": 1800.0,
        "session_folds": 40,
        "trials_budget": 40,
        "seconds_budget": 8 * 3600.0,
        "eta_seconds": 5000.0,
        "workers": 2,
        "answered": True,
    }
    return Progress(**(values | more))  # type: ignore[arg-type] # a table of keyword arguments


class Screen:
    """The parts of a terminal that show what is on it: cursor up, start of line, erase line."""

    def __init__(self) -> None:
        self.lines: list[str] = [""]
        self.row = 0

    def feed(self, text: str) -> None:
        for control, letter, plain in re.findall(r"\x1b\[([0-9;?]*)([A-Za-z])|([^\x1b])", text):
            if plain == "\n":
                self.row += 1
                self.lines += [""] * (self.row + 1 - len(self.lines))
            elif letter == "A":
                self.row -= int(control or 1)
                assert self.row >= 0, "the cursor went above the first line"
            elif letter == "K":
                self.lines[self.row] = ""
            elif plain and plain != "\r":
                self.lines[self.row] += plain

    @property
    def text(self) -> str:
        return "\n".join(line.rstrip() for line in self.lines)


def played(states: Sequence[Progress], width: int = 80, height: int = 24, notes: Sequence[str] = ()) -> str:
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None)
    with LiveTable(console) as table:
        for state in states:
            table.update(state)
            table._drawn_at = 0.0  # as if enough time had passed
        for note in notes:
            table.note(note)
    screen = Screen()
    screen.feed(file.getvalue())
    return screen.text


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (80, 12), (60, 24)])
def test_a_whole_search_leaves_one_table_that_never_grew(width: int, height: int) -> None:
    states = [progress(TRIALS[:n], best=min(n - 1, 7) if n else None) for n in range(13)]
    assert len(played(states, width, height).splitlines()) == len(played(states[:1], width, height).splitlines())
    assert len(played(states, width, height).splitlines()) < height
    assert max(map(len, played(states, width, height).splitlines())) <= width


def test_it_shows_the_last_trials_the_best_and_the_budget() -> None:
    text = played([progress(TRIALS, best=7)], width=120)
    lines = text.splitlines()
    assert [int(line.split()[0]) for line in lines[1:9]] == list(range(4, 12))
    best = next(line for line in lines if line.startswith("best"))
    assert best.split()[1] == "7"
    assert "0.885 ± 0.041" in best
    assert "28%  11 of 40 trials · 60 min of 8 h 00 min" in text
    assert "best 0.885 (trial 7) · 60 min so far · 83 min left · 1.3 fold runs a minute" in text


def test_a_fold_is_a_dot_then_a_circle_in_training_then_a_bar() -> None:
    lines = played([progress(TRIALS, best=7)]).splitlines()
    running = next(line for line in lines if line.split()[:1] == ["11"])
    assert re.fullmatch(r"[▁-█]{3}◌·", running.split()[1])


def test_it_says_what_a_trial_changes_and_why_one_failed() -> None:
    text = played([progress(TRIALS, best=7)], width=120)
    assert "filters 19, dense_layers 3, dense_units 91" in text
    assert re.search(r"4  ·····  .\s+failed\s+out of memory", text)


def test_notes_are_above_the_table() -> None:
    lines = played([progress(TRIALS, best=7)], notes=["fold 2 was repeated [bold]once"]).splitlines()
    assert lines[0] == "fold 2 was repeated [bold]once"
    assert lines[1].split()[0] == "trial"
    assert sum("changed from trial 0" in line for line in lines) == 1


def test_the_table_before_the_first_trial() -> None:
    text = played([progress((), eta_seconds=None, session_folds=0, trials_budget=None, seconds_budget=None)])
    assert "0 trials, until you stop it" in text
    assert "no best yet" in text


def test_the_first_seconds_say_that_workers_are_starting() -> None:
    nothing: dict[str, object] = {"running": (), "eta_seconds": None, "session_folds": 0, "spent_seconds": 12.0}
    text = played([progress((), None, answered=False, **nothing)])
    assert "starting 2 workers, importing TensorFlow · 12 s so far" in text
    first = played([progress(TRIALS[:1], None, **nothing | {"running": ((0, 0), (0, 1), (0, 2))})], width=120)
    assert "no best yet · trial 0: fold 1 of 5 · trial 0: fold 2 of 5 · … · 12 s so far" in first


def test_plain_lines_say_once_that_workers_are_starting_and_once_that_they_are_ready() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    for answered in (False, False, True):
        lines.update(progress((), workers=1, answered=answered))
    lines.update(progress((), workers=1, answered=True))
    assert stream.getvalue() == "starting 1 worker, importing TensorFlow\nTensorFlow is imported, training begins\n"


def test_plain_lines_do_not_mention_workers_that_are_ready() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    for _ in range(2):
        lines.update(progress((), workers=1))
    assert stream.getvalue() == ""


def test_a_resumed_search_says_what_it_trains_until_its_first_fold_ends() -> None:
    waiting: dict[str, object] = {"session_folds": 0, "eta_seconds": None, "spent_seconds": 3600.0}
    assert "importing TensorFlow" in played([progress(TRIALS, 7, answered=False, **waiting)], width=120)
    ready = played([progress(TRIALS, 7, answered=answered, **waiting) for answered in (False, True)], width=120)
    assert "importing" not in ready
    assert "best 0.885 (trial 7) · trial 11: fold 4 of 5 · 60 min so far" in ready


def test_names_cannot_move_the_cursor() -> None:
    evil = replace(TRIALS[1], params={"\x1b[2J[red]x": "\x1b[9A"}, state=TrialState.COMPLETE)
    assert "\\x1b[2J[red]x" in played([progress((TRIALS[0], evil))], width=120)


def test_an_error_leaves_the_last_table_and_propagates() -> None:
    file = io.StringIO()
    console = Console(file=file, width=80, height=24, force_terminal=True, color_system=None)
    with pytest.raises(KeyboardInterrupt), LiveTable(console) as table:
        table.update(progress(TRIALS, best=7))
        raise KeyboardInterrupt
    assert "best 0.885 (trial 7)" in file.getvalue()
    assert "\x1b[?25h" in file.getvalue(), "the cursor must be visible again"


def test_plain_lines_have_one_line_per_closed_trial() -> None:
    stream = io.StringIO()
    lines = PlainLines(stream)
    lines.update(progress(TRIALS[:8], best=7))
    lines.trial_closed(TRIALS[4], progress(TRIALS[:8], best=7))
    lines.trial_closed(TRIALS[7], progress(TRIALS[:8], best=7))
    lines.note("two\nlines \x1b[31m")
    failed, best, note = stream.getvalue().splitlines()
    assert failed.startswith("trial 4 failed; balanced accuracy ")
    assert "; 0/5 folds; 0 s; out of memory; family cnn" in failed
    assert best.startswith(
        "trial 7 complete, best so far; balanced accuracy 0.885 ± 0.041; 5/5 folds; 2 min; filters 19"
    )
    assert note == "two\\nlines \\x1b[31m"


def test_plain_lines_survive_a_stream_without_unicode() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    PlainLines(stream).trial_closed(TRIALS[7], progress(TRIALS[:8], best=7))


def test_time_beyond_the_budget_is_shown_as_that() -> None:
    text = played([progress((), spent_seconds=119.0, seconds_budget=120.0)])
    assert "2 min of 2 min" in text
    text = played([progress((), spent_seconds=155.0, seconds_budget=120.0)])
    assert "35 s over 2 min" in text and "3 min of" not in text
