"""Compiling a network for training, and the inputs and targets that its layers and loss expect. For workers only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from spaces.presets.parts import cross_entropy


def compiled(
    model: keras.Model,
    classes: int,
    optimizer: keras.optimizers.Optimizer,
    loss: Any = None,
    metrics: Sequence[str] = (),
) -> keras.Model:
    """The model compiled with `loss`, or the cross-entropy that fits its output, and a confusion matrix as metric.

    `metrics` are further ones, for callbacks.
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
