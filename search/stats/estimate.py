"""What the chosen trial will score on new images: less than it scored here, since choosing it chose luck as well.

BBC-CV (Tsamardinos, Greasidou and Borboudakis, Machine Learning 107, 2018; arXiv 1708.07180): the *choice* is
repeated on bootstrap samples of the out-of-fold predictions, and each winner is judged on the images that its sample
left out. Nothing is trained for it. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from search.stats.metrics import METRICS, better

MAX_TRIALS = 200  # to give to `estimate`, the best ones: the others hardly ever win a round
NARROWER = 0.8  # set by simulation, `python -m tests.bench.estimates`: 95 % or more of intervals hold the truth
OWN_SCORE = "out-of-fold score"  # method of an estimate, see `of_another`
_SEED = 20180710
_BLOCK = 200  # rounds at a time: memory is trials x _BLOCK numbers

Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Estimate:
    """An honest score of the choice, and the naive one beside it."""

    metric: str
    value: float
    low: float  # of a 95 % interval
    high: float
    naive: float  # the best pooled out-of-fold score, which was chosen for being the best
    trials: int  # chosen among
    images: int
    method: str = "BBC-CV"

    @property
    def optimism(self) -> float:
        """By how much the naive score is better than the estimate: hardly ever negative."""
        return METRICS[self.metric].gain(self.naive - self.value)


def estimate(probabilities: NDArray[np.floating], labels: Labels, metric: str) -> Estimate | None:
    """The estimate from out-of-fold `probabilities` [trials, images, classes] of complete trials.

    None where no round leaves out an image of each class. The interval is that of the winners' scores over the rounds,
    made narrower: a round judges on the 37 % of images that it leaves out, whose score varies more than that of all.
    But of an accuracy it is never narrower than Wilson's: 60 of 60 right is no proof of 100 %.
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


def trained_on_all(found: Estimate, folds: int, chance: float) -> Estimate:
    """The estimate for a model that learns from all images, where `found` judged models of K - 1 in K of them.

    More images make it better by an amount that nobody measured, so the value stays and only the better bound moves:
    as far as if the error fell like 1 / images, which is faster than most learning curves (Viering and Loog, IEEE TPAMI
    45, 2023), but no more than if what it has learned beyond `chance`, a guess's score, grew like the images. Without
    it too few intervals hold the truth, all for being too low (`python -m tests.bench.estimates`).
    """
    metric = METRICS[found.metric]
    best, end = (metric.bound, found.high) if metric.maximized else (0.0, found.low)
    gain = min(abs(best - end) / folds, abs(end - chance) / (folds - 1))
    if metric.maximized:
        return replace(found, high=end + gain) if end > chance else found
    return replace(found, low=end - gain) if end < chance else found


def no_better_than_its_own(found: Estimate) -> Estimate:
    """The estimate, of which no more is expected than what it is about has scored here: the rest is chance too."""
    if not better(found.metric, found.value, found.naive):
        return found
    return replace(found, value=found.naive, low=min(found.low, found.naive), high=max(found.high, found.naive))


def of_another(found: Estimate, value: float, low: float, high: float) -> Estimate:
    """The estimate where not the best trial is shipped, but one tied with it whose own out-of-fold score is `value`.

    That score picked nothing, or less than the best one's did. It takes the estimate's place where it is worse.
    """
    if not better(found.metric, found.value, value):
        return found
    return replace(found, value=value, low=low, high=high, method=OWN_SCORE)


def at_least_wilson(metric: str, value: float, low: float, high: float, labels: Labels) -> tuple[float, float]:
    """(low, high) of an interval around `value` for images of these labels; of a share no narrower than Wilson's."""
    sample_size = METRICS[metric].sample_size
    if sample_size is None:
        return low, high
    counts = np.bincount(labels)
    least = _wilson(value, sample_size(counts[counts > 0]))
    return min(low, least[0]), max(high, least[1])


def _wilson(share: float, images: float) -> tuple[float, float]:
    """95 % interval of a share that was measured on so many images (Wilson 1927)."""
    z2 = 1.96**2 / images
    middle, half = share + z2 / 2, 1.96 * np.sqrt(max(share * (1 - share), 0.0) / images + z2 / (4 * images))
    return float((middle - half) / (1 + z2)), float((middle + half) / (1 + z2))


def _as_gain(scores: NDArray[np.float64], metric: str) -> NDArray[np.float64]:
    """Larger is better, and what has no score is worst."""
    gain = METRICS[metric].gain(scores)
    return np.where(np.isfinite(gain), gain, -np.inf)


def _samples(rng: np.random.Generator, labels: Labels, rounds: int) -> NDArray[np.int64]:
    """[rounds, images] how often a bootstrap sample has each image; each class keeps its number of images."""
    times = np.zeros((rounds, len(labels)), np.int64)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        times[:, rows] = rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows)), size=rounds)
    return times


def beats(found: Estimate, level: float) -> bool:
    """Whether all of the interval is better than `level`, another score of the metric."""
    return level < found.low if METRICS[found.metric].maximized else level > found.high
