"""Pieces that presets share. Imports Keras and TensorFlow: for workers only."""

from __future__ import annotations

import math
from typing import Any

import keras


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
    """The last layer: softmax over the classes, or for two classes one sigmoid unit. In float32 under every policy."""
    units, activation = (1, "sigmoid") if kind == "sigmoid" else (classes, "softmax")
    return keras.layers.Dense(units, activation, name="output", dtype="float32")(x)


def cross_entropy(units: int, smoothing: float = 0.0) -> keras.losses.Loss:
    """The loss that fits an output of this many units after its sigmoid (one) or softmax; `smoothing` in 0..1."""
    if units == 1:
        return keras.losses.BinaryCrossentropy(label_smoothing=smoothing)
    return keras.losses.CategoricalCrossentropy(label_smoothing=smoothing)
