"""What single trials confuse, of those that a report opens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from search.results.stored import StoredStudy
from search.stats.metrics import confusion
from storage.records import TrialRecord

DETAILED = 50  # the best trials, of which a report has curves and confusions


def confusions(stored: StoredStudy, ranked: Sequence[TrialRecord]) -> Mapping[int, NDArray[np.int64]]:
    """Trial -> [classes, classes], true class in rows, of images in folds that the trial has; of the first DETAILED.

    Without trials whose predictions are no evidence, such as failed ones.
    """
    evidence, found = stored.evidence, {}
    for trial in ranked[:DETAILED] if evidence else ():
        if evidence and trial.number in evidence.numbers:
            rows = evidence.probabilities[evidence.row(trial.number)]
            known = ~np.isnan(rows).any(axis=1)
            predicted = rows[known].argmax(axis=1)
            found[trial.number] = confusion(evidence.labels[known], predicted, len(stored.study.classes))
    return found
