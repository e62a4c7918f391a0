"""Probabilities that mean what they say: a temperature, and how far probabilities and truth are apart. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.stats.estimate import wilson

LEAST = 1e-9  # probability: what rounds to 0 is not impossible
TEMPERATURES = np.geomspace(0.25, 8.0, 61)
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


def fitted_temperature(labels: Labels, probabilities: Probabilities) -> float:
    """The one of TEMPERATURES under which the labels [images] are the most probable, and that is not unusual.

    `probabilities` [images, classes] must be of models that were not trained on the image. 1 without images.
    """
    images = np.arange(len(labels))
    likelihoods = [
        np.log(softened(probabilities, temperature)[images, labels]).sum() - (math.log(temperature) / _USUAL) ** 2 / 2
        for temperature in TEMPERATURES
    ]
    return float(TEMPERATURES[int(np.argmax(likelihoods))]) if len(labels) else 1.0


def cross_fitted(labels: Labels, probabilities: Probabilities, folds: Labels) -> NDArray[np.float64]:
    """[images, classes] softened by the temperature of the other `folds` [images], so that it can be judged.

    Those of a single fold stay as they are.
    """
    result = softened(probabilities, 1.0)
    for fold in np.unique(folds):
        here = folds == fold
        result[here] = softened(probabilities[here], fitted_temperature(labels[~here], probabilities[~here]))
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
