"""Why trials did not finish, and why some did not learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.diagnosis.rules import UNEXPLAINED, Plain, unexplained
from storage.records import TrialRecord, TrialState


@dataclass(frozen=True)
class Cause:
    """Trials that ended early for the same reason."""

    state: TrialState  # FAILED or PRUNED
    cause: str
    count: int
    trials: tuple[int, ...]  # their numbers, ascending
    detail: str | None  # a sentence, from the first trial that has one


@dataclass(frozen=True)
class Diagnosed:
    """Why a trial did not learn: the most frequent diagnosis of its folds."""

    number: int  # of the trial
    symptom: str
    cause: str  # the suspected one
    evidence: tuple[str, ...]  # sentences, from the first fold with this diagnosis
    change: str  # what to try
    folds: int  # number of folds with this diagnosis
    trained: int  # number of folds of the search that the trial has


def diagnosed(trial: TrialRecord, plain: Plain | None = None, classes: int = 0) -> Diagnosed | None:
    """The most frequent diagnosis in the folds of the search; None if there is none.

    `plain`: the best plain method on the same folds, if one is known. It decides whether labels are in doubt.
    """
    folds = [fold for fold in trial.folds if fold.repeat == 0]
    diagnoses = [fold.diagnosis for fold in folds if fold.diagnosis]
    if not diagnoses:
        return None
    names = [diagnosis.name for diagnosis in diagnoses]
    usual = max(diagnoses, key=lambda diagnosis: names.count(diagnosis.name))  # the first of equally frequent ones
    cause, evidence, change = usual.cause, usual.evidence, usual.change
    if cause in UNEXPLAINED:
        informed = unexplained(usual.symptom, plain, classes)
        others = (sentence for sentence in evidence if not sentence.startswith(f"{cause}: "))
        cause, evidence, change = informed.name, (*others, f"{informed.name}: {informed.evidence}"), informed.change
    return Diagnosed(
        number=trial.number,
        symptom=usual.symptom,
        cause=cause,
        evidence=evidence,
        change=change,
        folds=names.count(usual.name),
        trained=len(folds),
    )


def causes(trials: Sequence[TrialRecord]) -> tuple[Cause, ...]:
    """Why trials failed or were stopped: failures first, then the most frequent first."""
    groups: dict[tuple[TrialState, str], list[TrialRecord]] = {}
    for trial in trials:
        if trial.state in (TrialState.FAILED, TrialState.PRUNED):
            unnamed = "unknown" if trial.state == TrialState.FAILED else "stopped early"
            groups.setdefault((trial.state, trial.cause or unnamed), []).append(trial)
    reasons = [
        Cause(
            state=state,
            cause=cause,
            count=len(group),
            trials=tuple(trial.number for trial in group),
            detail=next((trial.detail for trial in group if trial.detail), None),
        )
        for (state, cause), group in groups.items()
    ]
    return tuple(sorted(reasons, key=lambda c: (c.state != TrialState.FAILED, -c.count, c.cause)))
