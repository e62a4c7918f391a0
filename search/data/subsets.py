"""A part of the training images: of each class the same share, and groups whole."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def part_of(
    rows: NDArray[np.int32], labels: NDArray[np.int16], units: NDArray[np.int32], share: float, seed: int
) -> NDArray[np.int32]:
    """A random part of `rows`, ascending: of each class about the `share`, 0 to 1, and at least one unit.

    Args:
        rows: of the images to draw from.
        labels: [images], class of each image.
        units: [images], equal for images that stay together. A unit counts for the class that most of it has.
        share: of each class.
        seed: equal seeds give equal orders, so that a smaller share is part of a larger one.
    """
    members, of = np.unique(units[rows], return_inverse=True)
    counts = np.zeros((len(members), int(labels.max()) + 1), np.int64)
    np.add.at(counts, (of, labels[rows]), 1)
    sizes, classes = counts.sum(axis=1), counts.argmax(axis=1)
    order, kept = np.random.default_rng(seed).permutation(len(members)), np.zeros(len(members), bool)
    for label in np.unique(classes):
        here = order[classes[order] == label]
        middle = np.cumsum(sizes[here]) - sizes[here] / 2  # a unit is in where more than half of it is
        kept[here] = middle <= share * sizes[here].sum()
        kept[here[0]] = True
    return rows[kept[of]]
