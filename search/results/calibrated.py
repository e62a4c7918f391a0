"""How far one can believe the probabilities of the saved model, from its predictions out of fold."""

from __future__ import annotations

from dataclasses import dataclass

from search.results.shipped import OutOfFold
from search.results.stored import StoredStudy
from search.stats.calibration import Reliability, cross_fitted, fitted_temperature, reliability


@dataclass(frozen=True)
class Calibrated:
    """The temperature of the saved model, and what it makes of its probabilities."""

    temperature: float  # of all predictions, as in the model's file
    before: Reliability  # of the network's own probabilities
    after: Reliability  # with temperatures of other folds, which is what `search predict` is expected to say


def calibrated(stored: StoredStudy, predictions: OutOfFold | None) -> Calibrated | None:
    """None without a saved model, or with too few predictions to judge."""
    if predictions is None or stored.choice is None:
        return None
    labels, probabilities = predictions.labels, predictions.probabilities
    folds = stored.split.assignment[predictions.rows]
    before, after = (reliability(labels, p) for p in (probabilities, cross_fitted(labels, probabilities, folds)))
    if before is None or after is None:
        return None
    return Calibrated(fitted_temperature(labels, probabilities), before, after)
