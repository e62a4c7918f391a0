"""What made the difference between two trials, in lines for a terminal."""

from __future__ import annotations

import math

from rich.console import Console

from reports.terminal.output import Output, as_text, filled, grid, has_unicode
from reports.wording import explain as words
from search.results.explained import Explanation

_PARAGRAPH = 96  # columns
_DRAWN = {False: 10, True: 30}  # whether the console is wide -> columns of the drawing
_WIDE = 110  # columns


def show(e: Explanation, console: Console | None = None) -> None:
    """Print the waterfall, each change alone, and what they say."""
    console = console or Output()

    def paragraph(text: str, style: str = "") -> None:
        console.print(as_text(text, console, style), highlight=False, width=min(console.width, _PARAGRAPH))

    paragraph(words.headline(e), "bold")
    for text in words.sentences(e):
        paragraph(text)
    console.print()
    _waterfall(e, console)
    if len(e.alone) > 1:
        console.print()
        paragraph("Each change alone, on the starting point", "bold")
        _alone(e, console)
    console.print()
    paragraph(f"{words.caution(e)} {words.cost(e)}", "dim")


def _waterfall(e: Explanation, console: Console) -> None:
    table = grid(console)
    table.add_column("")
    table.add_column("score", justify="right")
    table.add_column("brings", justify="right")
    table.add_column("change")
    rows = words.bars(e)
    known = [score for bar in rows for score in (bar.before, bar.after) if score is not None and math.isfinite(score)]
    low, high = (min(known), max(known)) if known else (0.0, 1.0)
    lines = []
    for bar in rows:
        style = "bold" if not bar.is_step else "dim" if not bar.clear else {"loss": "yellow"}.get(bar.kind, "")
        drawing = _drawn(bar, low, high, "█" if has_unicode(console) else "#", _DRAWN[console.width >= _WIDE])
        cells = (
            drawing,
            words.score(e.metric, bar.after),
            bar.words if bar.is_step else "",
            bar.label,
        )
        lines.append([as_text(cell, console, style) for cell in cells])
    console.print(filled(table, lines, console))


def _drawn(bar: words.Bar, low: float, high: float, block: str, wide: int) -> str:
    """A bar from the score before to the score after; an end is one block."""
    ends = [bar.after if bar.before is None else bar.before, bar.after]
    if not all(map(math.isfinite, ends)):
        return ""
    first, last = sorted(round((score - low) / ((high - low) or 1.0) * (wide - 1)) for score in ends)
    return " " * first + block * (last - first + 1)


def _alone(e: Explanation, console: Console) -> None:
    table = grid(console)
    table.add_column("score", justify="right")
    table.add_column("brings", justify="right")
    table.add_column("folds", justify="right")
    table.add_column("change")
    lines = []
    for part in e.alone:
        partial = part.folds < e.folds
        folds = f"{'stopped ' if partial and e.steps else ''}{part.folds}/{e.folds}"
        cells = (
            words.score(e.metric, part.score),
            words.gain_words(e.metric, part.gain),
            folds,
            words.part_words(part),
        )
        lines.append([as_text(cell, console, "dim" if partial else "") for cell in cells])
    console.print(filled(table, lines, console))
