"""The report as Markdown: for a chat, an issue, or a language model. All names from files are escaped."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from reports.markup import plain as _plain
from reports.markup import table as _table
from reports.wording import answer as answer_words
from reports.wording import calibration as calibration_words
from reports.wording import causes as cause_words
from reports.wording import costs as cost_words
from reports.wording import explain as explain_words
from reports.wording import labels as label_words
from reports.wording import more_pictures as more_words
from reports.wording import next_steps as next_words
from reports.wording import parameters as parameter_words
from reports.wording import recall as recall_words
from reports.wording import spent as spent_words
from reports.wording import study as words
from reports.wording import using as use_words
from reports.wording import values
from reports.wording.next_steps import advice
from search.files import write_atomically
from search.results.costs import sizes, speeds
from search.results.importance import Figures, figures
from search.results.labels import shown
from search.results.recall import recalls
from search.results.standing import standings
from search.results.summary import ReferenceRow, StudySummary, TrialRow
from search.results.timing import milliseconds

_MAX_ROWS = 30  # of the leaderboard; `search report --json` has all


def write(data: StudySummary, path: Path, weights: Figures | None = None) -> None:
    """Write the report to `path`, atomically. `weights`: see `render`."""
    write_atomically(path, render(data, weights))


def render(data: StudySummary, weights: Figures | None = None) -> str:
    """The whole report, in the order of the page. `weights`: of `figures`; None: they are computed."""
    parts = [
        _first(data),
        _steps(data),
        _use(data),
        _labels(data),
        _confusion(data),
        _told("How sure it is, and how often it is right", data, calibration_words.answer, calibration_words.about),
        _told("Would more pictures help?", data, more_words.answer, more_words.about),
        _leaderboard(data),
        _backbones(data),
        _explanation(data),
        _costs(data),
        _importance(data, weights or figures(data)),
        _causes(data),
        _spent(data),
        _repeat(data),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _first(data: StudySummary) -> str:
    lines = [f"# {_plain(values.shortened(data.study.name, 120))}"]
    lines += [_plain(sentence) for sentence in (answer_words.answer(data), *answer_words.beside(data)) if sentence]
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
    if not steps:
        return ""
    return "\n".join(["## What to do next", "", next_words.WHERE, "", *steps])


def _use(data: StudySummary) -> str:
    uses = [f"- {_plain(use.what)}: {_code(use.command)}" for use in use_words.uses(data)]
    return "\n".join([f"## {use_words.TITLE}", "", use_words.ABOUT, "", *uses]) if uses else ""


def _labels(data: StudySummary) -> str:
    listed = shown(data.suspects)
    if not listed:
        return ""
    names = data.study.classes
    rows = [
        (suspect.path, names[suspect.label], names[suspect.likely], label_words.one_in(suspect.rarity))
        for suspect in listed
    ]
    head = ("picture", "label", "likely", "a right label looks so")
    return f"## Labels to look at\n\n{_plain(label_words.about(data))}\n\n{_table(head, rows)}"


def _confusion(data: StudySummary) -> str:
    if data.pooled is None:
        return ""
    counts, names = data.pooled.confusion, data.study.classes
    of_class = {recall.label: recall for recall in recalls(counts)}
    rows = []
    for label, row in enumerate(counts):
        total = int(row.sum())
        taken = sorted(((int(n), other) for other, n in enumerate(row) if n and other != label), reverse=True)
        mistakes = ", ".join(f"{names[other]} ({n})" for n, other in taken[:3])
        rows.append((names[label], str(total), recall_words.share(of_class[label]), mistakes))
    about = f"Predictions of {label_words.of_whom(data)}, each by a network that was not trained on the picture."
    head = ("class", "pictures", "recognized (95 % interval)", "taken for")
    return f"## What it confuses\n\n{about}\n\n{_table(head, rows)}"


def _told(title: str, data: StudySummary, *tell: Callable[[StudySummary], str]) -> str:
    """A section of sentences; empty without one."""
    sentences = [_plain(sentence) for of in tell if (sentence := of(data))]
    return "\n\n".join([f"## {title}", *sentences]) if sentences else ""


def _leaderboard(data: StudySummary) -> str:
    if not data.rows:
        return ""
    rows = [_row(data, row) for row in data.with_references(data.rows[:_MAX_ROWS])]
    head = ("trial", values.metric_words(data.metric), "folds", "state", "changed from trial 0")
    told = [words.references, words.choice, words.nested, words.ties, words.saved]
    if data.estimate is not None:  # else the answer has said it
        told = [words.headline, *told, words.caution]
    text = "\n\n".join(_plain(sentence) for tell in told if (sentence := tell(data)))
    more = len(data.rows) - _MAX_ROWS
    rest = f"\n\n… and {values.count(more, 'more trial')}." if more > 0 else ""
    return f"## Leaderboard\n\n{text}\n\n{_table(head, rows)}{rest}"


def _backbones(data: StudySummary) -> str:
    rows = [
        (row.name, str(row.trial), values.number(row.score), values.number(row.milliseconds, 1))
        for row in data.backbones
    ]
    head = ("network", "trial", values.metric_words(data.metric), "ms an image")
    return f"## Pre-trained networks\n\n{_plain(words.BACKBONES)}\n\n{_table(head, rows)}" if rows else ""


def _row(data: StudySummary, row: TrialRow | ReferenceRow) -> tuple[str, ...]:
    folds = f"{len(row.fold_scores)}/{data.folds}"
    if isinstance(row, ReferenceRow):
        return ("", words.score_words(row), folds, "reference", row.label)
    state = words.ended_words(row, searching=data.searching)
    changes = words.changes_words(row.origin, row.changed)
    return (words.marked(data, row), words.score_words(row), folds, state, changes)


def _explanation(data: StudySummary) -> str:
    e = data.explanation
    if e is None:
        return ""
    text = "\n\n".join(
        map(_plain, (explain_words.headline(e), *explain_words.sentences(e, explain_words.anywhere(data))))
    )
    path = [(bar.label, explain_words.score(e.metric, bar.after), bar.words) for bar in explain_words.bars(e)]
    alone = [
        (explain_words.part_words(part), explain_words.score(e.metric, part.score), explain_words.brings(e, part))
        for part in e.alone
    ]
    tables = [_table(("the path", "score", "brings"), [(a, b, c if c != b else "") for a, b, c in path])]
    if len(alone) > 1:
        tables.append(_table(("each change alone", "score", "brings"), alone))
    about = _plain(f"{explain_words.caution(e)} {explain_words.cost(e)}")
    return "\n\n".join(["## What made the difference", text, *tables, about])


def _costs(data: StudySummary) -> str:
    parts = []
    for costs in (speeds(data), sizes(data)):
        if costs is not None:
            rows = [
                (str(point.number), values.number(point.score), cost_words.amount(costs.kind, point.cost))
                for point in costs.front
            ]
            table = _table(("trial", values.metric_words(data.metric), "costs"), rows)
            parts.append(f"{cost_words.TITLES[costs.kind]}: {_plain(cost_words.about(costs))}\n\n{table}")
    if not parts:
        return ""
    first = "Trials that no other trial beats in both ways, cheapest first."
    together = _plain(cost_words.together(data, milliseconds(data.preset, data.trials)))
    return "\n\n".join(["## Good and quick, good and small", first, *parts, *([together] if together else [])])


def _importance(data: StudySummary, weights: Figures) -> str:
    if not weights.importance:
        return f"## Which parameters mattered\n\n{_plain(weights.no_importance)}" if data.compared else ""
    rows = []
    for name, share in weights.importance.items():
        low, high = weights.ranges[name]
        luck = "" if name in weights.clear else "may be luck"
        rows.append((values.shortened(name, 60), f"{100 * share:.0f} % ({100 * low:.0f} to {100 * high:.0f} %)", luck))
    about = _plain(parameter_words.importance_listed(data, weights))
    return f"## Which parameters mattered\n\n{about}\n\n{_table(('parameter', 'share', ''), rows)}"


def _causes(data: StudySummary) -> str:
    rows = []
    for kind, causes in cause_words.by_kind(data.causes):
        for cause in causes:
            ended = cause_words.ended(cause.cause)
            rows.append((str(cause.count), kind, f"{ended.title}. {ended.meaning}".strip()))
    return f"## Trials that did not finish\n\n{_table(('trials', 'ended', 'why'), rows)}" if rows else ""


def _spent(data: StudySummary) -> str:
    rows = [(spent_words.name(part), values.duration(part.seconds)) for part in data.spent]
    about = _plain(spent_words.about(data))
    return f"## Where the time went\n\n{about}\n\n{_table(('part', 'time'), rows)}" if rows else ""


def _repeat(data: StudySummary) -> str:
    commands = "\n".join(f"- {_code(values.masked(command))}" for command in data.commands)
    versions = ", ".join(f"{name} {version}" for name, version in data.versions.items())
    facts = f"Seed {data.study.seed}; images {data.study.fingerprint[:16]}; {versions}."
    return f"## How to repeat it\n\n{commands}\n\n{_plain(facts)}"


def _code(command: str) -> str:
    """A command as code, whatever backticks it has."""
    text = values.visible(command)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{pad}{text}{pad}{fence}"
