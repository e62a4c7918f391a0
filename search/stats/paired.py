"""Whether one of two models is better on the same images, with an interval. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.stats.contributions import class_weights
from search.stats.metrics import METRICS

Labels = NDArray[np.integer]
Probabilities = NDArray[np.floating]


@dataclass(frozen=True)
class Difference:
    """A score less another on the same images, with a 95 % interval, in units of the metric."""

    metric: str
    value: float
    low: float
    high: float
    images: int
    folds: int  # that these images are from; 0: of no fold

    @property
    def clear(self) -> bool:
        """Whether the whole interval is on one side of 0."""
        return self.low > 0 or self.high < 0

    @property
    def gain(self) -> float:
        """The value with a sign so that above 0 is better."""
        return METRICS[self.metric].gain(self.value)


def corrected_error(gaps: NDArray[np.float64], folds: int) -> float:
    """The standard error of the mean of paired differences [runs], two or more, of folds that share training images.

    Nadeau and Bengio (Machine Learning 52, 2003): the variance of the mean of J differences of runs on K `folds` is
    var (1 / J + 1 / (K - 1)).
    """
    return math.sqrt(float(gaps.var(ddof=1)) * (1 / len(gaps) + 1 / (max(folds, 2) - 1)))


def difference(
    metric: str,
    labels: Labels,
    first: Probabilities,
    second: Probabilities,
    folds: Labels | None = None,
    too_good: tuple[float, float] = (0.0, 0.0),
) -> Difference | None:
    """The score of the predictions `second` less that of `first`, image by image; None where fewer than two have both.

    Predictions are [images, classes] with NaN where there is none, `labels` [images]. `folds` [images]: of each image
    the fold whose models predict it; None: all images are predicted by one model each. `too_good`: by how much each
    score is too good, larger being better; it is subtracted.

    The error is the largest of three: that over images (for accuracies McNemar's), `Metric.floor`, and that over folds
    by `corrected_error`, which counts with the quantile of Student's t for as many folds.
    """
    from scipy.stats import t as student  # takes half a second to import; most commands do not need it

    both = ~(np.isnan(first).any(axis=1) | np.isnan(second).any(axis=1))
    if both.sum() < 2:  # of one image there is no interval
        return None
    measure, labels, images = METRICS[metric], labels[both], int(both.sum())
    weights, scale = class_weights(labels), 1.0 if measure.each else images / measure.counted
    ours, theirs = (measure.contributions(labels, rows[both], weights) for rows in (second, first))
    gains = scale * (ours - theirs)
    mean = float(gains.mean()) - (too_good[1] - too_good[0])
    by_image = float(gains.std(ddof=1)) / math.sqrt(images)
    half = 1.96 * max(by_image, measure.floor(abs(mean), images))
    numbers = np.unique(folds[both]) if folds is not None else np.empty(0)
    if folds is not None and len(numbers) > 1:
        gaps = np.array([gains[folds[both] == fold].mean() for fold in numbers])
        half = max(half, float(student.ppf(0.975, len(gaps) - 1)) * corrected_error(gaps, len(gaps)))
    low, high = sorted((measure.gain(mean - half), measure.gain(mean + half)))
    most = measure.bound
    return Difference(metric, measure.gain(mean), max(low, -most), min(high, most), images, len(numbers))
