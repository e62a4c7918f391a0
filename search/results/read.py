"""From a study's database to the summary that a report shows."""

from __future__ import annotations

from search.results.nested import nested
from search.results.stored import StoredStudy
from search.results.summary import StudySummary, summarise
from search.stats.estimate import MAX_TRIALS
from search.stats.metrics import METRICS
from search.stats.ranking import best, ranked
from storage import StorageError, Store, TrialState


def read(store: Store, *, searching: bool, outdated: bool = False) -> StudySummary:
    """All that a report shows. `searching`: whether a process holds the study now; `outdated`: see `Chosen`.

    Raises StorageError for a study with an unknown metric.
    """
    record = store.study()
    if record.metric not in METRICS:
        raise StorageError(
            f"{store.path} was searched for '{record.metric}', which this release does not know "
            f"(known: {', '.join(METRICS)}); upgrade smallsearch"
        )
    trials, choices = store.trials(), store.choices()
    complete = [trial for trial in ranked(trials, record.metric) if trial.state == TrialState.COMPLETE]
    leading = {trial.number: store.probabilities(trial.number) for trial in complete[:MAX_TRIALS]}
    leader = best(complete[:MAX_TRIALS], record.metric)
    known, pool = {trial.number for trial in complete}, choices[-1].pool if choices else ()
    stored = StoredStudy(
        study=record,
        images=tuple(store.images()),
        split=store.split(),
        trials=tuple(trials),
        runs=tuple(store.runs()),
        references=tuple(store.references()),
        choices=tuple(choices),
        best=leading[leader.number] if leader else {},
        leading=leading,
        pool={number: leading.get(number) or store.probabilities(number) for number in pool if number in known},
        nested=nested(store),
        searching=searching,
        outdated=outdated,
    )
    return summarise(stored)
