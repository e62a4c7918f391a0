"""Heads on frozen features: standardised, fitted, judged."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from search.jobs import FoldJob, FoldResult, Materials
from search.stats.metrics import scores
from search.worker.describe import describe_frozen
from spaces.presets import Frozen, Heads


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
    frozen: Frozen,
    heads: Heads,
    train: NDArray[np.float32],
    validate: NDArray[np.float32],
    materials: Materials,
    job: FoldJob,
    started: float,
) -> FoldResult:
    """Fit a head on standardised features [rows, width] and judge it: one epoch, whose losses are those of the end.

    `started` is the `time.perf_counter` from which seconds count.
    """
    labels, truth = materials.labels[job.train], materials.labels[job.validate]
    head, classes = heads.fit(job.params, train, labels, job.seed), materials.facts.classes
    probabilities = heads.say(head, validate, classes)
    measured = scores(truth, probabilities)
    on_train = scores(labels, heads.say(head, train, classes), ("log_loss", "accuracy", "balanced_accuracy"))
    curve = {
        "loss": on_train["log_loss"],
        "val_loss": measured["log_loss"],
        "accuracy": on_train["accuracy"],
        "balanced_accuracy": on_train["balanced_accuracy"],
        "val_log_loss": measured["log_loss"],
        "val_balanced_accuracy": measured["balanced_accuracy"],
        f"val_{materials.metric}": measured[materials.metric],
    }
    return FoldResult(
        scores=measured,
        epochs=1,
        best_epoch=1,
        curve={name: (value,) for name, value in curve.items()},
        probabilities=probabilities,
        parameters=describe_frozen(frozen, job.params, materials.facts).parameters,
        seconds=time.perf_counter() - started,
    )
