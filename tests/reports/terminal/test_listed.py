"""The table of `search list` in terminals of every width: the path of a study is never lost."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from reports.terminal.listed import show_studies
from search.results.listed import ListedStudy

NAMES = ("stamps-study", "a/rather/long/path/below/the/folder/that/was/named/on/the/command/line/animals-study")
STUDIES = tuple(
    ListedStudy(name, "idle", 12_345, 200, 0.703, "balanced_accuracy", 8_000.0, model=True) for name in NAMES
)


def printed(width: int, *studies: ListedStudy) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    show_studies(studies, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_paths_and_scores_are_whole_at_every_width(width: int) -> None:
    lines = printed(width, *STUDIES)
    assert all(len(line) <= width for line in lines) and not any("…" in line for line in lines)
    first_column = "".join(line.split("  ")[0].strip() for line in lines)
    assert all(name in first_column for name in NAMES)
    assert sum("0.703 balanced accuracy" in line for line in lines) == 2


def test_columns_are_left_out_where_it_is_narrow() -> None:
    heads = [printed(width, STUDIES[0])[0].split() for width in (100, 80, 40)]
    assert heads[0] == ["study", "state", "pictures", "trials", "best", "score", "time", "model"]
    assert heads[1] == ["study", "state", "trials", "best", "score", "time", "model"]
    assert heads[2] == ["study", "best", "score"]
