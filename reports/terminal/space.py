"""A space as a table for people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.terminal.output import Output
from spaces import Space

_WIDE = 120  # columns; below it a table of five columns would break words


def show_space(name: str, space: Space, console: Console | None = None) -> None:
    """Print the parameters of a space: range, default, condition, what it does, source of the range."""
    console = console or Output()
    rows = space.rows()
    title = Text(f"space of {name}")
    console.print(_table(title, rows) if console.width >= _WIDE else _list(title, rows))


def _table(title: Text, rows: list[dict[str, str]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    table.add_column("parameter", no_wrap=True)
    for column in ("range", "default", "only where", "what it does"):
        table.add_column(column, overflow="fold")
    for row in rows:
        cells = (Text(row[key]) for key in ("name", "range", "default", "when"))
        table.add_row(*cells, Text("\n").join(_words(row)))
    return table


def _list(title: Text, rows: list[dict[str, str]]) -> Table:
    """Two columns for narrow consoles: the name, and beside it range, default, condition, help and source."""
    table = Table(box=None, title=title, title_justify="left", show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for row in rows:
        where = f"; only where {row['when']}" if row["when"] else ""
        fixed = row["range"] == row["default"]
        default = "" if fixed else f"; default {row['default']}"
        table.add_row(Text(row["name"]), Text(f"{row['range']}{default}{where}"))
        for line in _words(row):
            table.add_row(Text(), line)
    return table


def _words(row: dict[str, str]) -> list[Text]:
    """What a parameter does, and the source of its range and default. Parameters of a custom model have neither."""
    lines = [Text(row["help"])] if row["help"] else []
    return [*lines, Text(f"source: {row['source']}", style="dim")] if row["source"] else lines
