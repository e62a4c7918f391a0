"""Studies side by side in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from reports.terminal.output import as_text, grid
from reports.wording import compare as words
from reports.wording import values
from search.results.compare import Comparison

_PARAGRAPH = 96  # columns: longer lines are hard to read
_LEAST = 20  # columns for a study: where there are fewer, the studies are shown in several tables
_NAMES = 24  # columns for the names of rows
_SETTINGS = 20  # that are shown; --json has all


def show_comparison(compared: Comparison, console: Console) -> None:
    """Print what each study has, the settings that differ, and the tests."""

    def paragraph(text: str, style: str = "") -> None:
        console.print(as_text(text, console, style), highlight=False, width=min(console.width, _PARAGRAPH))

    names = [values.shortened(name, words.NAME) for name in compared.names]
    together = max((console.width - _NAMES) // _LEAST, 2)
    settings = words.settings(compared)
    for start in range(0, len(names), together):
        shown = slice(start, start + together)
        console.print(_table(names[shown], _of(words.facts(compared), shown), console))
        console.print()
    paragraph("Settings that differ" if settings else "All settings are alike.", "bold")
    if settings:
        for start in range(0, len(names), together):
            shown = slice(start, start + together)
            console.print(_table(names[shown], _of(settings[:_SETTINGS], shown), console))
        if (more := len(settings) - _SETTINGS) > 0:
            paragraph(f"… and {values.count(more, 'more setting')}; --json lists all", "dim")
    for sentence in words.verdicts(compared):
        console.print()
        paragraph(f"{sentence[:1].upper()}{sentence[1:]}" if sentence.startswith("no clear") else sentence)


def _of(rows: Sequence[tuple[str, list[str]]], shown: slice) -> list[tuple[str, list[str]]]:
    return [(name, cells[shown]) for name, cells in rows]


def _table(names: Sequence[str], rows: Sequence[tuple[str, list[str]]], console: Console) -> Table:
    table = grid(console)
    table.add_column("", max_width=_NAMES, overflow="fold")
    for name in names:
        table.add_column(as_text(name, console), overflow="fold")
    for name, cells in rows:
        table.add_row(as_text(name, console, "dim"), *(as_text(cell, console) for cell in cells))
    return table
