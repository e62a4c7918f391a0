"""The metrics of a study, from class probabilities. Pure; used by workers and reports alike."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

METRICS: dict[str, Literal["maximize", "minimize"]] = {
    "balanced_accuracy": "maximize",
    "accuracy": "maximize",
    "auroc": "maximize",
    "log_loss": "minimize",
}
"""Metric name -> direction, in Optuna's words."""


def better(metric: str, a: float, b: float) -> bool:
    """Whether `a` is strictly better than `b`; NaN is never better, anything finite is better than NaN."""
    if np.isnan(a) or np.isnan(b):
        return not np.isnan(a) and bool(np.isnan(b))
    return a > b if METRICS[metric] == "maximize" else a < b


def confusion(labels: NDArray[np.integer], predicted: NDArray[np.integer], classes: int) -> NDArray[np.int64]:
    """[classes, classes] counts: true class in rows, predicted class in columns."""
    flat = labels.astype(np.int64) * classes + predicted
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes)


def balanced_accuracy(counts: NDArray[np.integer] | NDArray[np.floating]) -> float:
    """Mean recall over the classes that occur, from a confusion matrix; NaN where it is empty."""
    totals = counts.sum(axis=1)
    there = totals > 0
    return float(np.mean(counts.diagonal()[there] / totals[there])) if there.any() else float("nan")


def log_loss(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    """Mean cross-entropy in nats; probabilities are kept 1e-7 away from 0 as Keras does."""
    rows = probabilities.astype(np.float64)
    picked = rows[np.arange(len(labels)), labels] / rows.sum(axis=1)
    return float(-np.mean(np.log(np.clip(picked, 1e-7, 1.0))))


def scores(
    labels: NDArray[np.integer], probabilities: NDArray[np.floating], only: Sequence[str] = tuple(METRICS)
) -> dict[str, float]:
    """Each metric of `only` for `probabilities` [images, classes] against `labels` [images].

    AUROC is one class against the rest, averaged over the classes that occur (macro); NaN with one class.
    """
    counts = confusion(labels, probabilities.argmax(axis=1), probabilities.shape[1])
    measured: dict[str, float] = {}
    for metric in only:
        match metric:
            case "balanced_accuracy":
                measured[metric] = balanced_accuracy(counts)
            case "accuracy":
                measured[metric] = float(counts.trace() / max(len(labels), 1))
            case "log_loss":
                measured[metric] = log_loss(labels, probabilities)
            case "auroc":
                measured[metric] = _auroc(labels, probabilities)
    return measured


def _auroc(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> float:
    """Mann-Whitney form of the area under the ROC curve, so that ties count half."""
    from scipy.stats import rankdata  # keeps `search --help` light

    if not np.isfinite(probabilities).all():
        return float("nan")
    areas = []
    for label in range(probabilities.shape[1]):
        positive = labels == label
        n_positive, n_negative = int(positive.sum()), int((~positive).sum())
        if n_positive and n_negative:
            ranks = rankdata(probabilities[:, label])
            areas.append((ranks[positive].sum() - n_positive * (n_positive + 1) / 2) / (n_positive * n_negative))
    return float(np.mean(areas)) if areas else float("nan")
