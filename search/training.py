"""One fold run on Keras and TensorFlow: for workers only.

An epoch is one TensorFlow function around the model's own `train_step`: on small images a Python loop over
batches, as in `model.fit`, costs several times the arithmetic. Stopping is decided in Python after each epoch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import scipy.special
import tensorflow as tf
from numpy.typing import NDArray

from search.jobs import FoldJob, FoldResult, Materials
from search.latency import milliseconds_an_image
from search.metrics import balanced_accuracy, scores
from spaces.presets import parts

USUAL_BATCH = 32  # Keras's own, for a model of the user's that does not declare batch_size
VALIDATION_BATCH = 256  # images a step when only predicting; results do not depend on it


class NotFiniteError(ArithmeticError):
    """Training left the finite numbers."""


@dataclass
class Curve:
    """What is kept of every epoch, and which epoch was best so far."""

    values: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    best_loss: float = float("inf")
    best_probabilities: NDArray[np.float32] | None = None

    def add(self, **row: float) -> None:
        """Append one epoch."""
        for name, value in row.items():
            self.values.setdefault(name, []).append(value)

    def improved(self, epoch: int, loss: float, min_delta: float, probabilities: NDArray[np.float32]) -> bool:
        """Note a validation loss; True where it is smaller than the best by more than `min_delta`."""
        if self.best_probabilities is not None and loss >= self.best_loss - min_delta:
            return False
        self.best_epoch, self.best_loss, self.best_probabilities = epoch, loss, probabilities
        return True


def train_fold(model: keras.Model, pixels: tf.Tensor, materials: Materials, job: FoldJob, started: float) -> FoldResult:
    """Train `model` (freshly built from the job's seed) and judge it.

    `pixels` is uint8 [images, height, width, channels] as a constant; `started` is the `time.perf_counter` from
    which seconds count. Early stopping watches the validation log loss without penalties, and the scores are those
    of its best epoch. Raises NotFiniteError as soon as a loss is NaN or infinite.
    """
    labels, metric = materials.labels, materials.metric
    targets = tf.constant(targets_for(model, labels))
    train_epoch, predict = _graphs(model, pixels, targets)
    order = np.random.default_rng(job.seed)
    truth, curve = labels[job.validate], Curve()
    epoch = 0
    for epoch in range(1, job.training.max_epochs + 1):
        model.reset_metrics()
        logs = train_epoch(*map(tf.constant, batches(order, job.train, job.params)))
        raw, val_loss = predict(tf.constant(job.validate))
        probabilities = class_probabilities(raw.numpy(), logits=parts.takes_logits(model.loss))
        measured = scores(truth, probabilities, ("log_loss", "balanced_accuracy", metric))
        loss = float(logs["loss"])
        if not (np.isfinite(loss) and np.isfinite(measured["log_loss"])):
            raise NotFiniteError(f"the loss was {loss} in epoch {epoch}")
        curve.add(loss=loss, val_loss=float(val_loss), **_training_scores(logs))
        curve.add(**{f"val_{name}": value for name, value in measured.items()})
        curve.improved(epoch, measured["log_loss"], job.training.min_delta, probabilities)
        if job.training.patience and epoch - curve.best_epoch >= job.training.patience:
            break
    assert curve.best_probabilities is not None  # noqa: S101 - max_epochs is at least 1
    return FoldResult(
        scores=scores(truth, curve.best_probabilities),
        epochs=epoch,
        best_epoch=curve.best_epoch,
        curve={name: tuple(values) for name, values in curve.values.items()},
        probabilities=curve.best_probabilities,
        parameters=model.count_params(),
        seconds=time.perf_counter() - started,
        latency=_latency(predict, job.validate) if materials.latency else None,
    )


def _latency(predict: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]], rows: NDArray[np.int32]) -> float:
    """Milliseconds an image by a graph that has predicted these rows before; see `milliseconds_an_image`."""
    every = tf.constant(rows)

    def once() -> None:
        predict(every)[0].numpy()  # waits for it

    return milliseconds_an_image(once, len(rows))


def targets_for(model: keras.Model, labels: NDArray[np.int16]) -> NDArray[np.float32]:
    """Labels as the model's loss wants them: one column for one unit or a sparse loss, else one-hot."""
    units = int(model.output_shape[-1])
    if units == 1 or parts.takes_indices(model.loss):
        return labels.astype(np.float32)[:, None]
    return np.eye(units, dtype=np.float32)[labels]


def class_probabilities(raw: NDArray[np.float32], *, logits: bool = False) -> NDArray[np.float32]:
    """[images, classes] from the output: one column is the probability of class 1 of two."""
    if logits:
        raw = scipy.special.expit(raw) if raw.shape[1] == 1 else scipy.special.softmax(raw, axis=1)
    if raw.shape[1] == 1:
        return np.concatenate([1 - raw, raw], axis=1)
    return raw


def batches(
    order: np.random.Generator, rows: NDArray[np.int32], params: Any
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """The rows of one epoch in order, and where each batch ends.

    An epoch is one pass over `rows`, the last batch being what is left; or, where the point says '50 steps',
    that many batches out of as many passes as it takes (each pass ending in its own partial batch, as Keras's
    ImageDataGenerator does).
    """
    size = int(params.get("batch_size", USUAL_BATCH))
    ends_of_pass = [*range(size, len(rows), size), len(rows)]
    steps = len(ends_of_pass)
    if str(params.get("epoch", "")).endswith(" steps"):
        steps = int(str(params["epoch"]).split()[0])
    shuffled: list[NDArray[np.int32]] = []
    ends: list[int] = []
    while len(ends) < steps:
        ends += [len(shuffled) * len(rows) + end for end in ends_of_pass]
        shuffled.append(order.permutation(rows))
    ends = ends[:steps]
    return np.concatenate(shuffled)[: ends[-1]].astype(np.int32), np.asarray(ends, np.int32)


def _graphs(model: keras.Model, pixels: tf.Tensor, targets: tf.Tensor) -> tuple[Any, Any]:
    """(train one epoch, predict and measure the loss) as TensorFlow functions over row numbers."""
    rows_of = tf.TensorSpec([None], tf.int32)

    scale = 1 / 255 if pixels.dtype == tf.uint8 and not parts.takes_bytes(model) else 1.0
    grey_as_colour = pixels.shape[-1] == 1 and model.input_shape[-1] == 3

    def batch(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        x = tf.cast(tf.gather(pixels, rows), tf.float32) * scale
        return tf.image.grayscale_to_rgb(x) if grey_as_colour else x, tf.gather(targets, rows)

    # Keras makes the variables of metrics and optimizer at first use: before a graph is traced, not in it.
    model.test_step(batch(tf.constant([0])))
    model.optimizer.build(model.trainable_variables)

    @tf.function(input_signature=[rows_of, rows_of], autograph=False)
    def train_epoch(order: tf.Tensor, ends: tf.Tensor) -> Any:
        def step(index: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            model.train_step(batch(order[start : ends[index]]))
            return index + 1, ends[index]

        tf.while_loop(lambda index, _: index < tf.size(ends), step, (0, 0), parallel_iterations=1)
        return model.get_metrics_result()

    @tf.function(input_signature=[rows_of], autograph=False)
    def predict(rows: tf.Tensor) -> Any:
        x, y = batch(rows)
        y_pred = model(x, training=False)
        return y_pred, model.compute_loss(x=x, y=y, y_pred=y_pred, training=False)

    def predict_all(rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        parts = [(len(some), *predict(some)) for some in _slices(rows)]
        total = sum(size for size, _, _ in parts)
        return tf.concat([p for _, p, _ in parts], 0), sum(size * loss for size, _, loss in parts) / total

    return train_epoch, predict_all


def _slices(rows: tf.Tensor) -> Iterator[tf.Tensor]:
    for start in range(0, len(rows), VALIDATION_BATCH):
        yield rows[start : start + VALIDATION_BATCH]


def _training_scores(logs: dict[str, Any]) -> dict[str, float]:
    counts = logs["confusion"].numpy()
    return {
        "balanced_accuracy": balanced_accuracy(counts),
        "accuracy": float(counts.trace() / max(counts.sum(), 1)),
    }
