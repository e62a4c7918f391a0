"""The console: which characters it can show, and how tables look."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.wording import values
from storage.records import TrialState

STATE_STYLES = {
    TrialState.COMPLETE: "green",
    TrialState.PRUNED: "yellow",
    TrialState.RUNNING: "cyan",
    TrialState.FAILED: "red",
}
_GAP = 2  # columns between columns


class Output(Console):
    """Standard output. If its reader leaves (`search report | head -1`), the rest is dropped without an error."""

    def __init__(self) -> None:
        super().__init__(highlight=False)

    def on_broken_pipe(self) -> None:
        """Send all further output of the process to nowhere. Rich would exit with code 1."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)

    def say(self, text: str) -> None:
        """Print one line, never wrapped or cut."""
        self.print(as_text(text, self), no_wrap=True, overflow="ignore", crop=False)


def as_text(text: str, console: Console, style: str = "") -> Text:
    """`text` without markup or control characters, with only the characters of the console's encoding."""
    text = values.visible(text)
    if not has_unicode(console):
        for fancy, plain in (("±", "+/-"), (values.NONE, "-"), ("…", "..."), ("·", "|")):
            text = text.replace(fancy, plain)
        text = text.encode(console.encoding, "replace").decode(console.encoding)
    return Text(text, style=style)


def has_unicode(console: Console) -> bool:
    """Whether the console has a Unicode encoding."""
    return (console.encoding or "utf-8").lower().startswith("utf")


def grid(console: Console) -> Table:
    """A table with one thin line under its head; without any line in a pipe."""
    plain = not console.is_terminal
    return Table(
        box=None if plain else box.SIMPLE_HEAD,
        header_style="" if plain else "bold",
        padding=(0, _GAP, 0, 0),
        pad_edge=False,
        show_edge=False,
    )


def filled(table: Table, rows: Sequence[Sequence[Text]], console: Console) -> Table:
    """`table` with `rows`. Only its last column is cut at the edge; Rich would narrow the others."""
    widths = _widths(table, rows)
    for column, wide in zip(table.columns, widths, strict=True):
        column.width, column.no_wrap = wide, True
        column.overflow = "ellipsis" if has_unicode(console) else "crop"
    table.columns[-1].width = max(min(widths[-1], room(table, rows, console)), 1)
    for row in rows:
        table.add_row(*row)
    return table


def room(table: Table, rows: Sequence[Sequence[Text]], console: Console) -> int:
    """How much of the console is left for the last column of `table`; negative if the others do not fit."""
    widths = _widths(table, rows)
    separators = 0 if table.box is None else len(widths)
    return console.width - sum(widths[:-1]) - (len(widths) - 1) * _GAP - separators


def _widths(table: Table, rows: Sequence[Sequence[Text]]) -> list[int]:
    """How wide each column is if nothing is cut."""
    widths = [cell_len(str(column.header)) for column in table.columns]
    for row in rows:
        widths = [max(wide, cell.cell_len) for wide, cell in zip(widths, row, strict=True)]
    return widths
