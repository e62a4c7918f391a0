"""Bars are drawn on a terminal alone, and on standard error, which no script reads."""

from __future__ import annotations

import pytest

from reports.terminal.progress_bar import predicting


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
