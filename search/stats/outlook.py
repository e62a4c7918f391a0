"""What more search is expected to bring. Pure."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from search.stats.evidence import USUAL_SPREAD, Evidence, belief
from search.stats.metrics import METRICS

FLAT = 0.003  # expected gain, in units of accuracy, below which more search does not pay
LEAST_TRIALS = 12  # fewer trials say too little about what the next ones will be
AHEAD = 3600.0  # seconds of further search that are asked about
_STEPS = 400  # of the integral


def little_gain(metric: str) -> float:
    """The expected gain, in the metric, below which more search does not pay."""
    return FLAT * METRICS[metric].scale


def gain_of_more(evidence: Evidence, candidates: NDArray[np.bool_], trials: int) -> float | None:
    """By how much `trials` more trials are expected to be better; None if too few trials are known.

    In units of the metric, 0 or more. A further trial is taken to be worth as much as one of those so far, drawn at
    random, give or take what is not known of it, and of many the best counts: the integral of 1 - F(x)^trials above the
    best expectation, with F the distribution of one trial's worth. A rough guide, see docs/method.md.
    """
    if len(evidence.numbers) < LEAST_TRIALS or not candidates.any():
        return None
    believed = belief(evidence)
    best = float(believed.mean[candidates].max())
    spread = np.hypot(believed.error, METRICS[evidence.metric].scale * USUAL_SPREAD / 2)
    top = float((believed.mean + 5 * spread).max())
    points = np.linspace(best, max(top, best), _STEPS)
    z = (points[:, None] - believed.mean) / (spread * math.sqrt(2))
    below = 0.5 * (1 + np.vectorize(math.erf)(z).mean(axis=1))
    return float(np.trapezoid(1 - below ** max(trials, 0), points))
