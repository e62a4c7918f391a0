"""The expected score of the choice on new images: below its score here, as the best of many is also lucky. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from search.stats.metrics import METRICS, better

Labels = NDArray[np.integer]


@dataclass(frozen=True)
class Estimate:
    """The unbiased score of the choice, and the naive one."""

    metric: str
    value: float
    low: float  # of a 95 % interval
    high: float
    naive: float  # the out-of-fold score of what was chosen, biased by the choice
    trials: int  # number of trials that were compared
    images: int  # on which the choice was judged
    method: str

    @property
    def optimism(self) -> float:
        """By how much the naive score is better than the estimate: hardly ever negative."""
        return METRICS[self.metric].gain(self.naive - self.value)


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


def at_least_wilson(metric: str, value: float, low: float, high: float, labels: Labels) -> tuple[float, float]:
    """(low, high) of an interval around `value` for images of these labels; for accuracies at least Wilson's."""
    sample_size = METRICS[metric].sample_size
    if sample_size is None:
        return low, high
    counts = np.bincount(labels)
    least, most = wilson(value, sample_size(counts[counts > 0]))
    return min(low, least), max(high, most)


def wilson(share: float, images: float, alpha: float = 0.05) -> tuple[float, float]:
    """The interval of a share measured on so many images that misses with probability `alpha` (Wilson 1927)."""
    from scipy.special import ndtri  # keeps `search --help` light

    z2 = float(ndtri(1 - alpha / 2)) ** 2 / images
    middle, half = share + z2 / 2, np.sqrt(z2 * (max(share * (1 - share), 0.0) + z2 / 4))
    low, high = (middle - half) / (1 + z2), (middle + half) / (1 + z2)
    return min(float(low), share), max(float(high), share)


def beats(estimated: Estimate, level: float) -> bool:
    """Whether the whole interval is better than `level`, another score of the metric."""
    return level < estimated.low if METRICS[estimated.metric].maximized else level > estimated.high
