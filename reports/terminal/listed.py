"""The studies below a folder as a table."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from reports.terminal.output import Output, as_text, filled, grid
from reports.wording import values
from search.results.listed import ListedStudy


def show_studies(listed: Sequence[ListedStudy], console: Console | None = None) -> None:
    """Print one line a study, then why some could not be read."""
    console = console or Output()
    if not listed:
        console.print("no study; make one with `search run PICTURES`")
        return
    # Of a server every line would begin with its address.
    server = listed[0].path.rpartition("/")[0] if "://" in listed[0].path else ""
    if server:
        console.print(as_text(f"on {server}", console), soft_wrap=True)
    table = grid(console)
    for column in ("study", "state", "pictures", "trials", "best score", "time", "model"):
        table.add_column(column, justify="left" if column in ("study", "state", "model") else "right")
    rows = [[as_text(cell, console) for cell in _cells(study, server)] for study in listed]
    console.print(filled(table, rows, console))
    for study in listed:
        if study.problem is not None:
            console.print(as_text(study.problem, console), soft_wrap=True)


def _cells(study: ListedStudy, server: str) -> list[str]:
    known = study.state != "not begun" and study.problem is None
    best = f"{values.number(study.best)} {values.metric_words(study.metric)}" if study.best is not None else values.NONE
    numbers = [f"{study.images:,}", f"{study.trials:,}", best, values.duration(study.seconds)]
    saved = ["saved" if study.model else "none"]
    path = study.path.removeprefix(f"{server}/") if server else study.path
    return [path, study.state, *(numbers if known else [values.NONE] * 4), *(saved if known else [values.NONE])]
