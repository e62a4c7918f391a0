"""A space as a table for people."""

from __future__ import annotations

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from spaces import Space


def show_space(name: str, space: Space, console: Console | None = None) -> None:
    """Print the parameters of a space: range, default, when it is there, what it does."""
    console = console or Console(highlight=False)
    rows = space.rows()
    table = Table(box=box.SIMPLE_HEAD, title=Text(f"space of {name}"), title_justify="left", pad_edge=False)
    table.add_column("parameter", no_wrap=True)
    for column in ("range", "default", "only where", "what it does"):
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[key]) for key in ("name", "range", "default", "when", "help")))
    console.print(table)
