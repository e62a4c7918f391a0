"""What the predictions of trials for images that they were not trained on say, also where folds are missing. Pure.

Trials are compared image by image, each on the folds that it has, with what the best trials say about the same images.
The differences are shrunk towards what trials of the family are worth (empirical Bayes; Efron and Morris, JASA 70,
1975), so a lucky trial, or one with few images, is not believed more than they support.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from search.stats.contributions import class_weights
from search.stats.metrics import METRICS
from storage.records import OUT_OF_TIME, Params, StudyRecord, TrialRecord, TrialState

MAX_TRIALS = 300  # with more of them, the best after the first fold are compared
ANCHORS = 5  # the best of the trials with the most folds: what others are compared with, image by image

WORTH = {"fine-tune": 0.03, "frozen": 0.0, "cnn": -0.1, "question": -0.15}
"""Family -> what its trials are usually worth, as a difference of accuracy to trials with frozen features.

Round numbers for what was measured: fine-tune 0.00 and +0.06, cnn -0.05 and -0.14, question -0.05 to -0.24 on two sets
of 28-pixel pictures (the default points in truth, in two studies of `python -m tests.bench.bank`); fine-tune +0.05 to
+0.09 on photographs.
"""
WORTH_ERROR = 0.04  # standard deviation of that difference over studies
USUAL_SPREAD = 0.03  # standard deviation of the accuracies of trials of one family: 0.02 and 0.035 there; as if from
USUAL_TRIALS = 4  # so many trials
IN_CONTENTION = 0.08  # a trial so far behind the best of its family says nothing about the good ones
LEAST_VARIANCE = 0.02  # of a difference on one image, as if one image of fifty differed

Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Evidence:
    """Predictions of trials for the images of a study's folds.

    The rows of arrays are trials in order of number. What is missing is NaN.
    """

    metric: str
    labels: Labels  # [images]
    folds: Labels  # [images]: the fold that validates the image
    numbers: tuple[int, ...]  # of the trials
    families: tuple[str, ...]  # of each trial
    costs: tuple[float, ...]  # of each trial: see `cost`
    milliseconds: tuple[float, ...]  # of each trial: measured time to predict an image; NaN if it was not
    passes: tuple[frozenset[Hashable], ...]  # of each trial: what of these milliseconds others may share, see `Timed`
    probabilities: NDArray[np.float32]  # [trials, images, classes], out of fold
    gains: NDArray[np.float64]  # [trials, images]: contributions whose mean is the metric, larger is better
    optimism: NDArray[np.float64]  # [trials]: see `early_stopping_optimism`; it is subtracted from the gains

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """[trials, folds]: whether a trial has the fold."""
        first = [int(np.argmax(self.folds == fold)) for fold in range(self.fold_count)]
        return np.asarray(~np.isnan(self.gains[:, first]))

    @property
    def fold_count(self) -> int:
        """The number of folds of the study."""
        return int(self.folds.max()) + 1

    def only(self, trials: NDArray[np.bool_] | Sequence[int]) -> Evidence:
        """Of some trials: a mask [trials], or their rows."""
        rows = np.flatnonzero(trials) if isinstance(trials, np.ndarray) else np.array(trials, int)
        return replace(
            self,
            numbers=tuple(self.numbers[row] for row in rows),
            families=tuple(self.families[row] for row in rows),
            costs=tuple(self.costs[row] for row in rows),
            milliseconds=tuple(self.milliseconds[row] for row in rows),
            passes=tuple(self.passes[row] for row in rows),
            probabilities=self.probabilities[rows],
            gains=self.gains[rows],
            optimism=self.optimism[rows],
        )

    def without(self, folds: NDArray[np.bool_]) -> Evidence:
        """As if no trial had the `folds` [folds]."""
        hidden = folds[self.folds]
        probabilities, gains = self.probabilities.copy(), self.gains.copy()
        probabilities[:, hidden], gains[:, hidden] = np.nan, np.nan
        return replace(self, probabilities=probabilities, gains=gains)

    def row(self, number: int) -> int:
        """The row of a trial."""
        return self.numbers.index(number)

    def mean(self, members: Sequence[tuple[int, float]]) -> NDArray[np.float64] | None:
        """[images, classes] out-of-fold probabilities of an ensemble of (trial, weight); NaN where a member lacks one.

        None if there are no members, or one is not among the trials.
        """
        if not members or not {number for number, _ in members} <= {*self.numbers}:
            return None
        places, weights = [self.row(number) for number, _ in members], np.array([weight for _, weight in members])
        return np.tensordot(weights / weights.sum(), self.probabilities[places].astype(np.float64), axes=1)


def may_be_chosen(trial: TrialRecord, metric: str) -> bool:
    """Whether a trial takes part in the choice: it is complete, or has finished folds and could go on.

    Trials that were pruned because they were behind or stuck, and failed ones, do not.
    """
    going = trial.state in (TrialState.COMPLETE, TrialState.RUNNING) or trial.cause == OUT_OF_TIME
    return going and any(np.isfinite(score) for score in trial.scores(metric))


def candidates_of(evidence: Evidence, trials: Sequence[TrialRecord]) -> NDArray[np.bool_]:
    """[trials of the evidence]: which of them take part in the choice."""
    by_number = {trial.number: trial for trial in trials}
    return np.array([may_be_chosen(by_number[number], evidence.metric) for number in evidence.numbers], bool)


def comparable(trials: Sequence[TrialRecord], metric: str) -> list[TrialRecord]:
    """The trials whose predictions are evidence: those that finished a fold, except failed and collapsed ones.

    At most MAX_TRIALS, the best of the first fold: selected by later folds, these would no longer be a test.
    """
    known = [
        trial
        for trial in trials
        if trial.state != TrialState.FAILED and not trial.collapsed and np.isfinite(_first_score(trial, metric))
    ]
    if len(known) > MAX_TRIALS:
        gain = METRICS[metric].gain
        best = sorted(known, key=lambda t: (-gain(_first_score(t, metric)), t.number))[:MAX_TRIALS]
        known = sorted(best, key=lambda t: t.number)
    return known


def _first_score(trial: TrialRecord, metric: str) -> float:
    scores = trial.scores(metric)
    return scores[0] if scores else float("nan")


def cost(trial: TrialRecord) -> float:
    """What a prediction of a trial's model costs: its multiplications for an image, of the mirror image too.

    Each weight of a convolution is used once at each place of its output. `trial` with layers. Unlike measured
    milliseconds this is the same in every repetition of a study, so a choice that depends on it is too.
    """
    macs = sum(layer.parameters * math.prod(side or 1 for side in layer.shape[:-1]) for layer in trial.layers)
    mirrored = any(name.endswith("flip_average") and value for name, value in trial.params.items())
    return float(macs) * (2 if mirrored else 1)


def early_stopping_optimism(trial: TrialRecord, metric: str) -> float:
    """By how much a trial's score is too good because each fold chose its epoch by the images that score it.

    Each fold's score at its best epoch, less that at the mean best epoch of the other folds, which these images did not
    choose, and for about which a model of all images is trained. Right on average; for one trial it may be below 0.
    `trial` with curves; 0 for a single fold, and where the last epoch counts.
    """
    folds = [fold for fold in trial.folds if fold.repeat == 0 and f"val_{metric}" in fold.curve]
    if len(folds) < 2 or all(fold.best_epoch == fold.epochs for fold in folds):
        return 0.0
    best = np.array([fold.best_epoch for fold in folds])
    others = np.rint((best.sum() - best) / (len(best) - 1)).astype(int)
    curves = [fold.curve[f"val_{metric}"] for fold in folds]
    there = [curve[min(epoch, len(curve)) - 1] for curve, epoch in zip(curves, others, strict=True)]
    here = [curve[min(epoch, len(curve)) - 1] for curve, epoch in zip(curves, best, strict=True)]
    gap = float(np.mean(METRICS[metric].gain(np.array(here) - np.array(there))))
    return gap if np.isfinite(gap) else 0.0


def evidence_of(
    trials: Sequence[TrialRecord],
    predictions: Sequence[Sequence[Mapping[int, NDArray[np.floating]]]],
    labels: Labels,
    assignments: Sequence[NDArray[np.int16]],
    study: StudyRecord,
    passes: Callable[[Params], frozenset[Hashable]] = lambda _params: frozenset(),
) -> Evidence:
    """The evidence of `trials`, given with their curves and layers.

    `predictions`: of each trial its repeats, the search itself first; of each repeat fold -> probabilities [images of
    the fold, classes], in the order of the images. `labels` [all images]; `assignments`: of each repeat [all images],
    the fold, -1 for none. Folds of further repeats count only if a repeat is whole: gains are their means.
    `passes`: of a point, see `Evidence`.
    """
    metric, classes = study.metric, len(study.classes)
    searched = assignments[0] >= 0
    weights = class_weights(labels[searched])
    whole = np.full((len(trials), len(labels), classes), np.nan, np.float32)
    gains = np.full((len(trials), len(labels)), np.nan)
    for row, repeats in enumerate(predictions):
        for fold, rows in repeats[0].items():
            whole[row, assignments[0] == fold] = rows
        of_repeats = [
            _gains(metric, by_fold, labels, assignment, weights)
            for by_fold, assignment in zip(repeats, assignments, strict=False)
        ]
        gains[row] = np.mean([g for n, g in enumerate(of_repeats) if n == 0 or not np.isnan(g[searched]).any()], axis=0)
    optimism = np.array([early_stopping_optimism(trial, metric) for trial in trials])
    return Evidence(
        metric=metric,
        labels=labels[searched],
        folds=assignments[0][searched],
        numbers=tuple(trial.number for trial in trials),
        families=tuple(str(trial.params.get("family", study.config.get("preset", ""))) for trial in trials),
        costs=tuple(map(cost, trials)),
        milliseconds=tuple(float("nan") if trial.latency is None else trial.latency for trial in trials),
        passes=tuple(passes(trial.params) for trial in trials),
        probabilities=whole[:, searched],
        gains=gains[:, searched] - optimism[:, None],
        optimism=optimism,
    )


def _gains(
    metric: str,
    by_fold: Mapping[int, NDArray[np.floating]],
    labels: Labels,
    assignment: NDArray[np.int16],
    weights: NDArray[np.float64],
) -> NDArray[np.float64]:
    """[images] contributions whose mean over images is the metric; NaN where there is no prediction."""
    measure, gains = METRICS[metric], np.full(len(labels), np.nan)
    for fold, rows in by_fold.items():
        inside = assignment == fold
        scale = 1.0 if measure.each else inside.sum() / measure.counted
        gains[inside] = measure.contributions(labels[inside], rows, weights) * scale
    return gains


@dataclass(frozen=True)
class Belief:
    """What each trial is worth, relative to the same level for all: [trials], larger is better, units of the metric."""

    mean: NDArray[np.float64]
    error: NDArray[np.float64]  # standard deviation

    def behind(self, row: int, leader: int) -> float:
        """The expected loss of taking trial `row` instead of `leader`."""
        return float(self.mean[leader] - self.mean[row])


def belief(evidence: Evidence) -> Belief:
    """The posterior of each trial's worth, given all trials. Without any fold it is what the families are worth."""
    scale = METRICS[evidence.metric].scale
    differences = (evidence.gains - _anchor(evidence)) / scale  # in units of accuracy, as the constants are
    images = (~np.isnan(differences)).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        sums = np.nansum(differences, axis=1)
        raw = np.where(images > 0, sums / images, 0.0)
        spread = np.nansum(np.square(differences - raw[:, None]), axis=1) / np.maximum(images - 1, 1)
        share = np.minimum(np.abs(raw), 0.5)  # that many images differ at least, see `Metric.floor`
        noise = np.where(
            images > 0, np.maximum(np.maximum(spread, share * (1 - share)), LEAST_VARIANCE) / images, np.inf
        )
    believed = _shrunk(raw, noise, evidence.families)
    return Belief(scale * believed.mean, scale * believed.error)


