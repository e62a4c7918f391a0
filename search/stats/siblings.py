"""Whether pictures of one thing in training and in validation make a score too good. Pure.

Folds are drawn by chance. So they leave some things whole, all pictures in one fold, and split the others, and chance
alone decides which. If models recognise the pictures of split things more often, they know them from training.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MIN_WHOLE = 10  # things that are left whole, and as many that are split; fewer say little

Integers = NDArray[np.integer]


@dataclass(frozen=True)
class Part:
    """Predictions for images of things that are all split, or all whole."""

    predictions: int  # an image in several divisions into folds has one of each
    accuracy: float  # share of them that are right


@dataclass(frozen=True)
class Siblings:
    """Predictions for split and for whole things side by side, in classes and sizes of things that have both."""

    split: Part
    whole: Part
    difference: float  # of the accuracies, split minus whole, within classes and sizes
    low: float  # of a 95 % interval
    high: float

    @property
    def clear(self) -> bool:
        """Whether images of split things are recognized more often."""
        return self.low > 0


def compare_siblings(
    right: NDArray[np.float64], labels: Integers, folds: Integers, things: Integers, divisions: Integers
) -> Siblings | None:
    """Compare the images whose siblings were trained on with those whose siblings were not.

    The difference is that of a linear model with an effect of each class, size of things, and division. Its error is
    robust to predictions for one thing being alike (Liang and Zeger, Biometrika 73, 1986), with Student's t for the
    number of whole or of split things. None where too few are split or whole; or where more are whole than chance
    explains: those were kept together for another reason, such as being copies, and may be easier or harder.

    Args:
        right: [predictions], the share of the models that recognise the image out of fold, 0 to 1.
        labels: [predictions], class of the image.
        folds: [predictions], the fold that validates it.
        things: [predictions], equal for images of one thing, by their names.
        divisions: [predictions], which division into folds it is.
    """
    from scipy.stats import t  # keeps `search --help` light

    units = _ids(things, divisions)  # a thing as one division has it
    size = np.bincount(units)
    parts = np.unique(np.stack([units, _ids(folds)], 1), axis=0)[:, 0]
    in_folds = np.bincount(parts, minlength=len(size))
    if _too_many_whole(in_folds, size, len(np.unique(folds))):
        return None
    split, stratum = (in_folds > 1)[units].astype(float), _ids(labels, size[units], divisions)
    both = (_within(split, stratum) != 0) & (size[units] > 1)
    right, split, stratum, things = right[both], split[both], stratum[both], _ids(things[both])
    fewer = min(len(np.unique(things[split == side])) for side in (0, 1))
    if fewer < MIN_WHOLE:
        return None
    exposure = _within(split, stratum)
    weight = float(exposure @ exposure)
    difference = float(exposure @ right) / weight
    sums = np.bincount(things, weights=exposure * (_within(right, stratum) - difference * exposure))
    error = math.sqrt(float(sums @ sums) * len(sums) / (len(sums) - 1)) / weight
    half = float(t.ppf(0.975, fewer - 1)) * error
    known, new = (Part(int((split == side).sum()), float(right[split == side].mean())) for side in (1, 0))
    return Siblings(known, new, difference, difference - half, difference + half)


def _too_many_whole(in_folds: Integers, size: Integers, folds: int) -> bool:
    """Whether more things are in one fold than chance explains, by three standard deviations.

    `in_folds`, `size`: [things], how many folds and images they have; a thing of one image does not count.
    """
    chance = float(folds) ** -(size[size > 1] - 1.0)
    excess = np.count_nonzero(in_folds[size > 1] == 1) - chance.sum()
    return bool(excess > 3 * math.sqrt((chance * (1 - chance)).sum()) + 1)


def _ids(*columns: Integers) -> NDArray[np.intp]:
    """[rows] numbers from 0, equal for rows with equal values [rows] in each column."""
    ids = np.zeros(len(columns[0]), np.intp)
    for column in columns:
        values, places = np.unique(column, return_inverse=True)
        ids = np.unique(ids * max(len(values), 1) + places, return_inverse=True)[1]
    return ids


def _within(values: NDArray[np.float64], stratum: NDArray[np.intp]) -> NDArray[np.float64]:
    """Values less the mean of their stratum."""
    means = np.bincount(stratum, weights=values) / np.maximum(np.bincount(stratum), 1)
    return np.asarray(values - means[stratum])
