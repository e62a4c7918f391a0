"""The studies of a sweep as one table."""

from __future__ import annotations

from rich.console import Console

from reports.terminal.output import Output, as_text, filled, grid
from reports.wording import values
from search.results.swept import Sweep, SweptRow


def show_sweep(sweep: Sweep, console: Console | None = None) -> None:
    """Print one line a data set and preset, then why studies failed, and what the columns are."""
    console = console or Output()
    table = grid(console)
    for column in ("data set", "preset", "done", "expected", "95 %", "over seeds", "on test", "time"):
        table.add_column(column, justify="left" if column in ("data set", "preset") else "right")
    console.print(filled(table, [[as_text(cell, console) for cell in _cells(row)] for row in sweep.rows], console))
    metrics = ", ".join(sorted({values.metric_words(row.metric) for row in sweep.rows if row.metric})) or "score"
    lines = [
        f"expected: {metrics} of the saved model on new pictures, mean over seeds; 95 %: mean of the studies' "
        "intervals, which more seeds do not make narrower; over seeds: standard deviation"
    ]
    lines += [f"{study.path}: {study.problem}" for study in sweep.studies if study.problem is not None]
    for line in lines:
        console.print(as_text(line, console), soft_wrap=True)


def _cells(row: SweptRow) -> list[str]:
    known = row.low is not None and row.high is not None
    return [
        row.data,
        row.preset,
        f"{row.done} of {row.studies}",
        values.number(row.score),
        f"{values.number(row.low)} to {values.number(row.high)}" if known else values.NONE,
        values.NONE if row.spread is None else f"± {values.number(row.spread)}",
        values.number(row.tested),
        values.duration(row.seconds),
    ]
