"""Which pre-trained networks a search goes on with, once each was probed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from search.stats.contributions import class_weights
from search.stats.probes import may_be_best
from search.stats.racing import RaceEntry
from search.study.evidence import stored_evidence
from spaces import Value
from storage import Store, TrialRecord, TrialState
from storage.records import Params


def with_backbone(params: Mapping[str, Value], name: str) -> dict[str, Value]:
    """A point with another backbone; the same point if it names none."""
    return {key: name if _names_one(key) else value for key, value in params.items()}


def backbone_of(params: Params) -> str | None:
    """The backbone that a point names; None if it has none, or there is only one."""
    return next((str(value) for key, value in params.items() if _names_one(key)), None)


def _names_one(parameter: str) -> bool:
    return parameter == "backbone" or parameter.endswith("_backbone")


def may_be_best_of(
    store: Store, trials: Sequence[TrialRecord], probes: Mapping[str, Mapping[str, Value]]
) -> tuple[str, ...] | None:
    """The backbones that may still be the best, the best first: the others lost the race, or are clearly behind.

    `probes`: backbone -> the point that probes it. None until all probes have ended; all if none is complete.
    """
    found = {name: trial for name, point in probes.items() for trial in trials if dict(trial.params) == dict(point)}
    if len(found) < len(probes) or any(trial.state == TrialState.RUNNING for trial in found.values()):
        return None
    complete = {name: trial for name, trial in found.items() if trial.state == TrialState.COMPLETE}
    evidence = stored_evidence(store, list(complete.values()), confirmed=False)
    if evidence is None:
        return tuple(probes)
    entries = {}
    for name, trial in complete.items():
        row, scores = evidence.row(trial.number), trial.scores(evidence.metric)
        by_fold = {fold: evidence.gains[row, evidence.folds == fold] for fold in range(evidence.fold_count)}
        entries[name] = RaceEntry(trial.number, by_fold, dict(enumerate(scores)))
    return may_be_best(evidence.metric, entries, class_weights(np.asarray(evidence.labels)))
