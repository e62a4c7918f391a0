"""From a study's database to the summary that a report shows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from search.results.explained import last_explained
from search.results.nested import nested
from search.results.shipped import Telling, out_of_fold, telling
from search.results.stored import ByFold, StoredStudy
from search.stats.learning_curve import Part
from search.stats.ranking import best
from search.stats.selection import Wish, ties
from search.study.evidence import stored_evidence, stored_record
from storage import Split, Store, TrialRecord

MOST_LEADING = 20  # trials not clearly worse than the best, whose predictions are read


def read_stored(store: Store, *, searching: bool, outdated: bool = False, wish: Wish | None = None) -> StoredStudy:
    """All records of a study. `searching`: whether a process holds the study now; `outdated`: see `Chosen`.

    `wish`: of the saved model, which is no part of the database; None: the default.

    Raises StorageError for a study with an unknown metric.
    """
    record = stored_record(store)
    explanation, unread = last_explained(store)
    trials, references = store.trials(), store.references()
    leader = best(trials, record.metric)
    return StoredStudy(
        study=record,
        images=tuple(store.images()),
        split=store.split(),
        trials=tuple(trials),
        runs=tuple(store.runs()),
        references=tuple(record for record in references if Part.of(record.name) is None),
        parts=tuple(record for record in references if Part.of(record.name)),
        choices=tuple(store.choices()),
        best=store.probabilities(leader.number) if leader else {},
        evidence=stored_evidence(store, trials, confirmed=False),
        leading=tuple(_leading(store, trials)),
        confirmed=stored_evidence(store, trials, confirmed=True) if len(store.splits()) > 1 else None,
        wish=wish or Wish(),
        nested=nested(store),
        explanation=explanation,
        notes=unread,
        searching=searching,
        outdated=outdated,
    )


def read_telling(store: Store) -> Telling:
    """The mistakes and the least sure predictions of the saved model, as a report shows them, and nothing else."""
    trials = store.trials(curves=False)
    stored = StoredStudy(
        study=store.study(),
        images=tuple(store.images()),
        split=store.split(),
        trials=tuple(trials),
        choices=tuple(store.choices()),
        evidence=stored_evidence(store, trials, confirmed=False),
    )
    return telling(stored, out_of_fold(stored))


def _leading(store: Store, trials: Sequence[TrialRecord]) -> Iterator[tuple[Split, tuple[ByFold, ...]]]:
    """Each division into folds with the predictions for it of the trials that are not clearly worse than the best.

    A division without a trial that has all its folds is left out.
    """
    images = int((store.split().assignment >= 0).sum())
    leading = ties(trials, store.study().metric, images, MOST_LEADING)
    for split in store.splits():
        folds = int(split.assignment.max()) + 1
        whole = [
            trial.number
            for trial in trials
            if trial.number in leading and sum(fold.repeat == split.repeat for fold in trial.folds) == folds
        ]
        if whole:
            yield split, tuple(store.probabilities(number, split.repeat) for number in whole)
