"""The race: whether a trial continues, decided from stored results alone. Pure.

Between folds a trial is compared with the incumbent, the best complete trial, on the same images. Within its first fold
it is compared with earlier trials at the same epoch (asynchronous successive halving). A stopped trial keeps its folds.
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
"""'paired': image by image against the incumbent; 'forgiving': the mean against the incumbent's worst fold."""

BEHIND = "behind"  # cause of a trial that was stopped between folds, and
BEHIND_EARLY = "behind early"  # of one that was stopped within its first fold

MANY_IMAGES = 500  # with at least so many images, a smaller share of them decides
Z_ONE_FOLD, Z_FEW_IMAGES, Z_MANY_IMAGES = 3.0, 1.64, 2.33

GRACE, FACTOR, ENOUGH = 0.1, 3, 8
"""Halving (Li et al. 2020, arXiv 1810.05934). GRACE: the first rung, as a share of all epochs. FACTOR: each next rung
has so many times the epochs, and the best 1 / FACTOR of the trials continue. ENOUGH: earlier trials that are needed."""


@dataclass(frozen=True)
class RaceEntry:
    """A trial in the race, with values by fold."""

    number: int
    contributions: Mapping[int, Contributions]  # of its out-of-fold predictions
    scores: Mapping[int, float]  # of the metric


@dataclass(frozen=True)
class Schedule:
    """The learning rate schedule of a fold run. Only fold runs with equal schedules can be compared epoch by epoch."""

    kind: str  # one of `spaces.recipe.SCHEDULES`
    epochs: int  # maximum


@dataclass(frozen=True)
class RaceSavings:
    """What the race saved in a study."""

    folds: int  # fold runs
    seconds: float  # estimated: each missing fold of a trial takes as long as the mean of its finished ones
    trials: int  # number of stopped trials


def behind(rule: str, metric: str, trial: RaceEntry, incumbent: RaceEntry, weights: NDArray[np.float64]) -> str | None:
    """Why `trial`, after the folds that it has, is stopped; None if it continues.

    Call it only before the last fold. `weights`: `class_weights` of all images in the folds.
    """
    if rule == "forgiving":
        return _worse_than_the_worst(metric, trial, incumbent)
    if rule == "paired":
        return _behind_on_images(metric, trial, incumbent, weights)
    return None


def _worse_than_the_worst(metric: str, trial: RaceEntry, incumbent: RaceEntry) -> str | None:
    """Bergman et al. (AutoML 2024): stop if the mean is no better than the incumbent's worst fold."""
    mean, worst = float(np.mean(list(trial.scores.values()))), METRICS[metric].worst(incumbent.scores.values())
    if better(metric, mean, worst):
        return None
    return (
        f"its mean of {mean:.3f} after {_folds(trial)} is no better than the worst fold of trial "
        f"{incumbent.number}, {worst:.3f}"
    )


def _behind_on_images(metric: str, trial: RaceEntry, incumbent: RaceEntry, weights: NDArray[np.float64]) -> str | None:
    """Stop if (wins - losses + .5) < -z sqrt(wins + losses).

    For gains other than 1, 0 and -1: if sum(gain) < -z sqrt(sum(gain^2)), a self-normalised sum, to which a single
    image contributes at most 1. z is larger after one fold, as its images share a model, and with many images.
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
    comparison = f"{measure.words} is {gap:.3f} {'lower' if measure.maximized else 'higher'}"
    return f"its {comparison} than that of trial {incumbent.number} on the same {len(gains)} images"


def _folds(trial: RaceEntry) -> str:
    return "1 fold" if len(trial.scores) == 1 else f"{len(trial.scores)} folds"


def rungs(epochs: int) -> tuple[int, ...]:
    """The epochs after which a first fold is compared, ascending, out of at most `epochs`; never the last."""
    epochs_of_rungs, rung = [], math.ceil(GRACE * epochs)
    while rung < epochs:
        epochs_of_rungs.append(rung)
        rung *= FACTOR
    return tuple(epochs_of_rungs)


def best_at_rungs(metric: str, values: Sequence[float], schedule: Schedule, *, cut: bool) -> dict[int, float]:
    """Rung -> the best value of the metric up to it, from the `values` by epoch of a first fold.

    A fold that stopped by itself keeps its best at later rungs; one that was `cut` short has no value there.
    """
    best: dict[int, float] = {}
    for rung in rungs(schedule.epochs):
        known = [value for value in values[:rung] if math.isfinite(value)]
        if known and (not cut or rung <= len(values)):
            best[rung] = METRICS[metric].best(known)
    return best


def thresholds(metric: str, reached: Mapping[int, Sequence[float]]) -> dict[int, float]:
    """Rung -> the value that a first fold must reach to continue: that of the best third of what others reached.

    `reached`: rung -> the values in `best_at_rungs` of earlier trials with the same schedule, ascending.
    """
    needed = {}
    for rung, values in sorted(reached.items()):
        if len(values) >= ENOUGH:
            third = len(values) // FACTOR
            needed[rung] = values[-third] if METRICS[metric].maximized else values[third - 1]
    return needed


def saved(trials: Iterable[TrialRecord], folds: int) -> RaceSavings:
    """What the race saved in a study with so many `folds` per trial."""
    stopped = [t for t in trials if t.state == TrialState.PRUNED and t.cause in (BEHIND, BEHIND_EARLY) and t.folds]
    missing = [folds - len(t.folds) for t in stopped]
    seconds = sum(n * t.seconds / len(t.folds) for n, t in zip(missing, stopped, strict=True))
    return RaceSavings(sum(missing), float(seconds), len(stopped))
