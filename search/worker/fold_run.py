"""What is kept of one fold run while it is trained."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from search.stats.metrics import better


@dataclass
class Curve:
    """What is kept of every epoch, and which epoch counts so far."""

    values: dict[str, list[float]] = field(default_factory=dict)
    best_epoch: int = 0
    best_loss: float = float("inf")
    best_probabilities: NDArray[np.float32] | None = None

    def add(self, **row: float) -> None:
        """Append one epoch."""
        for name, value in row.items():
            self.values.setdefault(name, []).append(value)

    def below(self, least: float, metric: str) -> bool:
        """Whether no epoch's validation metric is as good as `least`."""
        return all(better(metric, least, value) for value in self.values[f"val_{metric}"])

    def improved(
        self, epoch: int, loss: float, min_delta: float, probabilities: NDArray[np.float32], *, always: bool = False
    ) -> bool:
        """Note a validation loss; True where it is smaller than the best by more than `min_delta`, or `always`."""
        if not always and self.best_probabilities is not None and loss >= self.best_loss - min_delta:
            return False
        self.best_epoch, self.best_loss, self.best_probabilities = epoch, loss, probabilities
        return True
