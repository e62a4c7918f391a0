"""All trials and all fold runs of a study as two tables, for a spreadsheet or a data frame."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from reports.labels_csv import harmless
from search.files import write_atomically
from search.results.summary import StudySummary
from search.stats.metrics import METRICS
from storage.records import FoldRecord, TrialRecord

TRIALS, FOLDS = "trials.csv", "folds.csv"
OF_TRIALS = (
    "trial",
    "state",
    "rank",
    "score",
    "spread",
    "low",
    "high",
    "folds",
    "weight",
    "parameters",
    "seconds",
    "latency",
    "origin",
    "cause",
    "detail",
    "redraws",
    "started",
    "finished",
)
"""Columns of each trial; those of its parameters come after them, `params_NAME` as Optuna names them."""
OF_FOLDS = (
    "trial",
    "repeat",
    "fold",
    "seed",
    "epochs",
    "best_epoch",
    "parameters",
    "seconds",
    "latency",
    "symptom",
    "likely_cause",
)
"""Columns of each fold run; those of all metrics come after them."""


def trials_csv(data: StudySummary) -> str:
    """One line for each trial, in their order. A cell is empty where there is no value, as of an inactive parameter."""
    rows = {row.number: row for row in data.rows}
    names = list(dict.fromkeys(name for trial in data.trials for name in trial.params))
    weights: dict[int, float] = {}
    for number, weight in data.chosen.members if data.chosen else ():
        weights[number] = weights.get(number, 0.0) + weight

    def cells(trial: TrialRecord) -> Iterator[object]:
        row = rows[trial.number]
        yield from (trial.number, trial.state.value, row.rank, row.score, row.spread, row.low, row.high)
        yield from (len(row.fold_scores), weights.get(trial.number), trial.parameters, trial.seconds, trial.latency)
        yield from (trial.origin.value, trial.cause, trial.detail, trial.redraws, trial.started, trial.finished)
        yield from (trial.params.get(name) for name in names)

    head = (*OF_TRIALS, *(f"params_{harmless(name)}" for name in names))
    return _table(head, (cells(trial) for trial in data.trials))


def folds_csv(data: StudySummary) -> str:
    """One line for each fold run, by trial, repeat and fold, which are counted from 0."""

    def cells(fold: FoldRecord) -> Iterator[object]:
        yield from (fold.trial, fold.repeat, fold.fold, fold.seed, fold.epochs, fold.best_epoch)
        yield from (fold.parameters, fold.seconds, fold.latency)
        yield from (fold.diagnosis.symptom, fold.diagnosis.cause) if fold.diagnosis else (None, None)
        yield from (fold.scores.get(name) for name in METRICS)

    return _table((*OF_FOLDS, *METRICS), (cells(fold) for trial in data.trials for fold in trial.folds))


def write(data: StudySummary, folder: Path) -> tuple[Path, Path]:
    """Write both tables into `folder`, each atomically, as UTF-8, and return their paths. Raises OSError."""
    trials, folds = folder / TRIALS, folder / FOLDS
    write_atomically(trials, trials_csv(data))
    write_atomically(folds, folds_csv(data))
    return trials, folds


def _table(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> str:
    """Numbers in full, as Python reads them back; nothing for what is missing or no number; text without formulas."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return ""
    return harmless(value) if isinstance(value, str) else str(value)
