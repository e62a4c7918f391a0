"""Why trials did not finish, and why some did not learn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from search.diagnosis.rules import UNEXPLAINED, Plain, unexplained
from storage.records import TrialRecord, TrialState


@dataclass(frozen=True)
class Cause:
    """Trials that ended early for one reason."""

    state: TrialState  # FAILED or PRUNED
    cause: str
    count: int
    trials: tuple[int, ...]  # their numbers, ascending
    detail: str | None  # a sentence, from the first that has one


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


def diagnosed(trial: TrialRecord, plain: Plain | None = None, classes: int = 0) -> Diagnosed | None:
    """What was found in the folds of the search; None where nothing was.

    `plain`: the best plain method on the same folds, where one is known. What blames labels is held against it.
    """
    folds = [fold for fold in trial.folds if fold.repeat == 0]
    found = [fold.diagnosis for fold in folds if fold.diagnosis]
    if not found:
        return None
    names = [one.name for one in found]
    usual = max(found, key=lambda one: names.count(one.name))  # the first of equals
    cause, evidence, change = usual.cause, usual.evidence, usual.change
    if cause in UNEXPLAINED:
        said = unexplained(usual.symptom, plain, classes)
        others = (sentence for sentence in evidence if not sentence.startswith(f"{cause}: "))
        cause, evidence, change = said.name, (*others, f"{said.name}: {said.evidence}"), said.change
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
    """Of trials that failed or were stopped, failures first, then the most frequent first."""
    groups: dict[tuple[TrialState, str], list[TrialRecord]] = {}
    for trial in trials:
        if trial.state in (TrialState.FAILED, TrialState.PRUNED):
            unnamed = "unknown" if trial.state == TrialState.FAILED else "stopped early"
            groups.setdefault((trial.state, trial.cause or unnamed), []).append(trial)
    found = [
        Cause(
            state=state,
            cause=cause,
            count=len(group),
            trials=tuple(trial.number for trial in group),
            detail=next((trial.detail for trial in group if trial.detail), None),
        )
        for (state, cause), group in groups.items()
    ]
    return tuple(sorted(found, key=lambda c: (c.state != TrialState.FAILED, -c.count, c.cause)))
