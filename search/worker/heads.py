"""Heads on frozen features: standardised, fitted, judged."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from search.jobs import FoldJob, FoldResult, WorkerContext
from search.stats.metrics import scores
from search.worker.describe import describe_frozen
from spaces.presets import FrozenFeatures


def standardized(
    train: NDArray[np.float32], validate: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both sets of rows, [rows, width], by mean and standard deviation of the training rows alone."""
    mean, deviation = moments(train)
    return ((train - mean) / deviation).astype(np.float32), ((validate - mean) / deviation).astype(np.float32)


def moments(rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(mean, standard deviation) of each column of [rows, width].

    A column that is the same for all rows says nothing. Its deviation is 1 then: it becomes 0, and stays small in
    other rows.
    """
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    deviation[deviation < 1e-6] = 1.0
    return mean, deviation


def fit_head(
    frozen: FrozenFeatures,
    features: tuple[NDArray[np.float32], NDArray[np.float32]],
    context: WorkerContext,
    job: FoldJob,
    started: float,
) -> FoldResult:
    """Fit a head and judge it: one epoch, whose losses are those of the end.

    `features` [rows, width] are standardised, those of the training rows first. `started` is the `time.perf_counter`
    from which seconds count.
    """
    assert frozen.heads is not None  # noqa: S101 - what is fitted is one of them
    heads, (train, validate) = frozen.heads, features
    labels, truth = context.labels[job.train], context.labels[job.validate]
    head, classes = heads.fit(job.params, train, labels, job.seed), context.facts.classes
    probabilities = heads.predict_proba(head, validate, classes)
    measured = scores(truth, probabilities)
    on_train = scores(labels, heads.predict_proba(head, train, classes), ("log_loss", "accuracy", "balanced_accuracy"))
    curve = {
        "loss": on_train["log_loss"],
        "val_loss": measured["log_loss"],
        "accuracy": on_train["accuracy"],
        "balanced_accuracy": on_train["balanced_accuracy"],
        "val_log_loss": measured["log_loss"],
        "val_balanced_accuracy": measured["balanced_accuracy"],
        f"val_{context.metric}": measured[context.metric],
    }
    return FoldResult(
        scores=measured,
        epochs=1,
        best_epoch=1,
        curve={name: (value,) for name, value in curve.items()},
        probabilities=probabilities,
        parameters=describe_frozen(frozen, job.params, context.facts).parameters,
        seconds=time.perf_counter() - started,
    )
