"""The report in the terminal: a headline, the leaderboard, and why trials failed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from reports.terminal.output import STATE_STYLES, Output, as_text, filled, grid, room
from reports.wording import answer as answer_words
from reports.wording import study as words
from reports.wording import using as use_words
from reports.wording import values
from reports.wording.going_on import typed
from reports.wording.next_steps import advice
from search.results.summary import ReferenceRow, StudySummary, TrialRow

_PARAGRAPH = 96  # columns: longer lines are hard to read
_CHANGED = "changed from trial 0"
_CHANGES = 44  # columns that the changes of a trial get, if they need as many, before those of _SPARED are shown
_SPARED = ("worst to best", "epochs", "weights", "time")  # the least important first
_NUMBERS = ("trial", "ms/image", "folds", "epochs", "weights", "time")


def show(data: StudySummary, console: Console | None = None, top: int = 20, study: Path | None = None) -> None:
    """Print the report: plain where the console is a pipe or a file. `study`: its folder; None: the current one."""
    console = console or Output()

    def paragraph(text: str, style: str = "") -> None:
        if text:
            console.print(as_text(text, console, style), highlight=False, width=min(console.width, _PARAGRAPH))

    def command(words: Sequence[str | Path]) -> None:
        """On one line, which the terminal may wrap: with line breaks of its own it could not be copied."""
        console.print(as_text(f"   {typed(words, study)}", console, "dim"), no_wrap=True, overflow="ignore", crop=False)

    paragraph(_title(data), "dim")
    console.print()
    _answer(data, paragraph)
    if steps := advice(data):
        console.print()
        paragraph("What to do next", "bold")
    for number, step in enumerate(steps, start=1):
        paragraph(f"{number}. {step.what}: {step.why}")
        if step.words:
            command(step.words)
    if uses := use_words.uses(data):
        console.print()
        paragraph(use_words.TITLE, "bold")
    for use in uses:
        paragraph(f"{use.what}:")
        command(use.words)
    if data.rows or data.references:
        console.print()
        _search(data, paragraph)
        console.print(leaderboard(data, console, top))
        paragraph(words.ties(data), "dim")
        paragraph(words.front(data) if data.second_objective else "", "dim")
        more = len(data.rows) - top
        paragraph(f"… and {values.count(more, 'more trial')}" if more > 0 else "", "dim")
    for title, content, table in (
        ("Pre-trained networks, each by its best trial on frozen features", data.backbones, backbones),
        ("Trials that did not finish", data.causes, causes),
    ):
        if content:
            console.print()
            paragraph(title, "bold")
            console.print(table(data, console))
    for text in filter(None, (words.saved(data), *(f"Note: {note}" for note in data.notes))):
        console.print()
        paragraph(text)


def _answer(data: StudySummary, paragraph: Callable[..., None]) -> None:
    """How good the model is, beside what."""
    paragraph(answer_words.answer(data), "bold")
    for sentence in answer_words.beside(data):
        paragraph(sentence)
    paragraph(words.too_good(data), "bold")


def _search(data: StudySummary, paragraph: Callable[..., None]) -> None:
    """What the scores of the leaderboard say, and what they do not."""
    told = [words.choice(data), words.nested(data)]
    if data.estimate is not None:  # else the answer has said it
        paragraph(words.headline(data))
        told.append(words.caution(data))
    paragraph(words.references(data))
    if data.best is not None and data.best.changed:
        paragraph(f"Changed from trial 0: {values.params_words(data.best.changed)}.")
    for text in told:
        paragraph(text, "dim")


def _title(data: StudySummary) -> str:
    parts = [values.shortened(data.study.name, 40)]
    if data.rows:
        parts.append(f"{values.count(len(data.rows), 'trial')}: {words.counts_words(data)}")
    parts.append(words.images_words(data))
    if data.spent_seconds:
        parts.append(values.duration(data.spent_seconds))
    return " · ".join(parts)


def leaderboard(data: StudySummary, console: Console, top: int = 20) -> Table:
    """The best `top` trials and the references, by score.

    Columns are left out in the order of `_SPARED` until the changes have the room they need, or `_CHANGES`.
    """
    rows = data.with_references(data.rows[:top])
    cells = [_cells(data, row) for row in rows]
    widest = max((cell_len(row[_CHANGED]) for row in cells), default=0)
    for spared in range(len(_SPARED) + 1):
        titles = [title for title in _titles(data) if title not in _SPARED[:spared]]
        table = grid(console)
        for title in titles:
            table.add_column(title, justify="right" if title in _NUMBERS else "left")
        texts = [
            _styled(data, row, [of.get(title, "") for title in titles], console)
            for row, of in zip(rows, cells, strict=True)
        ]
        if room(table, texts, console) >= min(widest, _CHANGES):
            break
    return filled(table, texts, console)


def _titles(data: StudySummary) -> list[str]:
    """All columns of the leaderboard, from the left."""
    latency = ["ms/image"] if data.second_objective == "latency" else []
    score = values.metric_words(data.metric)
    return ["trial", score, "worst to best", *latency, "folds", "epochs", "weights", "time", "state", _CHANGED]


def _cells(data: StudySummary, row: TrialRow | ReferenceRow) -> dict[str, str]:
    """What stands in a row, by column; what a reference lacks is left out."""
    span = row.low is not None and row.high is not None
    both = {
        values.metric_words(data.metric): words.score_words(row),
        "worst to best": f"{values.number(row.low, 2)} to {values.number(row.high, 2)}" if span else values.NONE,
        "folds": f"{len(row.fold_scores)}/{data.folds}",
        "time": values.duration(row.seconds),
    }
    if isinstance(row, ReferenceRow):
        return both | {"state": "reference", _CHANGED: values.shortened(row.label, 60)}
    return both | {
        "trial": words.marked(data, row),
        "ms/image": values.number(row.latency),
        "epochs": f"{sum(row.epochs) / len(row.epochs):.0f}" if row.epochs else values.NONE,
        "weights": values.amount(row.parameters),
        "state": words.ended_words(row, searching=data.searching),
        _CHANGED: words.changes_words(row.origin, row.changed),
    }


def _styled(data: StudySummary, row: TrialRow | ReferenceRow, cells: list[str], console: Console) -> list[Text]:
    """The cells of a row: the best trial bold, a reference dim, the state before the last in its colour."""
    if isinstance(row, ReferenceRow):
        return [as_text(cell, console, "dim italic") for cell in cells]
    bold = "bold" if data.best is not None and row.number == data.best.number else ""
    texts = [as_text(cell, console, bold) for cell in cells]
    texts[-2].stylize(STATE_STYLES[row.state])
    return texts


def backbones(data: StudySummary, console: Console) -> Table:
    """The pre-trained networks of a study, best first."""
    table = grid(console)
    for column in ("network", values.metric_words(data.metric), "trial", "pixels", "ms/image"):
        table.add_column(column, justify="left" if column == "network" else "right")
    for row in data.backbones:
        numbers = (values.number(row.score), str(row.trial), words.pixels(row), values.number(row.milliseconds, 1))
        table.add_row(*(as_text(cell, console) for cell in (values.shortened(row.name, 40), *numbers)))
    return table


def causes(data: StudySummary, console: Console) -> Table:
    """Why trials failed or were stopped, most frequent first."""
    table = grid(console)
    table.add_column("trials", justify="right", no_wrap=True)
    table.add_column("ended", no_wrap=True)
    table.add_column("because of", overflow="fold")
    table.add_column("such as", no_wrap=True)
    for cause in data.causes:
        ended = words.ended_words(cause, searching=data.searching)
        text = "" if cause.cause == ended else values.cut(cause.cause, 100)
        if cause.detail and cause.detail != cause.cause:
            such = "such as: " if cause.count > 1 else ""
            text = f"{text}{', ' if such else ': '}" if text else ""
            text += f"{such}{values.cut(cause.detail, 400)}"
        numbers = ", ".join(map(str, cause.trials[:3])) + (" …" if cause.count > 3 else "")
        state = as_text(ended, console, STATE_STYLES[cause.state])
        table.add_row(as_text(str(cause.count), console), state, as_text(text, console), as_text(numbers, console))
    return table
