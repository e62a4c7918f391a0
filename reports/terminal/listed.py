"""The studies below a folder as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console

from reports.terminal.output import Output, as_text, grid
from reports.wording import values
from search.results.listed import ListedStudy

_COLUMNS = ("study", "state", "pictures", "trials", "best score", "time", "model")
_LEFT = ("study", "state", "model")  # aligned so
_DISPENSABLE = ("pictures", "model", "time", "trials", "state")  # left out in this order where it is narrow
_GAP = 3  # columns between columns, at most


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
    rows = [dict(zip(_COLUMNS, _cells(study, server), strict=True)) for study in listed]
    kept, table = _that_fit(rows, console.width), grid(console)
    for column in kept:
        table.add_column(
            column,
            justify="left" if column in _LEFT else "right",
            no_wrap=column != "study",  # a path is folded, since half of it finds nothing
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(as_text(row[column], console) for column in kept))
    console.print(table)
    for study in listed:
        if study.problem is not None:
            console.print(as_text(study.problem, console), soft_wrap=True)


def _that_fit(rows: Sequence[Mapping[str, str]], width: int) -> list[str]:
    """The columns that fit beside each other, where a study's path may take half of the width and be folded there."""
    wide = {column: max(cell_len(column), *(cell_len(row[column]) for row in rows)) for column in _COLUMNS}
    wide["study"] = min(wide["study"], width // 2)
    kept = list(_COLUMNS)
    for column in _DISPENSABLE:
        if sum(wide[one] + _GAP for one in kept) - _GAP <= width:
            break
        kept.remove(column)
    return kept


def _cells(study: ListedStudy, server: str) -> list[str]:
    known = study.state != "not begun" and study.problem is None
    best = f"{values.number(study.best)} {values.metric_words(study.metric)}" if study.best is not None else values.NONE
    numbers = [f"{study.images:,}", f"{study.trials:,}", best, values.duration(study.seconds)]
    saved = ["saved" if study.model else "none"]
    path = study.path.removeprefix(f"{server}/") if server else study.path
    return [path, study.state, *(numbers if known else [values.NONE] * 4), *(saved if known else [values.NONE])]
