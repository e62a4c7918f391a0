"""The leaderboard: a row for each trial and reference, and what a row opens."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from reports.html.charts import Panel, panels, small_curves, strip, strip_limits
from reports.wording import board as words
from reports.wording import study as study_words
from reports.wording.values import shortened, value_words, visible
from search.results.confusions import DETAILED
from search.results.costs import quickest_of_tied
from search.results.summary import ReferenceRow, StudySummary, TrialRow
from search.results.timing import milliseconds

MAX_ROWS = 200
_MAX_CLASSES = 8  # of a confusion matrix in a drawer; with more its largest mistakes are named
_MISTAKES = 5
_MAX_BOXES = 16  # of the filter; a parameter of the user's may be called `family` and have any number of values


@dataclass(frozen=True)
class Drawer:
    """What a row opens."""

    why: str  # how the trial ended
    folds: Sequence[tuple[str, str, str]]  # (fold, score, which epoch counts)
    curves: Sequence[tuple[str, Markup]]  # (title, drawing)
    no_curves: str  # why there is none; empty: there are some, or none is drawn of this row
    confusion: Sequence[tuple[str, Sequence[tuple[int, str]]]]  # (class, cells of (images, CSS class))
    mistakes: Sequence[str]  # instead of the matrix
    changed: Sequence[tuple[str, str]]  # parameters (name, value) that differ from trial 0
    others: Sequence[tuple[str, str]]  # all others


@dataclass(frozen=True)
class Entry:
    """One row."""

    row: TrialRow | ReferenceRow
    reference: bool
    best: bool
    strip: Markup
    badges: Sequence[str]
    family: str
    state: str
    milliseconds: float | None = None  # an image
    drawer: Drawer | None = None  # None: of a reference


@dataclass(frozen=True)
class Board:
    """The whole table."""

    entries: Sequence[Entry]
    families: Sequence[str]  # to filter by; empty: there is only one
    states: Sequence[str]
    legend: Sequence[tuple[str, str]]  # (badge, what it means)
    timed: bool  # whether the time of a prediction is known of any trial
    note: str  # what is left out


def leaderboard(data: StudySummary) -> Board:
    """The best trials and the references, by score."""
    shown = data.rows[:MAX_ROWS]
    rows = data.with_references(shown)
    limits = strip_limits(data, rows)
    times = milliseconds(data.preset, data.trials)
    quickest = quickest_of_tied(data)
    detailed = {row.number: data.trial(row.number) for row in shown[:DETAILED]}
    axes = panels(data, list(detailed.values()))
    entries = []
    for row in rows:
        drawn = strip(row, limits, data.chance)
        if isinstance(row, ReferenceRow):
            entries.append(Entry(row, True, False, drawn, [words.REFERENCE], "", words.REFERENCE))
            continue
        entries.append(
            Entry(
                row=row,
                reference=False,
                best=data.best is not None and row.number == data.best.number,
                strip=drawn,
                badges=words.badges(data, row, quickest),
                family=visible(str(row.params.get("family", data.preset))),
                state=study_words.ended_words(row, searching=data.searching),
                milliseconds=times.get(row.number),
                drawer=_drawer(data, row, axes if row.number in detailed else []),
            )
        )
    return Board(
        entries=entries,
        families=_several(entry.family for entry in entries if not entry.reference),
        states=_several(entry.state for entry in entries),
        legend=words.legend({badge for entry in entries for badge in entry.badges}),
        timed=any(entry.milliseconds is not None for entry in entries),
        note=words.details(len(data.rows) - len(shown), len(shown)),
    )


def _several(names: Iterable[str]) -> list[str]:
    found = list(dict.fromkeys(names))
    return found if 1 < len(found) <= _MAX_BOXES else []


def _drawer(data: StudySummary, row: TrialRow, axes: Sequence[Panel]) -> Drawer:
    trial = data.trial(row.number)
    drawable = bool(axes) and words.has_curves(trial)
    counts = data.confusions.get(row.number)
    small = counts is not None and len(counts) <= _MAX_CLASSES
    params = [(visible(name), value_words(value)) for name, value in row.params.items() if name not in row.changed]
    return Drawer(
        why=words.why(data, row),
        folds=words.folds(data, trial),
        curves=[(panel.title, small_curves(trial, panel)) for panel in axes] if drawable else [],
        no_curves=words.no_curves(data, trial) if axes and trial.folds and not drawable else "",
        confusion=_matrix(data, counts) if counts is not None and small else [],
        mistakes=_mistakes(data, counts) if counts is not None and not small else [],
        changed=[(visible(name), value_words(value)) for name, value in row.changed.items()] if row.number else [],
        others=params if row.number else [(visible(name), value_words(value)) for name, value in row.params.items()],
    )


def _matrix(data: StudySummary, counts: NDArray[np.int64]) -> Sequence[tuple[str, Sequence[tuple[int, str]]]]:
    return [
        (
            shortened(data.study.classes[i], 18),
            [(int(n), "right" if i == j else "wrong" if n else "zero") for j, n in enumerate(row)],
        )
        for i, row in enumerate(counts)
    ]


def _mistakes(data: StudySummary, counts: NDArray[np.int64]) -> Sequence[str]:
    """The most frequent ones: '5 of 20 cats taken for dogs'."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    places = np.argsort(-wrong, axis=None, kind="stable")[:_MISTAKES]
    names, totals = data.study.classes, counts.sum(axis=1)
    pairs = [divmod(int(place), len(names)) for place in places]
    return [
        f"{wrong[i, j]} of {totals[i]} {shortened(names[i], 24)} taken for {shortened(names[j], 24)}"
        for i, j in pairs
        if wrong[i, j]
    ]
