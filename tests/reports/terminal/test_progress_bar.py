"""Bars are drawn on a terminal alone, lines elsewhere; both on standard error, which no script reads."""

from __future__ import annotations

import pytest

from reports.terminal.progress_bar import FIRST_LINE, MOST_BETWEEN, SparseLines, predicting, training


@pytest.mark.parametrize(("terminal", "quiet", "drawn"), [("1", False, True), ("1", True, False), ("0", False, False)])
def test_predicting_shows_how_many_and_how_fast(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, terminal: str, quiet: bool, drawn: bool
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", terminal)
    monkeypatch.setenv("COLUMNS", "120")
    with predicting(quiet=quiet) as progress:
        for done in (0, 64, 128):
            progress(done, 2000)
    printed = capsys.readouterr()
    assert not printed.out
    assert ("128/2000" in printed.err and "images/s" in printed.err) == drawn
    assert bool(printed.err) == drawn


class Told:
    """Lines that were written, and a clock that is set."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.progress = SparseLines(self.lines.append, lambda: self.now)

    def at(self, seconds: float, what: str, done: int, total: int) -> list[str]:
        """The lines that this adds."""
        self.now, before = seconds, len(self.lines)
        self.progress.tell(what, done, total)
        return self.lines[before:]


def test_without_a_terminal_nothing_is_said_of_what_is_quick() -> None:
    told = Told()
    for done in range(101):
        told.at(done * FIRST_LINE / 101, "reading images", done, 100)
    assert not told.lines


def test_without_a_terminal_lines_say_how_far_it_is_and_what_is_left() -> None:
    told = Told()
    assert told.at(0.0, "reading images", 0, 1000) == []
    assert told.at(6.0, "reading images", 100, 1000) == ["reading images: 100 of 1,000, about 54 s left"]
    assert told.at(11.9, "reading images", 200, 1000) == []
    assert told.at(12.0, "reading images", 200, 1000) == ["reading images: 200 of 1,000, about 48 s left"]


def test_what_is_done_before_the_first_picture_does_not_count_for_the_others() -> None:
    told = Told()
    assert told.at(60.0, "reading images", 0, 1000) == ["reading images: 0 of 1,000"]
    assert told.at(120.0, "reading images", 500, 1000) == ["reading images: 500 of 1,000, about 60 s left"]


def test_lines_of_hours_are_a_minute_apart() -> None:
    told = Told()
    for second in range(7200):
        told.at(float(second), "predicting", second, 7200)
    assert 7200 / MOST_BETWEEN <= len(told.lines) <= 7200 / MOST_BETWEEN + 10


def test_what_comes_next_has_a_time_of_its_own() -> None:
    told = Told()
    assert told.at(60.0, "unpacking", 300, 0) == ["unpacking: 300"]
    assert told.at(61.0, "reading images", 0, 50) == []
    assert told.at(66.0, "reading images", 0, 50) == ["reading images: 0 of 50"]


def test_where_a_total_is_not_known_it_is_said_to_be_at_most_so_much() -> None:
    told = Told()
    told.progress.tell("comparing settings", 0, 88, at_most=True)
    told.now = 60.0
    told.progress.tell("comparing settings", 12, 84, at_most=True)
    assert told.lines == ["comparing settings: 12 of at most 84, at most about 6 min left"]


def test_what_is_announced_has_a_line_at_once_and_none_of_what_was_before_it() -> None:
    lines: list[str] = []
    now = 60.0
    progress = SparseLines(lines.append, lambda: now, announces=True)
    now = 90.0
    progress.tell("comparing settings", 0, 8)
    progress.tell("comparing settings", 1, 8)
    now = 100.0
    progress.tell("comparing settings", 2, 8)
    assert lines == ["comparing settings: 0 of 8", "comparing settings: 2 of 8, about 30 s left"]


def test_steps_of_training_are_named_at_once_and_messages_have_no_count(capsys: pytest.CaptureFixture[str]) -> None:
    with training(quiet=False) as watched:
        watched("asking process 12 to stop", 0, 0)
        for done in range(9):
            watched("comparing settings", done, 88 - done, at_most=True)
    assert capsys.readouterr().err.splitlines() == ["asking process 12 to stop", "comparing settings: 0 of at most 88"]


@pytest.mark.parametrize(("at_most", "drawn"), [(True, "12 of at most 84"), (False, "12/84")])
def test_a_bar_of_training_has_at_most_so_many_too(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, at_most: bool, drawn: str
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with training(quiet=False) as watched:
        watched("comparing settings", 12, 84, at_most=at_most)
    assert drawn in capsys.readouterr().err
