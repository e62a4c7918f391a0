"""The pre-trained networks as a table for people."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from reports.terminal.output import Output, as_text, filled, grid
from reports.wording import values
from search.results.backbones import ListedBackbone


def show_backbones(listed: Sequence[ListedBackbone], console: Console | None = None) -> None:
    """Print those at hand as a table, then how to get each of the others."""
    console = console or Output()
    at_hand = [one for one in listed if one.missing is None]
    if at_hand:
        table = grid(console)
        for column in ("name", "ms/image", "MB", "licence", "SHA-256", "from"):
            table.add_column(column, justify="right" if column in ("ms/image", "MB") else "left")
        rows = [[as_text(cell, console) for cell in _cells(one)] for one in at_hand]
        console.print(filled(table, rows, console))
        console.print(as_text("ms/image: one pass of 128 x 128 pixels, one thread, measured now", console), style="dim")
    for one in listed:
        if one.missing is not None:
            console.print(as_text(f"{one.name}: not at hand: {one.missing}", console), soft_wrap=True)


def _cells(one: ListedBackbone) -> list[str]:
    size = values.NONE if one.bytes is None else f"{one.bytes / 1e6:.0f}"
    sha256 = f"{one.sha256 or ''}"[:16] + "…"
    return [one.name, values.number(one.milliseconds, 1), size, one.licence or values.NONE, sha256, one.source or ""]
