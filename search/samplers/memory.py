"""The trials that a sampler learns from: the latest and the best."""

from __future__ import annotations

from collections.abc import Sequence

from search.stats.ranking import pareto_front, ranked
from storage.records import TrialRecord

LATEST, LEADING = 250, 25
"""Closed trials that a sampler learns from, if it keeps no state in them: the latest and the best of all.

TPE uses at most 25 trials as the good ones, and gives older ones less weight. The time of an ask grows linearly with
the number of trials for TPE, and with its cube for a Gaussian process."""

FORGET_EVERY = 50  # trials are dropped before each trial whose number is a multiple of this


def learned_from(trials: Sequence[TrialRecord], metric: str, second: str | None = None) -> list[TrialRecord]:
    """The latest and the best of closed trials, in their order; with a second objective, also the Pareto front.

    Applied to its own result and the trials closed since, it returns the same as for all closed trials.
    """
    if len(trials) <= LATEST:
        return list(trials)
    kept = {trial.number for trial in [*trials[-LATEST:], *ranked(trials, metric)[:LEADING]]}
    if second is not None:
        kept |= pareto_front(trials, metric, second)
    return [trial for trial in trials if trial.number in kept]


def cut_before(number: int) -> int:
    """The number of the trial before which trials were last dropped, at the ask for trial `number`."""
    return number - number % FORGET_EVERY
