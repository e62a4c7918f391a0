"""Why trials did not learn, from what is stored of their folds."""

from __future__ import annotations

from dataclasses import dataclass

from storage.records import TrialRecord


@dataclass(frozen=True)
class Diagnosed:
    """Why a trial did not learn: what was found in most of the folds in which something was."""

    number: int  # of the trial
    symptom: str
    cause: str  # the suspected one
    evidence: tuple[str, ...]  # in words, of the first of these folds
    change: str  # what to try
    folds: int  # that it was found in
    trained: int  # folds of the search that the trial has


def diagnosed(trial: TrialRecord) -> Diagnosed | None:
    """What was found in the folds of the search; None where nothing was."""
    folds = [fold for fold in trial.folds if fold.repeat == 0]
    found = [fold.diagnosis for fold in folds if fold.diagnosis]
    if not found:
        return None
    names = [one.name for one in found]
    usual = max(found, key=lambda one: names.count(one.name))  # the first of equals
    return Diagnosed(
        number=trial.number,
        symptom=usual.symptom,
        cause=usual.cause,
        evidence=usual.evidence,
        change=usual.change,
        folds=names.count(usual.name),
        trained=len(folds),
    )
