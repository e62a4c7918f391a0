"""Compiling a network for training, and the inputs and targets that its layers and loss expect. For workers only."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from spaces.presets.parts import cross_entropy


def compiled(
    model: keras.Model,
    classes: int,
    optimizer: keras.optimizers.Optimizer,
    loss: Any = None,
    metrics: Sequence[Any] = (),
) -> keras.Model:
    """The model compiled with `loss`, or the cross-entropy that fits its output, and a confusion matrix as metric.

    `metrics` are further ones, for callbacks.
    """
    if loss is None:
        loss = cross_entropy(model.output_shape[-1])
    model.compile(optimizer, loss, metrics=[Confusion(classes), *metrics], jit_compile=False)
    return model


def single(loss: Any) -> Any:
    """The loss of a model with one output, which Keras also takes as a list or dict of one."""
    if isinstance(loss, dict):
        loss = list(loss.values())
    return single(loss[0]) if isinstance(loss, list | tuple) and len(loss) == 1 else loss


def metrics_of(model: keras.Model, units: int) -> list[keras.metrics.Metric]:
    """The metrics with which a user compiled a model of so many output units; none where they cannot be computed."""
    probabilities = np.full((1, units), 1 / units, np.float32)
    targets = np.zeros((1, 1)) if units == 1 or takes_indices(single(model.loss)) else np.eye(units)[:1]
    try:  # Keras makes them at first use
        output = keras.tree.map_structure(lambda _: probabilities, getattr(model, "output", None))
        model.compute_metrics(None, targets.astype(np.float32), output)
        made = [metric for group in model.metrics for metric in getattr(group, "metrics", ())]
    except Exception:  # noqa: BLE001 - a metric of the user's may raise anything
        return []
    for metric in made:
        metric.reset_state()
    return made


def set_threshold(model: keras.Model, threshold: float) -> None:
    """Above which a single output means class 1, for the confusion matrix of a model that has computed metrics once."""
    for metric in confusions(model):
        metric.threshold = threshold


def confusions(model: keras.Model) -> list[Confusion]:
    """The confusion matrices among the metrics of a model that has computed metrics once."""
    metrics = [metric for group in model.metrics for metric in getattr(group, "metrics", ())]
    return [metric for metric in metrics if isinstance(metric, Confusion)]


def takes_logits(loss: Any) -> bool:
    """Whether the loss expects the output before softmax or sigmoid: it has `from_logits`."""
    if isinstance(loss, functools.partial):
        return bool(loss.keywords.get("from_logits", False))
    if not isinstance(loss, keras.losses.Loss):
        return False
    return bool(getattr(loss, "from_logits", False) or loss.get_config().get("from_logits", False))


def takes_indices(loss: Any) -> bool:
    """Whether the loss expects labels as class numbers ('sparse'), not one-hot."""
    return "sparse" in loss_name(loss)


def loss_name(loss: Any) -> str:
    """A loss's name in lower case, however it was given to `compile`: 'categorical_crossentropy', …; '' for None."""
    return "" if loss is None else str(getattr(loss, "name", getattr(loss, "__name__", loss))).lower()


class Confusion(keras.metrics.Metric):
    """[classes, classes] counts of true (rows) against predicted class over an epoch."""

    def __init__(self, classes: int) -> None:
        super().__init__(name="confusion")
        self.classes = classes
        self.threshold = 0.5  # above which a single output means class 1; set it before a graph is traced
        self.counts = self.add_variable((classes, classes), "zeros", name="counts")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:  # noqa: ARG002
        """Count a batch."""
        pairs = tf.reduce_sum(self.pairs(y_true, y_pred), axis=0)
        self.counts.assign_add(tf.reshape(pairs, (self.classes, self.classes)))

    def pairs(self, y_true: Any, y_pred: Any) -> Any:
        """[batch, classes ** 2], one-hot: true class * classes + predicted class.

        True labels in one column are class numbers; predictions in one column are of class 1.
        """
        # Rounded: labels may be mixed. TensorFlow's own `argmax`: Keras's takes seven operations more.
        true = tf.cast(tf.round(y_true[:, 0]), tf.int32) if y_true.shape[-1] == 1 else _largest(y_true)
        predicted = tf.cast(y_pred[:, 0] > self.threshold, tf.int32) if y_pred.shape[-1] == 1 else _largest(y_pred)
        return tf.one_hot(true * self.classes + predicted, self.classes**2)

    def result(self) -> Any:
        """The counts so far."""
        return self.counts


def _largest(scores: Any) -> Any:
    """[batch] number of each row's largest."""
    return tf.argmax(scores, axis=-1, output_type=tf.int32)
