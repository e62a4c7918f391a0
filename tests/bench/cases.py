"""What the benchmarks train: small data sets and networks, the same for every side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spaces.facts import Facts
from spaces.parameters import Value
from spaces.presets import FAMILIES

if TYPE_CHECKING:
    import keras

BATCH, FOLDS = 32, 5

LENET: Mapping[str, Value] = {
    "epoch": "one pass",
    "initializer": "glorot_uniform",
    "dropout": 0.0,
    "l2": 0.0,
    "augmentation": "none",  # as in `model.fit` on arrays
    "batch_size": BATCH,
}
"""The question's LeNet, as changes to its default point: only what `model.fit` on arrays also does."""

GAP_NET: Mapping[str, Value] = {
    "conv_depth": 3,
    "filters": 16,
    "growth": 2,
    "kernel": 3,
    "normalization": "batch",
    "head": "global_average",
    "dense_depth": 0,
    "dropout": 0.0,
    "augmentation": "none",
    "batch_size": BATCH,
}
"""The same of `cnn`: convolutions of 16, 32 and 64 filters with batch normalisation, then global average pooling."""


@dataclass(frozen=True)
class Case:
    """One size: images of two classes, a network, and how much of it a trial trains."""

    name: str
    images: int
    side: int  # pixels
    preset: str
    changes: Mapping[str, Value]  # to the preset's default point
    epochs: int
    folds: int = FOLDS  # trained, of the five of a trial; all take the same time, so one can represent five
    against_fit: float = 0.0  # issue's target: at least so many times as fast as `model.fit`
    against_arithmetic: float = 0.0  # issue's target: at most so many times the arithmetic

    @property
    def facts(self) -> Facts:
        """The facts for builders."""
        return Facts(self.side, self.side, 3, 2, self.images)

    @property
    def params(self) -> dict[str, Value]:
        """The point."""
        return FAMILIES[self.preset].space(self.facts).defaults(**self.changes)

    @property
    def steps(self) -> int:
        """Optimizer steps of a fold run."""
        return self.epochs * -(-(self.images - self.images // FOLDS) // BATCH)

    def network(self, **changes: Value) -> keras.Model:
        """The network, not compiled, for float32 pixels 0..255, with `changes` to the point."""
        return FAMILIES[self.preset].network(self.params | changes, self.facts)


CASES = (
    Case("160 x 32x32 LeNet", 160, 32, "question", LENET, 25, FOLDS, 8.0, 1.25),
    Case("160 x 32x32 GAP net", 160, 32, "cnn", GAP_NET, 25, FOLDS, 2.5, 1.2),
    Case("1,000 x 64x64 LeNet", 1000, 64, "question", LENET, 25, 1, 2.0, 1.15),
    Case("1,000 x 64x64 GAP net", 1000, 64, "cnn", GAP_NET, 15, 1, 1.05, 1.1),
)


@dataclass(frozen=True)
class Data:
    """Images of a case and their folds; the images are bright at the top or at the left, on dark noise."""

    case: Case
    pixels: NDArray[np.uint8] = field(init=False)  # [images, side, side, 3]
    labels: NDArray[np.int16] = field(init=False)  # [images]

    def __post_init__(self) -> None:
        rows, side = np.arange(self.case.images), self.case.side
        pixels = np.random.default_rng(0).integers(0, 100, (len(rows), side, side, 3), np.uint8)
        pixels[rows % 2 == 0, : side // 2] += 150
        pixels[rows % 2 == 1, :, : side // 2] += 150
        object.__setattr__(self, "pixels", pixels)
        object.__setattr__(self, "labels", (rows % 2).astype(np.int16))

    @property
    def folds(self) -> list[tuple[NDArray[np.int32], NDArray[np.int32]]]:
        """(training rows, validation rows) of each fold that a trial trains, stratified."""
        rows = np.arange(self.case.images, dtype=np.int32)
        return [(rows[rows // 2 % FOLDS != f], rows[rows // 2 % FOLDS == f]) for f in range(self.case.folds)]

    @property
    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Pixels 0..255 and one-hot targets, as `model.fit` takes them."""
        return self.pixels.astype(np.float32), np.eye(2, dtype=np.float32)[self.labels]


def compiled(model: keras.Model, **settings: Any) -> keras.Model:
    """Compiled with Adam and a cross-entropy, as in examples."""
    import keras

    model.compile(keras.optimizers.Adam(**settings), "categorical_crossentropy", metrics=["accuracy"])
    return model
