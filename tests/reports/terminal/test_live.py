"""The live table and the plain lines of a running search."""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from dataclasses import replace

import pytest
from rich.console import Console

from reports.terminal.live import OPENING, LiveTable, PlainLines, watching
from reports.terminal.sparkline import sparkline
from search.results.progress import Activity, Progress, best_over_time
from storage.records import TrialRecord, TrialState
from tests.screen import Screen
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


def shown(file: io.StringIO) -> str:
    """What is on the screen after all that was written so far."""
    screen = Screen()
    screen.feed(file.getvalue())
    return screen.text


def played(states: Sequence[Progress], width: int = 80, height: int = 24, notes: Sequence[str] = ()) -> str:
    """What is left on the screen after a search that was in these states."""
    file = io.StringIO()
    console = Console(file=file, width=width, height=height, force_terminal=True, color_system=None)
    with LiveTable(console) as table:
        for state in states:
            table.update(state)
            table._drawn_at = 0.0  # as if enough time had passed
        for note in notes:
            table.note(note)
    return shown(file)


def drawn(state: Progress, width: int = 80, height: int = 24, encoding: str = "utf-8") -> str:
    """What is on the screen while a search is in this state."""
    file = io.StringIO()
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    console = Console(file=stream, width=width, height=height, force_terminal=True, color_system=None)
    with LiveTable(console) as table:
        table.update(state)
        assert isinstance(stream.buffer, io.BytesIO)
        file.write(stream.buffer.getvalue().decode(encoding))
    return shown(file)


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
    assert "best 0.885 (trial 7) · 83 min left · 60 min so far · 1.3 fold runs a minute" in text


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
    assert "importing TensorFlow in 2 workers\n" in drawn(progress((), None, answered=False, **nothing))
    described = (Activity("describing trial 0", importing=True),)
    text = drawn(progress((), None, answered=False, doing=described, **nothing))
    assert "now  importing TensorFlow in 2 workers, then describing trial 0" in text
    assert "no best yet · 12 s so far" in text


@pytest.mark.parametrize(("kind", "shows"), [("dumb", PlainLines), ("xterm", LiveTable)])
def test_a_terminal_that_cannot_move_its_cursor_gets_lines(
    monkeypatch: pytest.MonkeyPatch, kind: str, shows: type[object]
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", kind)
    with watching(quiet=False) as observer:
        assert isinstance(observer, shows)


def test_when_the_budget_is_used_up_no_time_is_left() -> None:
    assert " left" not in drawn(progress(TRIALS, best=7, eta_seconds=0.0))


def test_the_screen_is_not_empty_before_the_first_state() -> None:
    file = io.StringIO()
    with LiveTable(Console(file=file, width=80, height=24, force_terminal=True, color_system=None)):
        assert OPENING in file.getvalue()


NOW = (
    Activity("trial 11 (cnn), fold 4 of 5", "epoch 12 of 40"),
    Activity("trial 12 (frozen), fold 1 of 5", "features 3 of 12"),
)


def test_it_says_what_each_worker_does_now() -> None:
    lines = drawn(progress(TRIALS, best=7, doing=NOW)).splitlines()
    at = lines.index("now  trial 11 (cnn), fold 4 of 5: epoch 12 of 40")
    assert lines[at + 1] == "     trial 12 (frozen), fold 1 of 5: features 3 of 12"
    assert "now" not in played([progress(TRIALS, best=7, doing=NOW)]).split(), "when it has ended, nothing is done"


def test_of_many_workers_the_first_are_named_and_the_others_counted() -> None:
    text = drawn(progress(TRIALS, best=7, workers=8, doing=NOW * 4))
    assert "     trial 11 (cnn), fold 4 of 5: epoch 12 of 40; and 5 more" in text


def test_a_worker_that_was_replaced_imports_again_while_the_others_go_on() -> None:
    again = Activity("trial 11 (cnn), fold 4 of 5", importing=True)
    text = drawn(progress(TRIALS, best=7, doing=(again, NOW[1])))
    assert "now  importing TensorFlow for trial 11 (cnn), fold 4 of 5\n" in text


def test_between_two_jobs_it_says_so() -> None:
    assert "now  on to the next job" in drawn(progress(TRIALS, best=7))


def test_in_a_narrow_terminal_no_line_is_wrapped_and_the_time_left_is_shown() -> None:
    lines = drawn(progress(TRIALS, best=7, doing=NOW), width=60).splitlines()
    assert max(map(len, lines)) <= 60
    assert "now  trial 11 (cnn), fold 4 of 5: epoch 12 of 40" in lines
    assert any("11 of 40 trials · 60 min of 8 h 00 min" in line for line in lines)
    assert any("83 min left" in line for line in lines)


def test_where_the_encoding_lacks_block_characters_it_draws_with_others() -> None:
    text = drawn(progress(TRIALS, best=7, doing=NOW), encoding="ascii")
    assert text.isascii()
    assert re.search(r"^best 0\.\d{3} [_.~=+*#-]{34} 0\.885 after ", text, re.MULTILINE)


def test_the_best_over_time_is_a_curve_that_never_falls() -> None:
    text = drawn(progress(TRIALS, best=7))
    found = re.search(r"^best (0\.\d{3}) ([▁-█]{34}) 0\.885 after (\d+) min of training", text, re.MULTILINE)
    assert found and found[2][0] == "▁" and found[2][-1] == "█"
    assert list(found[2]) == sorted(found[2])
    assert "of training" not in drawn(progress(TRIALS[:1], best=0)), "one trial is no curve"


def test_the_best_over_time_counts_from_the_first_complete_trial_and_adds_up_training() -> None:
    ended = [trial for trial in TRIALS if trial.state != TrialState.RUNNING]
    points = best_over_time(TRIALS, "balanced_accuracy")
    assert points[-1][0] == pytest.approx(sum(trial.seconds for trial in ended))
    assert points[-1][1] == TRIALS[7].score("balanced_accuracy")
    scores = [score for _, score in points]
    assert scores == sorted(scores)
    losses = [score for _, score in best_over_time(TRIALS, "log_loss")]
    assert losses == sorted(losses, reverse=True)
    assert best_over_time([], "accuracy") == ()


def test_a_sparkline_is_higher_where_the_value_is_better() -> None:
    points = [(0.0, 0.5), (5.0, 0.75), (10.0, 1.0)]
    assert sparkline(points, 5, maximized=True, fancy=True) == "▁▁▅▅█"
    assert sparkline(points, 5, maximized=False, fancy=True) == "██▅▅▁"
    assert sparkline(points, 5, maximized=True, fancy=False) == "__==#"
    assert sparkline([(0.0, 0.5), (1.0, 0.5)], 4, maximized=True, fancy=True) == "▅▅▅▅"


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
    fold = Activity("trial 11 (cnn), fold 4 of 5")
    text = drawn(progress(TRIALS, 7, answered=False, doing=(replace(fold, importing=True),), **waiting))
    assert "importing TensorFlow in 2 workers, then trial 11 (cnn), fold 4 of 5" in text
    ready = drawn(progress(TRIALS, 7, doing=(fold,), **waiting))
    assert "importing" not in ready
    assert "now  trial 11 (cnn), fold 4 of 5\n" in ready


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
