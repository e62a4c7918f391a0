"""The evidence for a choice, read from a study's database."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from search.stats.evidence import Evidence, candidates_of, comparable, evidence_of
from search.stats.metrics import METRICS
from search.stats.outlook import gain_of_more
from storage import Params, StorageError, Store, StudyRecord, TrialRecord


def stored_record(store: Store) -> StudyRecord:
    """What the study is. Raises StorageError if it was searched for a metric that this release does not know."""
    record = store.study()
    if record.metric not in METRICS:
        raise StorageError(
            f"{store.path} was searched for '{record.metric}', which this release does not know "
            f"(known: {', '.join(METRICS)}); upgrade smallsearch"
        )
    return record


def stored_evidence(
    store: Store,
    trials: Sequence[TrialRecord],
    *,
    confirmed: bool,
    passes: Callable[[Params], frozenset[Hashable]] = lambda _params: frozenset(),
) -> Evidence | None:
    """The predictions of all comparable trials; None if there is none.

    `confirmed`: whether the folds count on which finalists were trained again. They help to choose, but their models
    have seen images of every fold of the search, so they are no part of a test of the choice. `passes`: as in
    `evidence_of`.
    """
    metric = store.study().metric
    known = comparable(trials, metric)
    if not known:
        return None
    splits = store.splits() if confirmed else [store.split()]
    predictions = [[_predictions(store, trial, split.repeat) for split in splits] for trial in known]
    known = [trial if trial.layers else store.trial(trial.number) for trial in known]  # else read without curves
    labels = np.array([image.label for image in store.images()], np.int64)
    return evidence_of(known, predictions, labels, [split.assignment for split in splits], store.study(), passes)


def outlook(store: Store, trials: Sequence[TrialRecord], ahead: float) -> float | None:
    """By how much `ahead` more seconds of search are expected to be better; None if that is not known yet.

    As many trials are expected in them as there were in an equal time so far.
    """
    evidence, spent = stored_evidence(store, trials, confirmed=False), store.spent_seconds()
    if evidence is None or spent <= 0:
        return None
    return gain_of_more(evidence, candidates_of(evidence, trials), math.ceil(len(trials) * ahead / spent))


def _predictions(store: Store, trial: TrialRecord, repeat: int) -> Mapping[int, NDArray[np.floating]]:
    """By fold; empty where the trial lacks the repeat, so that each repeat has the same place for all trials."""
    return store.probabilities(trial.number, repeat) if any(fold.repeat == repeat for fold in trial.folds) else {}
