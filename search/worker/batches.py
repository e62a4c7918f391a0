"""The batches of an epoch, targets and weights of classes, probabilities from outputs."""

from __future__ import annotations

from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from spaces import compiling
from spaces.recipe import Recipe


@dataclass(frozen=True)
class Epoch:
    """An epoch of training, decided by the host."""

    number: int  # 0-based
    rows: NDArray[np.int32]  # in their order
    ends: NDArray[np.int32]  # [steps], where each batch of them ends
    rates: NDArray[np.float64]  # [steps] learning rates


def balanced_weights(labels: NDArray[np.int16], classes: int) -> NDArray[np.float32]:
    """[classes] weights that make every class count the same, their mean over the images being 1 (King, Zeng 2001)."""
    counts = np.bincount(labels, minlength=classes)
    return np.float32(len(labels)) / np.float32((counts > 0).sum()) / np.maximum(counts, 1).astype(np.float32)


def targets_for(model: keras.Model, labels: NDArray[np.int16]) -> NDArray[np.float32]:
    """Labels as the model's loss wants them: one column for one unit or a sparse loss, else one-hot."""
    units = int(model.output_shape[-1])
    if units == 1 or compiling.takes_indices(model.loss):
        return labels.astype(np.float32)[:, None]
    return np.eye(units, dtype=np.float32)[labels]


def steps_of(images: int, recipe: Recipe) -> int:
    """Steps of an epoch on so many training images."""
    return recipe.steps or -(-images // recipe.batch_size)


def batches(
    order: np.random.Generator, rows: NDArray[np.int32], recipe: Recipe
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The rows of one epoch in order, and where each batch ends.

    An epoch is one pass over `rows`, the last batch being what is left; or, where the recipe counts steps, that
    many batches out of as many passes as it takes (each pass ending in its own partial batch, as Keras's
    ImageDataGenerator does).
    """
    size = recipe.batch_size
    ends_of_pass = [*range(size, len(rows), size), len(rows)]
    steps = steps_of(len(rows), recipe)
    shuffled: list[NDArray[np.int32]] = []
    ends: list[int] = []
    while len(ends) < steps:
        ends += [len(shuffled) * len(rows) + end for end in ends_of_pass]
        shuffled.append(order.permutation(rows))
    ends = ends[:steps]
    return np.concatenate(shuffled)[: ends[-1]].astype(np.int32), np.asarray(ends, np.int32)
