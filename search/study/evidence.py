"""The evidence for a choice, read from a study's database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from search.stats.evidence import Evidence, comparable, evidence_of
from storage import Store, TrialRecord


def stored_evidence(store: Store, trials: Sequence[TrialRecord], *, confirmed: bool) -> Evidence | None:
    """The predictions of all comparable trials; None if there is none.

    `confirmed`: whether the folds count on which finalists were trained again. They help to choose, but their models
    have seen images of every fold of the search, so they are no part of a test of the choice.
    """
    metric = store.study().metric
    known = comparable(trials, metric)
    if not known:
        return None
    splits = store.splits() if confirmed else [store.split()]
    predictions = [[_predictions(store, trial, split.repeat) for split in splits] for trial in known]
    labels = np.array([image.label for image in store.images()], np.int64)
    return evidence_of(known, predictions, labels, [split.assignment for split in splits], store.study())


def _predictions(store: Store, trial: TrialRecord, repeat: int) -> Mapping[int, NDArray[np.floating]]:
    """By fold; empty where the trial lacks the repeat, so that each repeat has the same place for all trials."""
    return store.probabilities(trial.number, repeat) if any(fold.repeat == repeat for fold in trial.folds) else {}
