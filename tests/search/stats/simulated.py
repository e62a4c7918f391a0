"""Studies whose truth is known: out-of-fold predictions are drawn from a model of images and points, without training.

An item-response model: an image has a difficulty, a point has an ability, and both decide how likely the image is
classified right. For half of the predictions all points use the same random number, as similar networks agree.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

POPULATION = 5000  # images on which the truth is measured


@dataclass(frozen=True)
class Simulated:
    """One study of two classes."""

    probabilities: NDArray[np.float32]  # [trials, images, 2]
    labels: NDArray[np.int64]  # [images]
    truth: NDArray[np.float64]  # [trials] accuracy on the population


def studies(number: int, *, images: int, trials: int, spread: float, accuracy: float = 0.8) -> Iterator[Simulated]:
    """`spread` is the standard deviation of abilities, in logits; 0: all points are equally good."""
    rng = np.random.default_rng(images * 1000 + trials)
    labels = np.arange(images) % 2
    for _ in range(number):
        difficulty = rng.normal(0, 1.5, images + POPULATION)
        ability = 1.4 * np.log(accuracy / (1 - accuracy)) + rng.normal(0, spread, trials)
        chance = 1 / (1 + np.exp(difficulty[None, :] - ability[:, None]))
        drawn = rng.uniform(size=(trials, images))
        shared = np.where(rng.uniform(size=(trials, images)) < 0.5, drawn, rng.uniform(size=images)[None, :])
        right = shared < chance[:, :images]
        predicted = np.where(right, labels, 1 - labels)
        yield Simulated(np.eye(2, dtype=np.float32)[predicted] * 0.6 + 0.2, labels, chance.mean(axis=1))
