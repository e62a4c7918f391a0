"""The race: whether a trial goes on, decided from stored results alone. Pure.

Between folds it is compared with the incumbent, the best complete trial, on the same images. Within its first fold it
is compared with earlier trials at the same epoch (asynchronous successive halving). What is stopped keeps its folds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.stats.contributions import Contributions
from search.stats.metrics import METRICS, better
from storage.records import TrialRecord, TrialState

RULES = ("paired", "forgiving", "none")
"""'paired': image by image against the incumbent; 'forgiving': its mean against the incumbent's worst fold."""

BEHIND = "behind"  # cause of a trial that was stopped between folds, and
BEHIND_EARLY = "behind early"  # of one that was stopped within its first fold

MANY_IMAGES = 500  # from which on a smaller share of images decides
Z_ONE_FOLD, Z_FEW_IMAGES, Z_MANY_IMAGES = 3.0, 1.64, 2.33

GRACE, FACTOR, ENOUGH = 0.1, 3, 8
"""Halving: the first look, as a share of all epochs; the next ones after so many times as many, each for one in so
many; from so many finished trials on (Li et al. 2020, arXiv 1810.05934)."""


@dataclass(frozen=True)
class RaceEntry:
    """A trial in the race, by fold."""

    number: int
    contributions: Mapping[int, Contributions]  # of its out-of-fold predictions
    scores: Mapping[int, float]  # of the metric


@dataclass(frozen=True)
class Schedule:
    """Fold runs with equal schedules can be compared epoch by epoch: a cosine of another length, or none, cannot."""

    kind: str  # of the learning rate, one of `spaces.recipe.SCHEDULES`
    epochs: int  # at most


@dataclass(frozen=True)
class RaceSavings:
    """What the race spared a study."""

    folds: int  # fold runs
    seconds: float  # estimate: a trial's missing folds took as long as its mean finished one
    trials: int  # stopped


def behind(rule: str, metric: str, trial: RaceEntry, incumbent: RaceEntry, weights: NDArray[np.float64]) -> str | None:
    """Why `trial`, with the folds that it has, is given up against `incumbent`; None where it goes on.

    To be asked before the last fold only. `weights`: `class_weights` of all images in the folds.
    """
    if rule == "forgiving":
        return _worse_than_the_worst(metric, trial, incumbent)
    if rule == "paired":
        return _behind_on_images(metric, trial, incumbent, weights)
    return None


def _worse_than_the_worst(metric: str, trial: RaceEntry, incumbent: RaceEntry) -> str | None:
    """Bergman et al. (AutoML 2024): its mean is no better than the incumbent's worst fold."""
    mean, worst = float(np.mean(list(trial.scores.values()))), METRICS[metric].worst(incumbent.scores.values())
    if better(metric, mean, worst):
        return None
    return (
        f"its mean of {mean:.3f} after {_folds(trial)} is no better than the worst fold of trial "
        f"{incumbent.number}, {worst:.3f}"
    )


def _behind_on_images(metric: str, trial: RaceEntry, incumbent: RaceEntry, weights: NDArray[np.float64]) -> str | None:
    """Stop where (wins - losses + .5) < -z sqrt(wins + losses), for gains other than 1, 0 and -1 the same as
    sum(gain) < -z sqrt(sum(gain^2)): a self-normalised sum, which no single image can carry beyond one.

    z is larger after one fold, whose images share a model, and where there are many images.
    """
    gains = np.concatenate(
        [trial.contributions[fold] - incumbent.contributions[fold] for fold in sorted(trial.contributions)]
    )
    images = sum(len(part) for part in incumbent.contributions.values())
    z = Z_ONE_FOLD if len(trial.contributions) == 1 else Z_MANY_IMAGES if images >= MANY_IMAGES else Z_FEW_IMAGES
    measure, total = METRICS[metric], float(gains.sum())
    if total + measure.step(weights) / 2 >= -z * measure.counted * math.sqrt(float(np.square(gains).sum())):
        return None
    if measure.sample_size is not None:
        worse, ahead = int((gains < 0).sum()), int((gains > 0).sum())
        return f"{worse} images worse, {ahead} better than trial {incumbent.number} on the same {len(gains)}"
    gap = -total / (len(gains) if measure.each is not None else measure.counted * len(trial.contributions))
    told = f"{measure.words} is {gap:.3f} {'lower' if measure.maximized else 'higher'}"
    return f"its {told} than that of trial {incumbent.number} on the same {len(gains)} images"


def _folds(trial: RaceEntry) -> str:
    return "1 fold" if len(trial.scores) == 1 else f"{len(trial.scores)} folds"


def rungs(epochs: int) -> tuple[int, ...]:
    """After which epochs of at most `epochs` a first fold is compared, ascending; never after the last."""
    epochs_of_rungs, rung = [], math.ceil(GRACE * epochs)
    while rung < epochs:
        epochs_of_rungs.append(rung)
        rung *= FACTOR
    return tuple(epochs_of_rungs)


def best_at_rungs(metric: str, values: Sequence[float], schedule: Schedule, *, cut: bool) -> dict[int, float]:
    """Rung -> the best of the metric up to there, of one first fold's `values` by epoch.

    One that stopped by itself has what it has at all later rungs too; one that was `cut` short is unknown there.
    """
    best: dict[int, float] = {}
    for rung in rungs(schedule.epochs):
        known = [value for value in values[:rung] if math.isfinite(value)]
        if known and (not cut or rung <= len(values)):
            best[rung] = METRICS[metric].best(known)
    return best


def thresholds(metric: str, schedule: Schedule, others: Sequence[Mapping[int, float]]) -> dict[int, float]:
    """Rung -> what a first fold must have reached there to go on: as much as the best third of `others`.

    `others`: what `best_at_rungs` says of earlier trials with the same schedule.
    """
    least = {}
    for rung in rungs(schedule.epochs):
        known = sorted((other[rung] for other in others if rung in other), reverse=METRICS[metric].maximized)
        if len(known) >= ENOUGH:
            least[rung] = known[len(known) // FACTOR - 1]
    return least


def saved(trials: Iterable[TrialRecord], folds: int) -> RaceSavings:
    """The fold runs that the race spared a study of so many folds a trial."""
    stopped = [t for t in trials if t.state == TrialState.PRUNED and t.cause in (BEHIND, BEHIND_EARLY) and t.folds]
    missing = [folds - len(t.folds) for t in stopped]
    seconds = sum(n * t.seconds / len(t.folds) for n, t in zip(missing, stopped, strict=True))
    return RaceSavings(sum(missing), float(seconds), len(stopped))
