"""How far one can believe the probabilities of the saved model, from its predictions out of fold."""

from __future__ import annotations

from dataclasses import dataclass

from search.results.shipped import OutOfFold
from search.results.stored import StoredStudy
from search.stats.calibration import Correction, Reliability, cross_fitted, fitted, reliability


@dataclass(frozen=True)
class Calibrated:
    """How the probabilities of the saved model are corrected, and what that makes of them."""

    correction: Correction  # by all predictions, as in the model's file
    before: Reliability  # of the network's own probabilities
    after: Reliability  # with corrections of other folds, which is what `search predict` is expected to say


def calibrated(stored: StoredStudy, predictions: OutOfFold | None) -> Calibrated | None:
    """None without a saved model, or with too few predictions to judge."""
    if predictions is None or stored.choice is None:
        return None
    labels, probabilities = predictions.labels, predictions.probabilities
    folds = stored.split.assignment[predictions.rows]
    before, after = (reliability(labels, p) for p in (probabilities, cross_fitted(labels, probabilities, folds)))
    if before is None or after is None:
        return None
    return Calibrated(fitted(labels, probabilities), before, after)
