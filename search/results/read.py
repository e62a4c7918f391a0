"""From a study's database to what a report says."""

from __future__ import annotations

from search.results.nested import nested
from search.results.summary import StudySummary, summarise
from search.stats.estimate import MAX_TRIALS
from search.stats.metrics import METRICS
from search.stats.ranking import best, ranked
from storage import StorageError, Store, TrialState


def read(store: Store, *, searching: bool, outdated: bool = False) -> StudySummary:
    """All that a report says; `searching`: whether a process is at work on the study now; `outdated`: see `Chosen`.

    Raises StorageError for a study of a metric that is not known here.
    """
    record = store.study()
    if record.metric not in METRICS:
        raise StorageError(
            f"{store.path} was searched for '{record.metric}', which this release does not know "
            f"(known: {', '.join(METRICS)}); upgrade smallsearch"
        )
    trials, choices = store.trials(), store.choices()
    leading = [t for t in ranked(trials, record.metric) if t.state == TrialState.COMPLETE][:MAX_TRIALS]
    pool = choices[-1].pool if choices else ()
    known = {t.number for t in trials if t.state == TrialState.COMPLETE}
    others = {t.number: store.probabilities(t.number) for t in leading}
    leader = best(leading, record.metric)
    return summarise(
        record,
        store.images(),
        store.split(),
        trials,
        store.runs(),
        others[leader.number] if leader else {},
        references=store.references(),
        others=others,
        choices=choices,
        pool={n: others.get(n) or store.probabilities(n) for n in pool if n in known},
        fold_runs=sum(len(t.folds) for t in trials),
        searching=searching,
        outdated=outdated,
        nested=nested(store),
    )
