"""The expected score on new images: of the saved model, or of the one that would be saved now."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from search.results.stored import StoredStudy
from search.stats.estimate import Estimate, no_better_than_its_own, trained_on_all
from search.stats.evidence import belief, candidates_of, may_be_chosen
from search.stats.metrics import METRICS
from search.stats.outlook import AHEAD, gain_of_more
from search.stats.selection import decide, expected_score, quick_enough

WORTH_FINISHING = 0.01  # expected loss against the best, in accuracy: a trial within it may well be better


def expected(stored: StoredStudy) -> Estimate | None:
    """The estimate for the saved model, else for the one that would be chosen now; None without a finished fold.

    It is never better than the members' own score here.
    """
    evidence, metric, members = stored.evidence, stored.study.metric, members_or_next(stored)
    if evidence is None or not members:
        return None
    result = expected_score(evidence, candidates_of(evidence, stored.trials), members, stored.wish)
    if result is None:
        return None
    chance = METRICS[metric].chance(np.bincount(evidence.labels))
    return trained_on_all(no_better_than_its_own(result), evidence.fold_count, chance)


def members_or_next(stored: StoredStudy) -> tuple[tuple[int, float], ...]:
    """(trial, weight) of the saved model, else of the one that would be chosen now.

    Empty where there is none, or where its trials cannot be compared with the others any more.
    """
    evidence = stored.evidence
    if evidence is None:
        return ()
    candidates = candidates_of(evidence, stored.trials)
    members = stored.members or tuple((m.trial, m.weight) for m in decide(evidence, candidates, stored.wish))
    return members if {number for number, _ in members} <= {*evidence.numbers} else ()


def expected_best(stored: StoredStudy) -> tuple[int, dict[int, float]] | None:
    """(The trial with the best expectation, trial -> expected loss against it); None without a candidate.

    By all that the choice sees, folds that confirm too, and of trials that are quick enough.
    """
    evidence = stored.confirmed or stored.evidence
    if evidence is None or not (candidates := candidates_of(evidence, stored.trials)).any():
        return None
    candidates = quick_enough(evidence, candidates, stored.wish)
    mean = belief(evidence).mean
    best = int(np.argmax(np.where(candidates, mean, -np.inf)))
    return evidence.numbers[best], dict(zip(evidence.numbers, (mean[best] - mean).tolist(), strict=True))


def worth_finishing(stored: StoredStudy) -> int | None:
    """The trial whose missing folds are worth their time, as it may be the best; None if there is none.

    Of several the one with the best expectation. Trials that the race stopped are not meant.
    """
    found = expected_best(stored)
    if found is None:
        return None
    losses = found[1]
    within = WORTH_FINISHING * METRICS[stored.study.metric].scale
    folds = int(stored.split.assignment.max(initial=-1)) + 1
    unfinished = [
        trial.number
        for trial in stored.trials
        if losses.get(trial.number, math.inf) <= within
        and may_be_chosen(trial, stored.study.metric)
        and sum(fold.repeat == 0 for fold in trial.folds) < folds
    ]
    return min(unfinished, key=lambda number: (losses[number], number), default=None)


def gain_of_another_hour(stored: StoredStudy) -> float | None:
    """By how much the result of another hour of search is expected to be better; None if unknown."""
    spent = sum(run.seconds for run in stored.runs)
    if stored.evidence is None or spent <= 0:
        return None
    trials = math.ceil(len(stored.trials) * AHEAD / spent)
    return gain_of_more(stored.evidence, candidates_of(stored.evidence, stored.trials), trials)


def several(members: Sequence[tuple[int, float]]) -> bool:
    """Whether these (trial, weight) belong to more than one trial."""
    return len({trial for trial, _ in members}) > 1
