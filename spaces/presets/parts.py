"""Pieces that presets share. Imports Keras and TensorFlow: for workers only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


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


def compiled(
    model: keras.Model,
    classes: int,
    optimizer: keras.optimizers.Optimizer,
    loss: Any = None,
    metrics: Sequence[str] = (),
) -> keras.Model:
    """The model compiled with `loss`, or the cross-entropy that fits its output, and a confusion matrix as metric.

    More `metrics`, by Keras's names, are kept only where somebody looks at them.
    """
    if loss is None:
        loss = cross_entropy(model.output_shape[-1])
    kept = [Confusion(classes, logits=takes_logits(loss)), *metrics]
    model.compile(optimizer, loss, metrics=kept, jit_compile=False)
    return model


def takes_logits(loss: Any) -> bool:
    """Whether the model's output is meant before its softmax or sigmoid: the loss says `from_logits`."""
    return isinstance(loss, keras.losses.Loss) and bool(loss.get_config().get("from_logits", False))


def takes_indices(loss: Any) -> bool:
    """Whether the loss wants labels as class numbers ('sparse'), not one-hot."""
    return "sparse" in str(getattr(loss, "name", getattr(loss, "__name__", loss))).lower()


def takes_bytes(model: keras.Model) -> bool:
    """Whether the model scales its pixels itself, so that it is given 0..255; any other model is given 0..1.

    It does where a Rescaling or Normalization layer is in it, at any depth.
    """
    scaling = (keras.layers.Rescaling, keras.layers.Normalization)
    return any(
        isinstance(layer, scaling) or (isinstance(layer, keras.Model) and takes_bytes(layer)) for layer in model.layers
    )


class Confusion(keras.metrics.Metric):
    """[classes, classes] counts of true (rows) against predicted class over an epoch."""

    def __init__(self, classes: int, *, logits: bool = False) -> None:
        super().__init__(name="confusion")
        self.classes, self.threshold = classes, 0.0 if logits else 0.5
        self.counts = self.add_variable((classes, classes), "zeros", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # noqa: ARG002
        """Count a batch. True labels in one column are class numbers; predictions in one column are of class 1."""
        # Rounded: labels may be mixed. TensorFlow's own `argmax`: Keras's takes seven operations more.
        true = tf.cast(tf.round(y_true[:, 0]), tf.int32) if y_true.shape[-1] == 1 else _largest(y_true)
        predicted = tf.cast(y_pred[:, 0] > self.threshold, tf.int32) if y_pred.shape[-1] == 1 else _largest(y_pred)
        pair = tf.one_hot(true * self.classes + predicted, self.classes**2)
        self.counts.assign_add(tf.reshape(tf.reduce_sum(pair, axis=0), (self.classes, self.classes)))

    def result(self) -> Any:
        """The counts so far."""
        return self.counts


def _largest(scores: Any) -> Any:
    """[batch] number of each row's largest."""
    return tf.argmax(scores, axis=-1, output_type=tf.int32)
