"""The metrics of a study, computed from class probabilities. Each is one `Metric`; a new one is added to `METRICS`.

Pure; used by workers and by reports.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from search.stats.chance import entropy
from search.stats.contributions import Contributions, placements

Labels: TypeAlias = NDArray[np.integer]
Probabilities: TypeAlias = NDArray[np.floating]
Scores: TypeAlias = NDArray[np.float64]
FloatOrArray = TypeVar("FloatOrArray", float, Scores)


def confusion(labels: Labels, predicted: Labels, classes: int) -> NDArray[np.int64]:
    """[classes, classes] counts: true class in rows, predicted class in columns."""
    flat = labels.astype(np.int64) * classes + predicted
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def balanced_accuracy(counts: NDArray[np.integer] | NDArray[np.floating]) -> float:
    """Mean recall over the classes that occur, from a confusion matrix; NaN if that is empty."""
    totals = counts.sum(axis=1)
    occurs = totals > 0
    return float(np.mean(counts.diagonal()[occurs] / totals[occurs])) if occurs.any() else float("nan")


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Mean cross-entropy in nats; probabilities are at least 1e-7, as in Keras."""
    return float(-np.mean(_log_likelihoods(labels, probabilities)))


def _log_likelihoods(labels: Labels, probabilities: Probabilities) -> Scores:
    rows = probabilities.astype(np.float64)
    of_truth = rows[..., np.arange(len(labels)), labels] / rows.sum(axis=-1)
    return np.asarray(np.log(np.clip(of_truth, 1e-7, 1.0)))


def _cross_entropies(labels: Labels, probabilities: Probabilities) -> Scores:
    return -_log_likelihoods(labels, probabilities)


def _right(labels: Labels, probabilities: Probabilities) -> Scores:
    return np.asarray(probabilities.argmax(axis=-1) == labels, np.float64)


def _accuracy(labels: Labels, probabilities: Probabilities) -> float:
    return float(_right(labels, probabilities).sum() / max(len(labels), 1))


def _balanced_accuracy(labels: Labels, probabilities: Probabilities) -> float:
    return balanced_accuracy(confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1]))


