"""The order of trials. Pure; used by the loop, the report and the live table."""

from __future__ import annotations

import math
from collections.abc import Iterable

from search.stats.metrics import METRICS
from storage.records import TrialRecord, TrialState

SECOND_OBJECTIVES = ("parameters", "latency")  # minimised beside the metric

_ORDER = {TrialState.COMPLETE: 0, TrialState.PRUNED: 1, TrialState.RUNNING: 2, TrialState.FAILED: 3}


def ranked(trials: Iterable[TrialRecord], metric: str) -> list[TrialRecord]:
    """Best first: complete trials by score, then pruned, running and failed ones; ties by number.

    A trial that was stopped early never ranks above one that has all its folds.
    """
    gain = METRICS[metric].gain

    def key(trial: TrialRecord) -> tuple[int, float, int]:
        score = trial.score(metric)
        known = score is not None and score == score  # noqa: PLR0124 - NaN
        return (
            _ORDER[trial.state],
            -gain(score) if known and score is not None else float("inf"),
            trial.number,
        )

    return sorted(trials, key=key)


def score_for_sampler(trial: TrialRecord, metric: str) -> float | None:
    """The score that a sampler learns of a trial; None if the trial has none.

    The mean over its folds. For a trial that was stuck at chance it is the worst fold: a bad value rather than a
    failure, since samplers ignore failures and would propose the same region again. Depends on the stored trial alone.
    """
    if not trial.collapsed:
        return trial.score(metric)
    known = [score for score in trial.scores(metric) if math.isfinite(score)]
    return METRICS[metric].worst(known) if known else None


def second_value(trial: TrialRecord, objective: str) -> float | None:
    """The value of the second objective: 'parameters' of the model, or 'latency' in ms per image; None if unknown."""
    value = trial.parameters if objective == "parameters" else trial.latency
    return None if value is None else float(value)


def pareto_front(trials: Iterable[TrialRecord], metric: str, objective: str) -> frozenset[int]:
    """Numbers of the complete trials that no other trial dominates: is as good in both objectives and better in one."""
    known = [
        (-METRICS[metric].gain(score), second, trial.number)
        for trial in trials
        if trial.state == TrialState.COMPLETE
        and (score := trial.score(metric)) is not None
        and math.isfinite(score)
        and (second := second_value(trial, objective)) is not None
    ]
    front: set[int] = set()
    smallest, its_score = math.inf, math.inf  # smallest second value so far, and the score of that trial
    for score, second, number in sorted(known):
        if second < smallest or (score, second) == (its_score, smallest):
            front.add(number)
            smallest, its_score = second, score
    return frozenset(front)


def best(trials: Iterable[TrialRecord], metric: str) -> TrialRecord | None:
    """The complete trial with the best mean over its folds; None before the first."""
    for trial in ranked(trials, metric):
        score = trial.score(metric)
        if trial.state == TrialState.COMPLETE and score is not None and math.isfinite(score):
            return trial
    return None
