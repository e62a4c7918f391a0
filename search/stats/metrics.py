"""The metrics of a study, from class probabilities: each is one `Metric`, and adding one is adding it to `METRICS`.

Pure; used by workers and reports alike.
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
    """Mean recall over the classes that occur, from a confusion matrix; NaN where it is empty."""
    totals = counts.sum(axis=1)
    occurs = totals > 0
    return float(np.mean(counts.diagonal()[occurs] / totals[occurs])) if occurs.any() else float("nan")


def log_loss(labels: Labels, probabilities: Probabilities) -> float:
    """Mean cross-entropy in nats; probabilities are kept 1e-7 away from 0 as Keras does."""
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

    Mann-Whitney form of the area under the ROC curve, so that ties count half.
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
    """The standard error of a share of so many images, of which `level` are right."""
    return math.sqrt(max(level * (1 - level), 0.0) / max(images, 1))


def _error_of_difference(difference: float, images: int) -> float:
    """The standard error of a difference of two shares (McNemar's): d of n images are at least d n changed answers."""
    return math.sqrt(difference / max(images, 1))


@dataclass(frozen=True)
class Metric:
    """What the program must know of a metric. Its values are 0 or more.

    Labels are [images], probabilities [images, classes]. A metric that is a mean over images, or over the means of
    classes, has `each`; any other one has `share`. Raises ValueError unless it has one of the two.
    """

    name: str  # as in `study.toml` and the database
    words: str  # its name for people, as within a sentence
    direction: Literal["maximize", "minimize"]  # in Optuna's words
    bound: float  # its largest value; infinity where it has none
    of: Callable[[Labels, Probabilities], float]
    """The metric of these images; NaN where it has none."""
    guess: Callable[[NDArray[np.floating]], float]
    """What a guess reaches that knows only the shares [classes] of the classes, each above 0."""
    each: Callable[[Labels, Probabilities], Scores] | None = None
    """[..., images] whose mean the metric is, of probabilities [..., images, classes]."""
    share: Callable[[Labels, Probabilities], Contributions] | None = None
    """[images] what each image adds to the metric, larger being better; they add up to `counted` times the metric."""
    counted: int = 1  # how often an image is in the sum of shares
    weighted: bool = False  # whether all classes count alike, however many images each has
    sample_size: Callable[[NDArray[np.integer]], float] | None = None
    """Of a share of right answers: the images of which a plain accuracy varies as much, from the number of images of
    each class that occurs. None: the metric is no such share."""
    error: Callable[[float, int], float] = _error_of_share
    """(value, images): the smallest standard error of such a value of so many images."""
    floor: Callable[[float, int], float] = _error_of_difference
    """(difference, images): the smallest standard error of a difference above 0 between two values."""
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
        return value if self.maximized else 0.0 - value  # -0.0 would be printed as such

    def best(self, values: Iterable[float]) -> float:
        """The best of some values, at least one."""
        return max(values) if self.maximized else min(values)

    def worst(self, values: Iterable[float]) -> float:
        """The worst of some values, at least one."""
        return min(values) if self.maximized else max(values)

    def chance(self, counts: NDArray[np.integer]) -> float:
        """What a guess reaches that knows only how many images each class has, `counts` [classes]; NaN without any."""
        occurs = counts[counts > 0]
        return float(self.guess(occurs / occurs.sum())) if len(occurs) else float("nan")

    def contributions(self, labels: Labels, probabilities: Probabilities, weights: Scores) -> Contributions:
        """[images] what each image adds to the metric, larger being better: made to be compared image by image.

        `weights` [classes] are the `class_weights` of the study. For an accuracy correctness is the answer to compare
        (0 or 1; the class's weight where classes count alike), not for the others: a point can be right as often and
        surer, or rank better around a shifted threshold. For log loss it is the log of the true class's probability.
        """
        if self.share is not None:
            return self.share(labels, probabilities)
        assert self.each is not None  # noqa: S101 - see __post_init__
        gains = self.gain(self.each(labels, probabilities))
        return gains * weights[labels] if self.weighted else gains

    def step(self, weights: Scores) -> float:
        """Between two possible sums of contributions; 0 where they are not discrete."""
        if self.sample_size is None:
            return 0.0
        return float(weights.min()) if self.weighted else 1.0

    def resampled(self, labels: Labels, probabilities: Probabilities, times: NDArray[np.int64]) -> Scores:
        """[trials, rounds] the metric of every trial where image i counts times[round, i] times; NaN without images.

        Here probabilities are [trials, images, classes], `times` [rounds, images].
        """
        if self.each is None:
            return np.array([[self._repeated(labels, rows, row) for row in times] for rows in probabilities])
        values = self.each(labels, probabilities)
        if not self.weighted:
            return _means(values, times)
        in_class = [labels == label for label in np.unique(labels)]
        return np.asarray(np.mean([_means(values[:, rows], times[:, rows]) for rows in in_class], axis=0))

    def _repeated(self, labels: Labels, probabilities: Probabilities, times: NDArray[np.int64]) -> float:
        rows = np.repeat(np.arange(len(labels)), times)
        return self.of(labels[rows], probabilities[rows]) if len(rows) else float("nan")


def _means(values: Scores, times: NDArray[np.int64]) -> Scores:
    """[trials, rounds] means of `values` [trials, images], each counted `times` [rounds, images]."""
    totals = times.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(values @ times.T / np.where(totals, totals, np.nan))


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
        # A class of five images that are all right is no proof that its others would be.
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
        guess=lambda shares: 0.5,  # noqa: ARG005 - whatever the shares
        share=placements,
        counted=2,
        rounds=200,  # it is no mean over images, so each round ranks anew
    ),
    Metric(
        name="log_loss",
        words="log loss",
        direction="minimize",
        bound=math.inf,
        of=log_loss,
        guess=entropy,
        each=_cross_entropies,
        # No number of images gives it an error by itself: half a percent of the value, and
        error=lambda level, images: 0.005 * level,  # noqa: ARG005
        floor=lambda difference, images: 0.0035,  # noqa: ARG005 - of what guessing between two classes costs, in nats
    ),
)

METRICS: dict[str, Metric] = {metric.name: metric for metric in _ALL}
"""Every metric by its name. What is computed of each fold run, and what a study can be searched for."""


def better(metric: str, a: float, b: float) -> bool:
    """Whether `a` is strictly better than `b`; NaN is never better, anything finite is better than NaN."""
    if np.isnan(a) or np.isnan(b):
        return not np.isnan(a) and bool(np.isnan(b))
    return a > b if METRICS[metric].maximized else a < b


def scores(labels: Labels, probabilities: Probabilities, only: Sequence[str] | None = None) -> dict[str, float]:
    """Each metric, or those of `only`, for `probabilities` [images, classes] against `labels` [images]."""
    return {name: METRICS[name].of(labels, probabilities) for name in (METRICS if only is None else only)}
