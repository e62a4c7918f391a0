"""From a study's summary to the runs that a tracker keeps: one for each closed trial, and one for the study."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from search.results.summary import StudySummary, TrialRow
from search.stats.metrics import METRICS
from search.study.folder import StudyFolder
from search.trackers.base import TrackedRun
from storage.records import StudyRecord, TrialRecord, TrialState

STUDY = "study"  # the name of the run of the study as a whole
MODEL_CARD = "*.md"  # beside the model
_Key = TypeVar("_Key", str, int)


def study_id(study: StudyRecord) -> str:
    """What tells this study from another of the same name: a hash (hex, 48 bits) of what never changes in it."""
    told = "\n".join((study.name, study.created, str(study.seed), study.fingerprint))
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def runs_of(data: StudySummary, folder: StudyFolder) -> list[TrackedRun]:
    """The closed trials in their order, then the study itself, unless it is being searched and so still changes."""
    rows = {row.number: row for row in data.rows}
    closed = [trial for trial in data.trials if trial.state != TrialState.RUNNING]
    runs = [_of_trial(data, trial, rows[trial.number]) for trial in closed]
    return runs if data.searching or not closed else [*runs, _of_study(data, folder)]


def _of_trial(data: StudySummary, trial: TrialRecord, row: TrialRow) -> TrackedRun:
    """Its numbers are those of `report --json`; folds are counted from 1, as everywhere where people look."""
    numbers: dict[str, float | None] = {
        **{name: trial.score(name) for name in METRICS if all(name in fold.scores for fold in trial.folds)},
        data.metric: row.score,
        "spread": row.spread,
        "folds": len(row.fold_scores),
        "parameters": row.parameters,
        "seconds": row.seconds,
        "latency": row.latency,
    }
    facts = {
        "state": row.state.value,
        "origin": row.origin.value,
        "cause": row.cause,
        "detail": row.detail,
    }
    return TrackedRun(
        name=f"trial-{trial.number:04d}",
        params=dict(trial.params),
        numbers=_finite(numbers),
        curves=_curves(trial, data.metric),
        facts={name: fact for name, fact in facts.items() if fact},
        started=trial.started,
        ended=trial.finished or "",
    )


def _curves(trial: TrialRecord, metric: str) -> dict[str, dict[int, float]]:
    """The score of each fold of the search, and the curves of each fold run over its epochs."""
    curves = {f"fold_{metric}": _finite({f.fold + 1: f.scores.get(metric) for f in trial.folds if f.repeat == 0})}
    for fold in trial.folds:
        of = f"fold-{fold.fold + 1}" if fold.repeat == 0 else f"repeat-{fold.repeat}/fold-{fold.fold + 1}"
        for name, values in fold.curve.items():
            curves[f"{of}/{name}"] = _finite(dict(enumerate(values, start=1)))
    return {name: curve for name, curve in curves.items() if curve}


def _of_study(data: StudySummary, folder: StudyFolder) -> TrackedRun:
    best, estimate, chosen = data.best, data.estimate, data.chosen
    test = chosen.test if chosen else None
    numbers: dict[str, float | None] = {
        f"best_{data.metric}": best.score if best else None,
        "estimate": estimate.value if estimate else None,
        "estimate_low": estimate.low if estimate else None,
        "estimate_high": estimate.high if estimate else None,
        "test": test.value if test else None,
        "chance": data.chance,
        "images": data.images,
        "trained_seconds": data.trained_seconds,
        **{f"trials_{state.value}": count for state, count in data.counts.items()},
        **{f"reference_{reference.name}": reference.score for reference in data.references},
    }
    members = [f"{number} ({weight:.3g})" for number, weight in chosen.members] if chosen else []
    facts = {
        "study": data.study.name,
        "metric": data.metric,
        "classes": ", ".join(data.study.classes),
        "fingerprint": data.study.fingerprint,
        "best_trial": str(best.number) if best else "",
        "chosen_trials": ", ".join(members),
    }
    return TrackedRun(
        name=STUDY,
        params={
            "preset": data.preset,
            "engine": data.engine,
            "sampler": data.sampler,
            "folds": data.folds,
            "seed": data.study.seed,
        },
        numbers=_finite(numbers),
        facts={name: fact for name, fact in facts.items() if fact},
        files=_files(folder),
        started=data.study.created,
    )


def _files(folder: StudyFolder) -> tuple[Path, ...]:
    """The report, the model and its card, where they are there. A link is none of them: it could lead to any file."""
    page = folder.report
    cards: Sequence[Path] = sorted(folder.models.glob(MODEL_CARD))
    there = (page.with_suffix(".md"), page, folder.model, *cards)
    inside = folder.path.resolve()
    return tuple(p for p in there if p.is_file() and not p.is_symlink() and p.resolve().is_relative_to(inside))


def _finite(values: Mapping[_Key, float | None]) -> dict[_Key, float]:
    return {key: float(value) for key, value in values.items() if value is not None and math.isfinite(value)}
