"""Probabilities that mean what they say: how they are corrected, and how far they and the truth are apart. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.stats.estimate import wilson

LEAST = 1e-9  # probability: what rounds to 0 is not impossible
TEMPERATURES = np.geomspace(0.25, 8.0, 61)
DOUBTS = np.array([0.0, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.07, 0.1, 0.15, 0.2])
_USUAL_DOUBT = 0.05  # mean of the doubt beforehand, which is exponential
_USUAL = 0.5  # standard deviation of the log of temperatures beforehand: few images do not make it extreme
BINS = 10  # at most
IN_A_BIN = 15  # images, at least

Labels = NDArray[np.integer]
Probabilities = NDArray[np.floating]


def softened(probabilities: Probabilities, temperature: float) -> NDArray[np.float64]:
    """[images, classes] p^(1 / temperature), normalised (Guo et al., ICML 2017). The order of classes stays."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), LEAST)) / temperature
    powers = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


@dataclass(frozen=True)
class Correction:
    """What makes of a network's probabilities what they should say. The class with the highest one stays.

    A temperature, and a share of doubt that is divided equally among the classes: two of the three parts of ensemble
    temperature scaling (Zhang, Kailkhura and Han, ICML 2020, arXiv 2003.07329). One temperature cannot make a network
    surer of most images that is rightly never certain, as some images can be taken for anything.
    """

    temperature: float = 1.0
    doubt: float = 0.0  # 0 to 1

    def of(self, probabilities: Probabilities) -> NDArray[np.float64]:
        """[images, classes] of probabilities [images, classes]."""
        equally = self.doubt / probabilities.shape[1]
        return np.asarray((1 - self.doubt) * softened(probabilities, self.temperature) + equally)

    @property
    def is_none(self) -> bool:
        """Whether it changes nothing."""
        return self.temperature == 1 and self.doubt == 0


def fitted(labels: Labels, probabilities: Probabilities) -> Correction:
    """The one of TEMPERATURES and DOUBTS under which labels [images] are the most probable, and that is not unusual.

    `probabilities` [images, classes] must be of models that were not trained on the image. None without images.
    """
    if not len(labels):
        return Correction()
    classes, doubts = probabilities.shape[1], DOUBTS[:, None]
    of_labels = [softened(probabilities, float(t))[np.arange(len(labels)), labels] for t in TEMPERATURES]
    likelihoods = np.array(
        [np.log((1 - doubts) * right + doubts / classes).sum(axis=1) - DOUBTS / _USUAL_DOUBT for right in of_labels]
    )
    likelihoods -= ((np.log(TEMPERATURES) / _USUAL) ** 2 / 2)[:, None]
    row, column = np.unravel_index(int(np.argmax(likelihoods)), likelihoods.shape)
    return Correction(float(TEMPERATURES[row]), float(DOUBTS[column]))


def cross_fitted(labels: Labels, probabilities: Probabilities, folds: Labels) -> NDArray[np.float64]:
    """[images, classes] corrected as the other `folds` [images] say, so that it can be judged.

    Those of a single fold stay as they are.
    """
    result = softened(probabilities, 1.0)
    for fold in np.unique(folds):
        here = folds == fold
        result[here] = fitted(labels[~here], probabilities[~here]).of(probabilities[here])
    return result


@dataclass(frozen=True)
class Bin:
    """Images of which the model is about as sure."""

    images: int
    said: float  # mean probability of the class that it says
    right: float  # share of these that are right
    low: float  # 95 % interval of it (Wilson)
    high: float


@dataclass(frozen=True)
class Reliability:
    """How far what a model says, and how often it is right, are apart."""

    bins: tuple[Bin, ...]  # least sure first, with as many images each
    error: float  # expected calibration error (Naeini, Cooper and Hauskrecht, AAAI 2015): 0 to 1
    by_luck: float  # what it would be on average if the probabilities were exact, with so few images


def reliability(labels: Labels, probabilities: Probabilities) -> Reliability | None:
    """Of the most probable class; None with fewer than IN_A_BIN images."""
    count = min(BINS, len(labels) // IN_A_BIN)
    if not count:
        return None
    said, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    bins, by_luck = [], 0.0
    for rows in np.array_split(np.argsort(said, kind="stable"), count):
        share = float(right[rows].mean())
        low, high = wilson(share, len(rows))
        bins.append(Bin(len(rows), float(said[rows].mean()), share, max(low, 0.0), min(high, 1.0)))
        # The mean distance of a normal variable from its mean: sqrt(2 / pi) of its deviation.
        by_luck += math.sqrt(2 / math.pi * float((said[rows] * (1 - said[rows])).sum())) / len(labels)
    error = sum(b.images * abs(b.said - b.right) for b in bins) / len(labels)
    return Reliability(tuple(bins), error, by_luck)