def _auroc(labels: Labels, probabilities: Probabilities) -> float:
    """One class against the rest, averaged over the classes that occur (macro); NaN with one class.

    Computed as the Mann-Whitney statistic, so ties count half.
    """
    from scipy.stats import rankdata  # keeps `search --help` light

    if not np.isfinite(probabilities).all():
        return float("nan")
    areas = []
    for label in range(probabilities.shape[1]):
        positive = labels == label
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        if n_positive and n_negative:
            ranks = rankdata(probabilities[:, label])
            areas.append((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
    return float(np.mean(areas)) if areas else float("nan")


def _error_of_share(level: float, images: int) -> float:
    """The standard error of an accuracy of `level` on so many images."""
    return math.sqrt(max(level * (1 - level), 0.0) / max(images, 1))


def _error_of_difference(difference: float, images: int) -> float:
    """The smallest standard error of a difference d of two accuracies (McNemar): at least d n predictions differ."""
    return math.sqrt(difference / max(images, 1))


@dataclass(frozen=True)
class Metric:
    """All that the program knows about a metric. Its values are 0 or more.

    Labels are [images], probabilities [images, classes]. A mean over images, or over the means of classes, has `each`;
    any other metric has `share`. Raises ValueError unless exactly one of the two is given.
    """

    name: str  # as in `study.toml` and the database
    words: str  # its name within a sentence
    direction: Literal["maximize", "minimize"]  # as in Optuna
    bound: float  # its largest value, or infinity
    of: Callable[[Labels, Probabilities], float]
    """The value for these images; NaN if it is undefined."""
    guess: Callable[[NDArray[np.floating]], float]
    """The value of a guess that knows only the shares [classes] of the classes, each above 0."""
    each: Callable[[Labels, Probabilities], Scores] | None = None
    """[..., images] the values whose mean is the metric, for probabilities [..., images, classes]."""
    share: Callable[[Labels, Probabilities], Contributions] | None = None
    """[images] the contribution of each image, larger is better; their sum is `counted` times the metric."""
    counted: int = 1  # how often the sum of `share` counts each image
    weighted: bool = False  # whether all classes count alike, whatever their number of images
    sample_size: Callable[[NDArray[np.integer]], float] | None = None
    """For accuracies: the number of images with which a plain accuracy has the same variance, from the number of images
    of each class that occurs. None for other metrics."""
    error: Callable[[float, int], float] = _error_of_share
    """(value, images) -> the smallest standard error of the value."""
    floor: Callable[[float, int], float] = _error_of_difference
    """(difference, images) -> the smallest standard error of a difference above 0 between two values."""
    scale: float = 1.0
    """About the difference in this metric that goes with one of 1 in accuracy. What is known of the worth of trials is
    known in accuracy (`evidence.py`). Measured by `python -m tests.bench.choices`, over the trials of two studies of
    pictures of 28 pixels: log loss 3.2 and 1.3, AUROC 0.3 twice."""
    rounds: int = 1000  # of a bootstrap

    def __post_init__(self) -> None:
        if (self.each is None) == (self.share is None):
            raise ValueError(f"metric {self.name}: needs either each or share")

    @property
    def maximized(self) -> bool:
        """Whether larger is better."""
        return self.direction == "maximize"

    def gain(self, value: FloatOrArray) -> FloatOrArray:
        """The value, or values, with a sign so that larger is better."""
        return value if self.maximized else 0.0 - value  # avoids -0.0, which would be printed as that

    def best(self, values: Iterable[float]) -> float:
        """The best of at least one value."""
        return max(values) if self.maximized else min(values)

    def worst(self, values: Iterable[float]) -> float:
        """The worst of at least one value."""
        return min(values) if self.maximized else max(values)

    def chance(self, counts: NDArray[np.integer]) -> float:
        """The value of a guess that knows only `counts` [classes], the images of each class; NaN without images."""
        occurs = counts[counts > 0]
        return float(self.guess(occurs / occurs.sum())) if len(occurs) else float("nan")

    def contributions(self, labels: Labels, probabilities: Probabilities, weights: Scores) -> Contributions:
        """[images] the contribution of each image, larger is better, to compare two trials image by image.

        `weights` [classes] are the `class_weights` of the study. For accuracies it is correctness: 0 or 1, or the
        class's weight if classes count alike. For log loss it is the log of the true class's probability. Correctness
        would not do there: a trial can be right as often and more certain, or rank better with another threshold.
        """
        if self.share is not None:
            return self.share(labels, probabilities)
        assert self.each is not None  # noqa: S101 - see __post_init__
        gains = self.gain(self.each(labels, probabilities))
        return gains * weights[labels] if self.weighted else gains

    def step(self, weights: Scores) -> float:
        """The smallest step between two possible sums of contributions; 0 if they are not discrete."""
        if self.sample_size is None:
            return 0.0
        return float(weights.min()) if self.weighted else 1.0


_ALL = (
    Metric(
        name="balanced_accuracy",
        words="balanced accuracy",
        direction="maximize",
        bound=1.0,
        of=_balanced_accuracy,
        guess=lambda shares: 1 / len(shares),
        each=_right,
        weighted=True,
        # Small classes count: five of five right do not prove that others of the class would be right.
        sample_size=lambda counts: len(counts) ** 2 / float((1 / counts).sum()),
    ),
    Metric(
        name="accuracy",
        words="accuracy",
        direction="maximize",
        bound=1.0,
        of=_accuracy,
        guess=lambda shares: shares.max(),
        each=_right,
        sample_size=lambda counts: int(counts.sum()),
    ),
    Metric(
        name="auroc",
        words="AUROC",
        direction="maximize",
        bound=1.0,
        of=_auroc,
        guess=lambda shares: 0.5,  # noqa: ARG005 - for any shares
        share=placements,
        counted=2,
        scale=0.3,
        rounds=200,  # not a mean over images, so each round has to rank again
    ),
    Metric(
        name="log_loss",
        words="log loss",
        direction="minimize",
        bound=math.inf,
        of=log_loss,
        guess=entropy,
        each=_cross_entropies,
        # Its error does not follow from the number of images: half a percent of the value, and
        error=lambda level, images: 0.005 * level,  # noqa: ARG005
        scale=2.5,
        floor=lambda difference, images: 0.0035,  # noqa: ARG005 - half a percent of the loss of guessing, ln 2
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""Every metric by its name. All are computed for each fold run, and a study can optimise any of them."""


def max_scores() -> dict[str, float]:
    """Metric -> its largest value. No score is below 0."""
    return {name: metric.bound for name, metric in METRICS.items()}


def better(metric: str, a: float, b: float) -> bool:
    """Whether `a` is strictly better than `b`. NaN is worse than any number."""
    if np.isnan(a) or np.isnan(b):
        return not np.isnan(a) and bool(np.isnan(b))
    return a > b if METRICS[metric].maximized else a < b


def scores(labels: Labels, probabilities: Probabilities, only: Sequence[str] | None = None) -> dict[str, float]:
    """Every metric, or those of `only`, of `probabilities` [images, classes] and `labels` [images]."""
    return {name: METRICS[name].of(labels, probabilities) for name in (METRICS if only is None else only)}
