"""Which changes lead from one point to another, by what is known of the points between them. Pure.

The path is that of Fawcett and Hoos (Analysing differences between algorithm configurations through ablation, Journal
of Heuristics 22, 2016): at each step the change that helps most is made, until the goal is reached. As in their racing
variant, changes that are clearly behind after some folds are not trained further. From the second step on, the better
half goes on after each fold (Karnin, Koren and Somekh, ICML 2013: sequential halving): what a step leaves out is tried
again in the next, and most steps of a path are between changes that are about equal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from search.stats.contributions import Contributions
from search.stats.metrics import METRICS
from search.stats.paired import corrected_error

Made: TypeAlias = frozenset[str]
"""The changes that are made in a point; none: the start."""

CONFIDENCE, NORMAL = 0.95, 1.96
ROUNDED = 9  # digits of a score, which is a mean of sums
FEWEST = 3  # folds from which an interval is computed, where there are more: of two it is as wide as all scores


@dataclass(frozen=True)
class Known:
    """What is known of a point, by fold."""

    scores: Mapping[int, float] = field(default_factory=dict)  # of the metric
    contributions: Mapping[int, Contributions] = field(default_factory=dict)  # of its out-of-fold predictions
    failed: bool = False  # it cannot be trained

    def mean(self, folds: int) -> float:
        """The mean score of the first so many folds."""
        return float(np.mean([self.scores[fold] for fold in range(folds)]))

    def spread(self, folds: int) -> float:
        """The standard deviation of the scores of the first so many folds."""
        return float(np.std([self.scores[fold] for fold in range(folds)]))


@dataclass(frozen=True)
class Step:
    """A step of the path: from the point `before` to the point `after`."""

    before: Made
    after: Made


@dataclass(frozen=True)
class Walk:
    """The path as far as it is known."""

    steps: tuple[Step, ...]
    needed: tuple[tuple[Made, int], ...] = ()  # (point, fold) to train next, in this order; empty: the goal is reached
    left: int = 0  # fold runs until the goal is reached, at most; those that are `needed` among them

    @property
    def end(self) -> Made:
        """The changes that are made at its end."""
        return self.steps[-1].after if self.steps else frozenset()


def walk(
    changes: Sequence[str],
    possible: Callable[[Made], Sequence[str]],
    known: Callable[[Made], Known],
    behind: Callable[[Known, Known], bool] | None,
    metric: str,
    folds: int,
) -> Walk:
    """The path from the start, no change made, to the goal, all `changes` made; and what must be trained to go on.

    It follows from its arguments alone, so a path that was interrupted goes on as if it had not been.

    Args:
        changes: all of them.
        possible: of a point, the changes that are left and change it; none: the goal.
        known: what is known of a point.
        behind: whether the first of two points, which have the same folds, is clearly worse than the second; None:
            there is no race, every change is trained on all folds.
        metric: name of the metric of the scores.
        folds: number of folds.
    """
    start, goal = frozenset[str](), frozenset(changes)
    steps: list[Step] = []
    raced = behind is not None

    def later(first: int) -> int:
        """Fold runs of the steps from the number `first` on, at most. That of the last change leads to the goal."""
        return sum(
            _most_runs(len(changes) - step, folds, halving=raced and step > 0)
            for step in range(first, len(changes) - 1)
        )

    if lacking := [*_lacking(start, known, folds), *_lacking(goal, known, folds)]:
        return Walk((), tuple(lacking), len(lacking) + later(0))
    here = start
    while names := possible(here):
        points = [here | {name} for name in names]
        chosen, lacking, more = _best(points, known, behind, metric, folds, halving=raced and bool(steps))
        if lacking:
            return Walk(tuple(steps), tuple(lacking), len(lacking) + more + later(len(steps) + 1))
        after = goal if chosen is None else chosen  # where no single change can be trained, all are made at once
        steps.append(Step(here, after))
        here = after
    return Walk(tuple(steps))


def _best(
    points: Sequence[Made],
    known: Callable[[Made], Known],
    behind: Callable[[Known, Known], bool] | None,
    metric: str,
    folds: int,
    *,
    halving: bool,
) -> tuple[Made | None, list[tuple[Made, int]], int]:
    """(the best of these points, what must be trained to know it, how many more fold runs that can take after it).

    There is no best one if something must be trained, or if none of them can be.

    All points get a fold before one of them gets the next, and after each fold those that are clearly behind the best
    are left out, with `halving` the worse half too. So it does not depend on the order in which workers end.
    """
    running = [point for point in points if not known(point).failed]
    for count in range(1, folds + 1):
        wanted = folds if len(running) == 1 else count
        if lacking := [pair for point in running for pair in _lacking(point, known, wanted)]:
            more = 0 if wanted == folds else _most_runs(len(running), folds - count, halving=halving, first=1)
            return None, lacking, more
        by_gain = sorted(
            running, key=lambda point: _rank(metric, known(point), count)
        )  # the first in order of equal ones
        if len(running) < 2 or count == folds:
            return (by_gain[0] if running else None), [], 0
        if behind is None:
            continue
        leader = _first(known(by_gain[0]), count)
        left = by_gain[: math.ceil(len(by_gain) / 2)] if halving else by_gain
        left = [left[0], *(point for point in left[1:] if not behind(_first(known(point), count), leader))]
        running = [point for point in running if point in left]
    return None, [], 0


def _most_runs(points: int, folds: int, *, halving: bool, first: int = 0) -> int:
    """How many fold runs a step between `points` takes at most, where no point is clearly behind.

    `first`: how often they were halved before.
    """
    return sum(math.ceil(points / 2**fold) if halving else points for fold in range(first, first + folds))


def _lacking(point: Made, known: Callable[[Made], Known], folds: int) -> list[tuple[Made, int]]:
    scores = known(point).scores
    return [(point, fold) for fold in range(folds) if fold not in scores]


def _first(point: Known, folds: int) -> Known:
    """What is known by the first folds alone."""
    inside = range(folds)
    return Known({f: point.scores[f] for f in inside}, {f: point.contributions[f] for f in inside})


def _rank(metric: str, point: Known, folds: int) -> tuple[float, float]:
    """Smaller for a better point; of two that differ by rounding alone, for that whose folds agree more."""
    return -round(_gain(metric, point.mean(folds)), ROUNDED), point.spread(folds)


def _gain(metric: str, score: float) -> float:
    return float(METRICS[metric].gain(score)) if math.isfinite(score) else -math.inf


@dataclass(frozen=True)
class Gain:
    """By how much one point is better than another, in units of the metric; below 0: worse."""

    mean: float  # NaN if they have no fold in common
    half: float | None  # of a 95 % interval, which is mean ± half; None with too few folds

    @property
    def clear(self) -> bool:
        """Whether the interval does not contain 0."""
        return self.half is not None and abs(self.mean) > self.half


def gain_of(before: Known, after: Known, metric: str, folds: int, images: int) -> Gain:
    """By how much `after` is better than `before`, on the folds that both have.

    The error is the largest of three, as in `stats.paired`: that over folds (`corrected_error`; it counts with the
    quantile of Student's t), that over their images, and `Metric.floor`, for folds that are alike by chance.
    `folds`, `images`: the numbers of all of them.
    """
    from scipy.stats import t as student  # takes half a second to import; most commands do not need it

    measure = METRICS[metric]
    shared = sorted(before.scores.keys() & after.scores.keys())
    gaps = np.array([after.scores[fold] - before.scores[fold] for fold in shared])
    if not len(gaps):
        return Gain(math.nan, None)
    mean = float(measure.gain(float(gaps.mean())))
    if not math.isfinite(mean) or len(gaps) < min(FEWEST, max(folds, 2)):
        return Gain(mean, None)
    over_folds = float(student.ppf((1 + CONFIDENCE) / 2, len(gaps) - 1)) * corrected_error(gaps, folds)
    floor = measure.floor(abs(mean), images * len(gaps) // folds)
    return Gain(mean, max(over_folds, NORMAL * max(_error_over_images(before, after, metric, shared), floor)))


def _error_over_images(before: Known, after: Known, metric: str, folds: Sequence[int]) -> float:
    """The standard error of the mean of paired differences of images; 0 where these are not known."""
    measure, gains = METRICS[metric], []
    for fold in folds:
        if fold in before.contributions and fold in after.contributions:
            each = after.contributions[fold] - before.contributions[fold]
            gains.append(each if measure.each else each * (len(each) / measure.counted))
    values = np.concatenate(gains) if gains else np.empty(0)
    return float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else 0.0
