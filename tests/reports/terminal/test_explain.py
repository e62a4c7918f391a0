"""What made the difference, in lines: all of it within 80 columns."""

from __future__ import annotations

from dataclasses import replace

import pytest

from reports.terminal.explain import show
from search.results.explained import Change, Explanation
from tests.reports.html.test_explain import LENET, part


def shown(e: Explanation, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("COLUMNS", "80")
    show(e)
    return capsys.readouterr().out.splitlines()


def test_of_each_change_alone_a_column_has_how_many_folds_it_has(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = shown(LENET, capsys, monkeypatch)
    (head,) = (line for line in lines if "old → new" in line and "-1 points " in line and "/" in line)
    assert head.split() == ["49", "%", "-1", "points", "stopped", "1/5", "head", "old", "→", "new"]
    assert any("5/5" in line and "l2" in line for line in lines)


def test_a_long_change_does_not_hide_that_it_is_not_trained_on_all_folds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    long = replace(part("initializer", 0.91, 0.41, None, folds=1), changes=(Change("initializer", "a" * 40, "b" * 40),))
    begun = replace(LENET, steps=(), rest=LENET.steps[0], alone=(long, *LENET.alone))
    (line,) = (line for line in shown(begun, capsys, monkeypatch) if "+41 points" in line)
    assert " 1/5 " in line and "stopped" not in line
