"""Pieces that presets share. Imports Keras: for workers only."""

from __future__ import annotations

import math
from typing import Any

import keras
from keras import ops


def initializer(name: str) -> keras.initializers.Initializer:
    """A Keras initializer by name; 'uniform_0.05' is uniform in -0.05..0.05, Keras's own 'random_uniform'."""
    if name.startswith("uniform_"):
        bound = float(name.removeprefix("uniform_"))
        return keras.initializers.RandomUniform(-bound, bound)
    return keras.initializers.get(name)


def l2(strength: float) -> keras.regularizers.Regularizer | None:
    """An L2 penalty, or none at strength 0."""
    return keras.regularizers.L2(strength) if strength else None


def normalization(name: str, filters: int) -> keras.layers.Layer | None:
    """'none', 'batch' or 'group'.

    Batch normalisation with momentum 0.9: at Keras's 0.99 the moving averages need hundreds of steps, which a
    small data set does not have before it is judged. Groups of eight channels where they divide.
    """
    match name:
        case "batch":
            return keras.layers.BatchNormalization(momentum=0.9)
        case "group":
            return keras.layers.GroupNormalization(groups=math.gcd(filters, 8))
        case _:
            return None


def output(x: Any, kind: str, classes: int) -> Any:
    """The last layer: softmax over the classes, or for two classes one sigmoid unit."""
    if kind == "sigmoid":
        return keras.layers.Dense(1, activation="sigmoid", name="output")(x)
    return keras.layers.Dense(classes, activation="softmax", name="output")(x)


class Confusion(keras.metrics.Metric):
    """[classes, classes] counts of true (rows) against predicted class over an epoch."""

    def __init__(self, classes: int) -> None:
        super().__init__(name="confusion")
        self.classes = classes
        self.counts = self.add_variable((classes, classes), "zeros", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # noqa: ARG002
        """Count a batch; one column means the probability of class 1."""
        true, predicted = self._classes_of(y_true), self._classes_of(y_pred)
        pair = ops.one_hot(true * self.classes + predicted, self.classes**2, dtype="float32")
        self.counts.assign_add(ops.reshape(ops.sum(pair, axis=0), (self.classes, self.classes)))

    def result(self) -> Any:
        """The counts so far."""
        return self.counts

    def _classes_of(self, y: Any) -> Any:
        if y.shape[-1] == 1:
            return ops.cast(ops.reshape(y, (-1,)) > 0.5, "int32")
        return ops.cast(ops.argmax(y, axis=-1), "int32")
