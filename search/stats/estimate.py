"""The expected score of the chosen trial on new images. It is below the score here, as the best of many is also lucky.

BBC-CV (Tsamardinos, Greasidou and Borboudakis, Machine Learning 107, 2018; arXiv 1708.07180): the *choice* is
repeated on bootstrap samples of the out-of-fold predictions, and each winner is tested on the images that its sample
does not contain. Nothing is trained for it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from search.stats.metrics import METRICS, better

MAX_TRIALS = 200  # the best trials, for `estimate`; others almost never win a round
NARROWER = 0.8  # set by simulation, `python -m tests.bench.estimates`: at least 95 % of intervals contain the truth
OWN_SCORE = "out-of-fold score"  # method of an estimate, see `of_another`
_SEED = 20180710
_BLOCK = 200  # rounds at a time: memory is trials x _BLOCK numbers

Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Estimate:
    """The unbiased score of the choice, and the naive one."""

    metric: str
    value: float
    low: float  # of a 95 % interval
    high: float
    naive: float  # the best pooled out-of-fold score, biased by the choice
    trials: int  # number of trials from which one was chosen
    images: int
    method: str = "BBC-CV"

    @property
    def optimism(self) -> float:
        """By how much the naive score is better than the estimate: hardly ever negative."""
        return METRICS[self.metric].gain(self.naive - self.value)


def estimate(probabilities: NDArray[np.floating], labels: Labels, metric: str) -> Estimate | None:
    """The estimate from out-of-fold `probabilities` [trials, images, classes] of complete trials.

    None if no round has a finite score. The interval is that of the winners' scores over the rounds, made narrower: a
    round tests on the 37 % of images that it leaves out, and their score varies more than that of all images. For
    accuracies it is never narrower than Wilson's interval: 60 of 60 right does not prove 100 %.
    """
    measure, rng = METRICS[metric], np.random.default_rng(_SEED)
    judged: list[NDArray[np.float64]] = []
    for start in range(0, measure.rounds, _BLOCK):
        times = _samples(rng, labels, min(_BLOCK, measure.rounds - start))
        inside = measure.resampled(labels, probabilities, times)
        outside = measure.resampled(labels, probabilities, (times == 0).astype(np.int64))
        winners = np.argmax(_as_gain(inside, metric), axis=0)
        judged.append(outside[winners, np.arange(len(winners))])
    of_winners = np.concatenate(judged)
    of_winners = of_winners[np.isfinite(of_winners)]
    if not len(of_winners):
        return None
    pooled = measure.resampled(labels, probabilities, np.ones((1, len(labels)), np.int64))[:, 0]
    value = float(of_winners.mean())
    spread = np.quantile(of_winners, [0.025, 0.975])
    low, high = value + (spread - value) * NARROWER
    low, high = at_least_wilson(metric, value, float(low), float(high), labels)
    naive = float(pooled[np.argmax(_as_gain(pooled, metric))])
    return Estimate(metric, value, low, high, naive, *probabilities.shape[:2])


def trained_on_all(of_folds: Estimate, folds: int, chance: float) -> Estimate:
    """The estimate for a model trained on all images, from the estimate for models trained on K - 1 of K folds.

    The model is better by an unknown amount, so the value stays and only the better bound moves. It moves as if the
    error fell like 1 / images, which is faster than most learning curves (Viering and Loog, IEEE TPAMI 45, 2023), but
    no further than if the gain over `chance`, a guess's score, grew in proportion to the images. Without this, too few
    intervals contain the truth, all because they are too low (`python -m tests.bench.estimates`).
    """
    metric = METRICS[of_folds.metric]
    best, end = (metric.bound, of_folds.high) if metric.maximized else (0.0, of_folds.low)
    gain = min(abs(best - end) / folds, abs(end - chance) / (folds - 1))
    if metric.maximized:
        return replace(of_folds, high=end + gain) if end > chance else of_folds
    return replace(of_folds, low=end - gain) if end < chance else of_folds


def no_better_than_its_own(best: Estimate) -> Estimate:
    """The estimate, limited to the naive score: to be better than that would be chance."""
    if not better(best.metric, best.value, best.naive):
        return best
    return replace(best, value=best.naive, low=min(best.low, best.naive), high=max(best.high, best.naive))


def of_another(best: Estimate, value: float, low: float, high: float) -> Estimate:
    """The estimate if the saved model is not the best trial, but one tied with it, whose out-of-fold score is `value`.

    That score has little or no selection bias. It replaces the estimate of the `best` trial if it is worse.
    """
    if not better(best.metric, best.value, value):
        return best
    return replace(best, value=value, low=low, high=high, method=OWN_SCORE)


def at_least_wilson(metric: str, value: float, low: float, high: float, labels: Labels) -> tuple[float, float]:
    """(low, high) of an interval around `value` for images of these labels; for accuracies at least Wilson's."""
    sample_size = METRICS[metric].sample_size
    if sample_size is None:
        return low, high
    counts = np.bincount(labels)
    wilson = _wilson(value, sample_size(counts[counts > 0]))
    return min(low, wilson[0]), max(high, wilson[1])


def _wilson(share: float, images: float) -> tuple[float, float]:
    """95 % interval of a share measured on so many images (Wilson 1927)."""
    z2 = 1.96**2 / images
    middle, half = share + z2 / 2, 1.96 * np.sqrt(max(share * (1 - share), 0.0) / images + z2 / (4 * images))
    return float((middle - half) / (1 + z2)), float((middle + half) / (1 + z2))


def _as_gain(scores: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """Scores with a sign so that larger is better; not finite ones are -infinity."""
    gain = METRICS[metric].gain(scores)
    return np.where(np.isfinite(gain), gain, -np.inf)


def _samples(rng: np.random.Generator, labels: Labels, rounds: int) -> NDArray[np.int64]:
    """[rounds, images] how often each image is in a bootstrap sample; each class keeps its number of images."""
    times = np.zeros((rounds, len(labels)), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        times[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=rounds)
    return times


def beats(estimated: Estimate, level: float) -> bool:
    """Whether the whole interval is better than `level`, another score of the metric."""
    return level < estimated.low if METRICS[estimated.metric].maximized else level > estimated.high
