"""Text and tables as Markdown shows them, whatever is in them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from reports.wording import values


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown, with its cells escaped."""
    return "\n".join(_lines(head, rows))


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _cells(head)
    yield _cells(["---"] * len(head), escape=False)
    yield from (_cells(row) for row in rows)


def _cells(cells: Sequence[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(plain(cell, within='|') if escape else cell for cell in cells)} |"


def plain(text: str, within: str = "") -> str:
    """Text that Markdown shows as it is: no markup, no HTML, no link. What is in backticks stays code.

    `within`: a character that is escaped in code too, as a table needs it.
    """
    pieces = re.split(r"(`[^`\n]+`)", values.visible(text))
    for n, piece in enumerate(pieces):
        if n % 2 == 0:
            pieces[n] = re.sub(r"([\\*_\[\]<>#|~!&`])", r"\\\1", piece)
        elif within:
            pieces[n] = piece.replace(within, f"\\{within}")
    return "".join(pieces)
