"""The report in the terminal: a headline, the leaderboard, and why trials failed."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports import words
from reports.data import ReferenceRow, ReportData, TrialRow
from storage.records import TrialState

STATE_STYLES = {
    TrialState.COMPLETE: "green",
    TrialState.PRUNED: "yellow",
    TrialState.RUNNING: "cyan",
    TrialState.FAILED: "red",
}

_PARAGRAPH = 96  # columns: longer lines are hard to read
_GAP = 2  # columns between columns
_NARROW = 100  # columns; below it the columns that can be read elsewhere are left out


class Output(Console):
    """Standard output. Its reader may leave (`search report | head -1`): the rest is dropped, and nothing failed."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        """Instead of Rich's exit with code 1, send all that follows nowhere, whoever writes it."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

    def say(self, text: str) -> None:
        """One line as it is, however long."""
        self.print(said(text, self), no_wrap=True, overflow="ignore", crop=False)


def show(data: ReportData, console: Console | None = None, top: int = 20) -> None:
    """Print the report: plain where the console is a pipe or a file."""
    console = console or Output()

    def paragraph(text: str, style: str = "") -> None:
        console.print(said(text, console, style), highlight=False, width=min(console.width, _PARAGRAPH))

    paragraph(_title(data), "dim")
    console.print()
    paragraph(words.headline(data), "bold")
    for text in filter(None, (words.references(data), words.diagnosis(data))):
        paragraph(text)
    if data.best is not None and data.best.changed:
        paragraph(f"Changed from trial 0: {words.params_words(data.best.changed)}.")
    if choice := words.choice(data):
        paragraph(choice, "bold")
    if nested := words.nested(data):
        paragraph(nested)
    if caution := words.caution(data):
        paragraph(caution, "dim")
    if data.rows or data.references:
        console.print()
        console.print(leaderboard(data, console, top))
        if ties := words.ties(data):
            paragraph(ties, "dim")
        if data.second_objective:
            paragraph(words.front(data), "dim")
        if (more := len(data.rows) - top) > 0:
            paragraph(f"… and {words.count(more, 'more trial')}", "dim")
    if data.causes:
        console.print()
        paragraph("Trials that did not finish", "bold")
        console.print(causes(data, console))
    if saved := words.saved(data):
        console.print()
        paragraph(saved)
    for note in (*words.advice(data), *data.notes):
        console.print()
        paragraph(f"Note: {note}")


def said(text: str, console: Console, style: str = "") -> Text:
    """`text` as it is: no markup, no control characters, only what the console's encoding has."""
    text = words.visible(text)
    if not has_unicode(console):
        for fancy, plain in (("±", "+/-"), (words.NONE, "-"), ("…", "..."), ("·", "|")):
            text = text.replace(fancy, plain)
        text = text.encode(console.encoding, "replace").decode(console.encoding)
    return Text(text, style=style)


def has_unicode(console: Console) -> bool:
    """Whether the console can show every character."""
    return (console.encoding or "utf-8").lower().startswith("utf")


def _title(data: ReportData) -> str:
    parts = [words.shortened(data.study.name, 40)]
    if data.rows:
        parts.append(f"{words.count(len(data.rows), 'trial')}: {words.counts_words(data)}")
    parts.append(words.images_words(data))
    if data.spent_seconds:
        parts.append(words.duration(data.spent_seconds))
    return " · ".join(parts)


def _grid(console: Console) -> Table:
    """A table with one quiet line under its head; in a pipe, not even that."""
    plain = not console.is_terminal
    return Table(
        box=None if plain else box.SIMPLE_HEAD,
        header_style="" if plain else "bold",
        padding=(0, _GAP, 0, 0),
        pad_edge=False,
        show_edge=False,
    )


def filled(table: Table, rows: Sequence[Sequence[Text]], console: Console) -> Table:
    """`table` with `rows`, its last column cut at the edge: Rich would narrow the others instead."""
    widths = [cell_len(str(column.header)) for column in table.columns]
    for row in rows:
        widths = [max(wide, cell.cell_len) for wide, cell in zip(widths, row, strict=True)]
    separators = 0 if table.box is None else len(widths)
    left = console.width - sum(widths[:-1]) - (len(widths) - 1) * _GAP - separators
    for column, wide in zip(table.columns, widths, strict=True):
        column.width, column.no_wrap = wide, True
        column.overflow = "ellipsis" if has_unicode(console) else "crop"
    table.columns[-1].width = max(min(widths[-1], left), 1)
    for row in rows:
        table.add_row(*row)
    return table


def leaderboard(data: ReportData, console: Console, top: int = 20) -> Table:
    """The best `top` trials, and the references at their places among them."""
    narrow = console.width < _NARROW
    table = _grid(console)
    table.add_column("trial", justify="right")
    table.add_column(words.metric_words(data.metric))
    if not narrow:
        table.add_column("worst to best")
    if data.second_objective == "latency":
        table.add_column("ms/image", justify="right")
    table.add_column("folds", justify="right")
    if not narrow:
        table.add_column("epochs", justify="right")
        table.add_column("weights", justify="right")
        table.add_column("time", justify="right")
    table.add_column("state")
    table.add_column("changed from trial 0")
    rows = []
    for row in data.with_references(data.rows[:top]):
        cells = _cells(data, row, narrow)
        if isinstance(row, ReferenceRow):
            rows.append([said(cell, console, "dim italic") for cell in cells])
            continue
        bold = "bold" if data.best is not None and row.number == data.best.number else ""
        texts = [said(cell, console, bold) for cell in cells]
        texts[-2].stylize(STATE_STYLES[row.state])
        rows.append(texts)
    return filled(table, rows, console)


def _cells(data: ReportData, row: TrialRow | ReferenceRow, narrow: bool) -> list[str]:
    cells = ["" if isinstance(row, ReferenceRow) else words.marked(data, row), words.score_words(row)]
    if not narrow:
        span = row.low is not None and row.high is not None
        cells.append(f"{words.number(row.low, 2)} to {words.number(row.high, 2)}" if span else words.NONE)
    if data.second_objective == "latency":
        cells.append("" if isinstance(row, ReferenceRow) else words.number(row.latency))
    cells.append(f"{len(row.fold_scores)}/{data.folds}")
    if isinstance(row, ReferenceRow):
        left_out = [] if narrow else ["", "", words.duration(row.seconds)]
        return [*cells, *left_out, "reference", words.shortened(row.label, 60)]
    if not narrow:
        epochs = f"{sum(row.epochs) / len(row.epochs):.0f}" if row.epochs else words.NONE
        cells += [epochs, words.amount(row.parameters), words.duration(row.seconds)]
    state = words.state_words(row.state, searching=data.searching)
    return [*cells, state, words.changes_words(row.origin, row.changed)]


def causes(data: ReportData, console: Console) -> Table:
    """Why trials failed or were stopped, most frequent first."""
    table = _grid(console)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("ended", no_wrap=True)
    table.add_column("because of", overflow="fold")
    table.add_column("such as", no_wrap=True)
    for cause in data.causes:
        text = words.shortened(cause.cause, 60)
        if cause.detail and cause.detail != cause.cause:
            text += f": {words.shortened(cause.detail, 160)}"
        numbers = ", ".join(map(str, cause.trials[:3])) + (" …" if cause.count > 3 else "")
        state = said(words.STATE_WORDS[cause.state], console, STATE_STYLES[cause.state])
        table.add_row(said(str(cause.count), console), state, said(text, console), said(numbers, console))
    return table
