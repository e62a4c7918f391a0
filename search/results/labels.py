"""The labels that look wrong in a study, ranked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from search.results.shipped import OutOfFold
from search.results.stored import StoredStudy
from search.stats.evidence import belief, candidates_of
from search.stats.labels import suspects
from search.stats.metrics import METRICS
from search.stats.selection import MARGIN

SHOWN = 12, 60  # suspects in a report: so many in any case, and at most so many of those above the line


@dataclass(frozen=True)
class SuspectLabel:
    """An image for which another class is more probable than that of its label, out of fold."""

    row: int  # in the study
    path: str  # relative to the image folder
    label: int
    likely: int  # the most probable other class
    probability: float  # of that class
    of_label: float  # probability of the label's class
    rarity: float  # share of pictures whose label, being right, looks as improbable; the list is in its order
    accused: bool  # whether it is above the line: at most about 1 % of correct labels are


def suspect_labels(stored: StoredStudy, predictions: OutOfFold | None) -> tuple[SuspectLabel, ...]:
    """All suspects, the most suspect first; so those above the line come before the others.

    They are judged by the mean of several trials; where these cannot be compared, by `predictions`.
    """
    predictions = _of_good_trials(stored) or predictions
    if predictions is None:
        return ()
    labels, probabilities = predictions.labels, predictions.probabilities
    found = suspects(labels, probabilities)
    return tuple(
        SuspectLabel(
            row=int(predictions.rows[n]),
            path=stored.images[predictions.rows[n]].path,
            label=int(labels[n]),
            likely=int(found.likely[n]),
            probability=float(probabilities[n, found.likely[n]]),
            of_label=float(probabilities[n, labels[n]]),
            rarity=float(found.rare[n]),
            accused=place < found.accused,
        )
        for place, n in enumerate(found.order)
    )


def _of_good_trials(stored: StoredStudy) -> OutOfFold | None:
    """The mean of all trials that could be in an ensemble, of those that have the image.

    In studies with planted labels it found as many as the best trial, or more.
    """
    evidence = stored.evidence
    if evidence is None or not (candidates := candidates_of(evidence, stored.trials)).any():
        return None
    mean = belief(evidence).mean
    margin = MARGIN * METRICS[evidence.metric].scale
    good = np.flatnonzero(candidates & (mean >= mean[candidates].max() - margin))
    probabilities = evidence.probabilities[good].astype(np.float64)
    known = ~np.isnan(probabilities).all(axis=(0, 2))
    if not known.any():
        return None
    rows = np.flatnonzero(stored.split.assignment >= 0)[known]
    members = tuple((evidence.numbers[row], 1 / len(good)) for row in good)
    folds = len(np.unique(evidence.folds[known]))
    return OutOfFold(members, rows, stored.labels[rows], np.nanmean(probabilities[:, known], axis=0), folds)


def accused(suspects: Sequence[SuspectLabel]) -> int:
    """The number of labels above the line."""
    return sum(suspect.accused for suspect in suspects)


def shown(suspects: Sequence[SuspectLabel]) -> Sequence[SuspectLabel]:
    """The first suspects, as many as a report shows with their pictures."""
    least, most = SHOWN
    return suspects[: max(least, min(accused(suspects), most))]
