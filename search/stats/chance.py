"""The predictions of a guess, and its log loss. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def majority(labels: NDArray[np.int16], rows: int, classes: int) -> NDArray[np.float32]:
    """[rows, classes]: in every row the shares of the classes among the training `labels`."""
    shares = np.bincount(labels, minlength=classes) / len(labels)
    return np.tile(shares.astype(np.float32), (rows, 1))


def entropy(shares: NDArray[np.floating]) -> float:
    """Nats: the log loss of a guess by the `shares` [classes] of the classes, each above 0."""
    return float(-(shares * np.log(shares)).sum())
