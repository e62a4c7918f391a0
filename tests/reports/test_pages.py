"""The report as files: what killed processes left of them is removed, also where a study is done."""

from __future__ import annotations

import os
from pathlib import Path

from reports.pages import write_both
from search.results.pictures import Pictures
from tests.studies import example

NOBODY = 2**22 + 1  # more than any process of Linux has


def test_half_written_pages_of_killed_processes_are_removed_and_no_others(tmp_path: Path) -> None:
    mine = f".report.{os.getppid()}.md"
    for name in (f".report.{NOBODY}.html", f".report.{NOBODY}.md", mine):
        (tmp_path / name).touch()
    write_both(example().data(), tmp_path / "report.html", Pictures())
    assert sorted(path.name for path in tmp_path.iterdir()) == [mine, "report.html", "report.md"]
