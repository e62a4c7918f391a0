"""Which trials a sampler learns from: the latest and the best."""

from __future__ import annotations

from collections.abc import Sequence

from search.stats.ranking import pareto_front, ranked
from storage.records import TrialRecord

LATEST, LEADING = 250, 25
"""Closed trials that a sampler without state in them learns from: the latest and, however old, the best.

TPE takes at most 25 as its good ones and weighs the others the less the older they are; what it asks for costs it time
in proportion to its trials, and a Gaussian process time in their cube."""

FORGET_EVERY = 50  # trials: what is no longer learned from is dropped before each that is a multiple


def learned_from(trials: Sequence[TrialRecord], metric: str, second: str | None = None) -> list[TrialRecord]:
    """The latest and the best of closed trials, in their order; with a second objective, the Pareto front too.

    Of what this keeps and what came after it keeps the same as of all.
    """
    if len(trials) <= LATEST:
        return list(trials)
    kept = {trial.number for trial in [*trials[-LATEST:], *ranked(trials, metric)[:LEADING]]}
    if second is not None:
        kept |= pareto_front(trials, metric, second)
    return [trial for trial in trials if trial.number in kept]


def cut_before(number: int) -> int:
    """The number of the trial before which trials were dropped last, when this one is asked for."""
    return number - number % FORGET_EVERY
