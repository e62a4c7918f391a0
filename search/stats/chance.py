"""What a guess reaches."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def majority(labels: NDArray[np.int16], rows: int, classes: int) -> NDArray[np.float32]:
    """[rows, classes]: for every row the shares of the classes among the training `labels`."""
    shares = np.bincount(labels, minlength=classes) / len(labels)
    return np.tile(shares.astype(np.float32), (rows, 1))


def chance_level(metric: str, counts: NDArray[np.integer[Any]]) -> float:
    """What a guess reaches that knows only how many images each class has (`counts`)."""
    there = counts[counts > 0]
    if not len(there):
        return float("nan")
    share = there / there.sum()
    match metric:
        case "balanced_accuracy":
            return 1 / len(there)
        case "accuracy":
            return float(share.max())
        case "log_loss":
            return float(-(share * np.log(share)).sum())
        case _:
            return 0.5