def _anchor(evidence: Evidence) -> NDArray[np.float64]:
    """[images]: the mean gain of the best of the trials with the most folds; NaN for images that they lack."""
    counts = evidence.known.sum(axis=1)
    most = np.flatnonzero(counts == counts.max(initial=0))
    with np.errstate(invalid="ignore"):
        level = np.nan_to_num([np.nanmean(evidence.gains[row]) if counts[row] else 0.0 for row in most], nan=-np.inf)
    best = most[np.argsort(-level, kind="stable")[:ANCHORS]]
    return np.asarray(evidence.gains[best].mean(axis=0))


def _shrunk(raw: NDArray[np.float64], noise: NDArray[np.float64], families: Sequence[str]) -> Belief:
    """Posterior of normal means, family by family; the families' own means have priors relative to one of them."""
    groups = {name: np.array([family == name for family in families]) for name in dict.fromkeys(families)}
    measured = {name: int(np.isfinite(noise[rows]).sum()) for name, rows in groups.items()}
    # The name is last: of two families with as many trials, the order of trials must not decide which one leads.
    leading = max(groups, key=lambda name: (name == "frozen", measured[name], name), default="")
    mean, error = np.zeros(len(raw)), np.zeros(len(raw))
    level = 0.0
    for name in sorted(groups, key=lambda name: name != leading):
        rows = groups[name]
        usual = level + WORTH.get(name, 0.0) - WORTH.get(leading, 0.0)
        certainty = 1e-6 if name == leading else WORTH_ERROR**-2
        center, center_variance, spread = _family(raw[rows], noise[rows], usual, certainty)
        if name == leading:
            level = center
        trust = spread / (spread + noise[rows])  # 0 where there is no fold
        mean[rows] = center + trust * np.where(np.isfinite(noise[rows]), raw[rows] - center, 0.0)
        error[rows] = np.sqrt((1 - trust) * (spread + (1 - trust) * center_variance))
    return Belief(mean, error)


def _family(
    raw: NDArray[np.float64], noise: NDArray[np.float64], usual: float, certainty: float
) -> tuple[float, float, float]:
    """(mean of the family, its variance, variance of the trials' worth), from those that are in contention."""
    measured = np.isfinite(noise)
    if not measured.any():
        return usual, 1 / certainty, USUAL_SPREAD**2
    raw, noise = raw[measured], noise[measured]
    best = (raw - 2 * np.sqrt(noise)).max()  # at least so good is one of them, most likely
    close = raw >= best - IN_CONTENTION
    raw, noise = raw[close], noise[close]
    spread = USUAL_SPREAD**2
    for _ in range(3):  # mean and spread depend on each other
        precision = 1 / (spread + noise)
        total = precision.sum() + certainty
        center = float((precision @ raw + certainty * usual) / total)
        excess = np.maximum(np.square(raw - center) - noise, 0.0)
        weights = USUAL_SPREAD**2 / (USUAL_SPREAD**2 + noise)  # few images say little about it
        spread = float(USUAL_TRIALS * USUAL_SPREAD**2 + weights @ excess) / (USUAL_TRIALS + float(weights.sum()))
    return center, float(1 / total), spread
