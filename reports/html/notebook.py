"""A study in a notebook: a few lines of HTML without script or style sheet. All values are escaped."""

from __future__ import annotations

from markupsafe import Markup

from reports.wording import answer as answer_words
from reports.wording import study as words
from reports.wording import values
from search.results.summary import StudySummary

ROWS = 5  # of the leaderboard


def of_study(data: StudySummary) -> str:
    """What to expect of the model on new images, and the first rows of the leaderboard."""
    head = ("trial", values.metric_words(data.metric), "state", "changed from trial 0")
    rows = [
        (
            words.marked(data, row),
            words.score_words(row),
            words.ended_words(row, searching=data.searching),
            words.changes_words(row.origin, row.changed),
        )
        for row in data.rows[:ROWS]
    ]
    table = [_row(_HEAD, head), *(_row(_CELL, row) for row in rows)]
    sentences = [told(data) for told in (answer_words.answer, answer_words.tested, answer_words.model)]
    paragraphs = [Markup("<p>{}</p>").format(values.visible(sentence)) for sentence in sentences if sentence]
    title = Markup("<p><b>{}</b> · {} · {}</p>").format(
        values.shortened(data.study.name, 40), words.images_words(data), words.counts_words(data) or "no trial yet"
    )
    return str(Markup("").join([title, *paragraphs, Markup("<table>"), *table, Markup("</table>")]))


_HEAD, _CELL = Markup("<th>{}</th>"), Markup("<td>{}</td>")


def _row(kind: Markup, cells: tuple[str, ...]) -> Markup:
    return Markup("<tr>{}</tr>").format(Markup("").join(kind.format(values.visible(cell)) for cell in cells))
