"""The report as Markdown: for a chat, an issue, or a language model. All names from files are escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from reports.wording import answer as answer_words
from reports.wording import labels as label_words
from reports.wording import study as words
from reports.wording import values
from reports.wording.next_steps import advice
from search.files import write_atomically
from search.results.labels import shown
from search.results.standing import standings
from search.results.summary import ReferenceRow, StudySummary, TrialRow

_MAX_ROWS = 30  # of the leaderboard; `search report --json` has all


def write(data: StudySummary, path: Path) -> None:
    """Write the report to `path`, atomically."""
    write_atomically(path, render(data))


def render(data: StudySummary) -> str:
    """The whole report, in the order of the page."""
    parts = [
        _first(data),
        _steps(data),
        _labels(data),
        _confusion(data),
        _leaderboard(data),
        _causes(data),
        _repeat(data),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _first(data: StudySummary) -> str:
    told = (answer_words.answer, answer_words.tested, answer_words.compared, answer_words.model, words.diagnosis)
    lines = [f"# {_plain(values.shortened(data.study.name, 120))}"]
    lines += [_plain(sentence) for tell in told if (sentence := tell(data))]
    if warning := words.too_good(data):
        lines.append(f"**{_plain(warning)}**")
    rows = [(answer_words.label(row), answer_words.in_words(data, row)) for row in standings(data)]
    if rows:
        lines.append(_table(("", f"{values.metric_words(data.metric)} (95 % interval)"), rows))
    lines.append(
        f"{_plain(words.images_words(data))}; {values.count(len(data.rows), 'trial')} "
        f"({words.counts_words(data)}); {values.duration(data.spent_seconds)}."
    )
    return "\n\n".join(lines + [f"> {_plain(note)}" for note in data.notes])


def _steps(data: StudySummary) -> str:
    steps = [
        f"{number}. **{_plain(step.what)}**: {_plain(step.why)}"
        + (f"\n   {_code(step.command)}" if step.command else "")
        for number, step in enumerate(advice(data), start=1)
    ]
    return "\n".join(["## What to do next", "", *steps]) if steps else ""


def _labels(data: StudySummary) -> str:
    listed = shown(data.suspects)
    if not listed:
        return ""
    names = data.study.classes
    rows = [
        (suspect.path, names[suspect.label], names[suspect.likely], values.number(suspect.probability, 2))
        for suspect in listed
    ]
    head = ("picture", "label", "likely", "probability")
    return f"## Labels to look at\n\n{_plain(label_words.about(data))}\n\n{_table(head, rows)}"


def _confusion(data: StudySummary) -> str:
    if data.pooled is None:
        return ""
    counts, names = data.pooled.confusion, data.study.classes
    rows = []
    for label, row in enumerate(counts):
        total = int(row.sum())
        taken = sorted(((int(n), other) for other, n in enumerate(row) if n and other != label), reverse=True)
        mistakes = ", ".join(f"{names[other]} ({n})" for n, other in taken[:3])
        found = f"{100 * row[label] / total:.0f} %" if total else values.NONE
        rows.append((names[label], str(total), found, mistakes))
    about = f"Predictions of {label_words.of_whom(data)}, each by a network that was not trained on the picture."
    return f"## What it confuses\n\n{about}\n\n{_table(('class', 'pictures', 'found', 'taken for'), rows)}"


def _leaderboard(data: StudySummary) -> str:
    if not data.rows:
        return ""
    rows = [_row(data, row) for row in data.with_references(data.rows[:_MAX_ROWS])]
    head = ("trial", values.metric_words(data.metric), "folds", "state", "changed from trial 0")
    told = [words.choice, words.nested, words.ties]
    if data.estimate is not None:  # else the answer has said it
        told = [words.headline, words.references, words.choice, words.nested, words.caution, words.ties]
    text = "\n\n".join(_plain(sentence) for tell in told if (sentence := tell(data)))
    more = len(data.rows) - _MAX_ROWS
    rest = f"\n\n… and {values.count(more, 'more trial')}." if more > 0 else ""
    return f"## Leaderboard\n\n{text}\n\n{_table(head, rows)}{rest}"


def _row(data: StudySummary, row: TrialRow | ReferenceRow) -> tuple[str, ...]:
    folds = f"{len(row.fold_scores)}/{data.folds}"
    if isinstance(row, ReferenceRow):
        return ("", words.score_words(row), folds, "reference", row.label)
    state = words.ended_words(row, searching=data.searching)
    changes = words.changes_words(row.origin, row.changed)
    return (words.marked(data, row), words.score_words(row), folds, state, changes)


def _causes(data: StudySummary) -> str:
    rows = [
        (str(cause.count), words.STATE_WORDS[cause.state], values.shortened(cause.cause, 200)) for cause in data.causes
    ]
    return f"## Trials that did not finish\n\n{_table(('trials', 'ended', 'because of'), rows)}" if rows else ""


def _repeat(data: StudySummary) -> str:
    commands = "\n".join(f"- {_code(values.masked(command))}" for command in data.commands)
    versions = ", ".join(f"{name} {version}" for name, version in data.versions.items())
    facts = f"Seed {data.study.seed}; images {data.study.fingerprint[:16]}; {versions}."
    return f"## How to repeat it\n\n{commands}\n\n{_plain(facts)}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(_lines(head, rows))


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    yield _cells(head)
    yield _cells(["---"] * len(head), escape=False)
    yield from (_cells(row) for row in rows)


def _cells(cells: Sequence[str], *, escape: bool = True) -> str:
    return f"| {' | '.join(_plain(cell, within='|') if escape else cell for cell in cells)} |"


def _plain(text: str, within: str = "") -> str:
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


def _code(command: str) -> str:
    """A command as code, whatever backticks it has."""
    text = values.visible(command)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"
