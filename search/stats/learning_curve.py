"""Would more pictures help: how the error of a plain method falls with their number, and what more would bring. Pure.

The error for n pictures is taken to be a + b n^-c with a, b >= 0 and c in (0, 1], an inverse power law, as in Hestness
et al. (2017, arXiv 1712.00409); Viering and Loog (IEEE TPAMI 45, 2023, arXiv 2103.10948) review how well it fits.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from search.stats.metrics import Metric

PERCENTS = (25, 50, 75)  # of a fold's training images; all of them are the reference itself
DRAWS = 3  # of each percentage
LONGEST = 1.0  # seconds that a fit may be expected to take; longer ones are not begun
TIMES = (2, 4)  # as many pictures, that are asked about
LIKELY = 0.95  # probability of an interval
LITTLE = 0.01  # a gain below this share of the scale of a score is not much
_CLEAR = 1.25  # half an interval over its gain, or over LITTLE, above which nothing is said

_RATES = np.linspace(0.05, 1.0, 20)  # c
_SHARES = np.linspace(0.0, 1.0, 101)  # of the error of all pictures, that more can take away: b n^-c over the error
_SIZES = 21  # quantiles of how large the error is
_NAME = re.compile(r"(\w+)@([1-9][0-9]?)/([0-9]{1,2})")

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """A reference that is fitted on a part of each fold's training images."""

    method: str  # name of the reference
    percent: int
    draw: int

    @property
    def name(self) -> str:
        """Under which it is stored, among the references."""
        return f"{self.method}@{self.percent}/{self.draw}"

    @classmethod
    def of(cls, name: str) -> Part | None:
        """The part that is stored under a name; None for a whole reference."""
        found = _NAME.fullmatch(name)
        return cls(found[1], int(found[2]), int(found[3])) if found else None


@dataclass(frozen=True)
class Gain:
    """By how much the score is expected to be better with so many times the pictures, 0 or more."""

    times: int
    value: float
    low: float  # of an interval of LIKELY
    high: float

    def is_little(self, scale: float) -> bool:
        """Whether it is not much at best; `scale` of the score, see `Metric.scale`."""
        return self.high < LITTLE * scale

    def is_clear(self, scale: float) -> bool:
        """Whether the interval is narrow enough to say something."""
        return self.is_little(scale) or (self.high - self.low) / 2 <= _CLEAR * max(self.value, LITTLE * scale)


def expected_gains(metric: Metric, shares: Sequence[float], scores: Numbers, images: int) -> tuple[Gain, ...]:
    """As `gains`, from `scores` [folds, parts + 1] on validation images that are so many in all folds together."""
    errors = metric.bound - scores if metric.maximized else scores
    losses = (errors[:, :-1] - errors[:, -1:]).mean(axis=0)
    floors = [metric.floor(max(abs(float(loss)), 1 / images), images) for loss in losses]
    return gains(shares, errors, [*floors, metric.error(float(scores[:, -1].mean()), images)])


def gains(shares: Sequence[float], errors: Numbers, floors: Sequence[float]) -> tuple[Gain, ...]:
    """What TIMES as many pictures bring, from the errors of parts of them.

    Args:
        shares: [parts] of all pictures, each below 1.
        errors: [folds, parts + 1], 0 or more; the last column is that of all pictures. Two folds or more.
        floors: [parts + 1] smallest standard errors of the differences to the last column, and of that column.

    What parts lose against all pictures, b (s^-c - 1) for a share s, does not depend on a. It is measured fold by fold;
    its error is that of folds whose training images overlap (Nadeau and Bengio, Machine Learning 52, 2003), and so is
    its distribution, Student's. All c are as probable beforehand, and so are all shares of the error that more pictures
    can take away. Of how large that error is, the log is taken to be normal. The interval is that of the posterior:
    where the differences say little, it is wide.
    """
    folds, whole = len(errors), float(errors[:, -1].mean())
    if whole <= 0:
        return tuple(Gain(times, 0.0, 0.0, 0.0) for times in TIMES)
    lost = errors[:, :-1] - errors[:, -1:]
    overlap = 1 / folds + 1 / (folds - 1)
    covariance = np.atleast_2d(np.cov(lost, rowvar=False)) * overlap
    variances = np.maximum(covariance.diagonal(), np.square(floors[:-1]))
    # With so few folds the correlations are hardly known: half of them is believed.
    covariance = covariance / 2
    np.fill_diagonal(covariance, variances)
    taken, rate = (grid.ravel() for grid in np.meshgrid(_SHARES * whole, _RATES, indexing="ij"))
    expected = taken[:, None] * (np.array(shares) ** -rate[:, None] - 1)
    misfit = lost.mean(axis=0) - expected
    distance = np.einsum("ij,ij->i", misfit, np.linalg.solve(covariance, misfit.T).T)
    freedom = folds - 1
    density = (1 + distance / freedom) ** (-(freedom + len(shares)) / 2)
    error = max(float(errors[:, -1].std(ddof=1)) * math.sqrt(overlap), floors[-1])
    sizes = np.exp(error / whole * np.array([NormalDist().inv_cdf((n + 0.5) / _SIZES) for n in range(_SIZES)]))
    density = np.repeat(density, _SIZES)
    return tuple(_gain(times, np.outer(taken * (1 - times**-rate), sizes).ravel(), density) for times in TIMES)


def _gain(times: int, values: Numbers, density: Numbers) -> Gain:
    order = np.argsort(values, kind="stable")
    below = np.cumsum(density[order]) / density.sum()
    tail = (1 - LIKELY) / 2
    low, middle, high = (float(values[order][np.searchsorted(below, at)]) for at in (tail, 0.5, 1 - tail))
    return Gain(times, middle, low, high)
