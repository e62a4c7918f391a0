"""What nested cross-validation says: the outer folds of a study, read from their own databases, as one estimate."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from search.stats.selection import interval
from search.study.folder import StudyFolder
from storage import StorageError, Store
from storage.records import Params


@dataclass(frozen=True)
class OuterChoice:
    """What the search of one outer fold chose, without having seen the fold's images."""

    fold: int  # from 0
    trial: int
    members: tuple[tuple[int, float], ...]  # (trial, weight) of each model in it
    params: Params  # of the trial
    score: float  # on the fold's images


@dataclass(frozen=True)
class Nested:
    """What the whole procedure scores on images that it never saw, with a 95 % interval; over the folds so far."""

    value: float
    low: float
    high: float
    folds: int  # that are done
    of: int
    images: int  # in them
    chosen: tuple[OuterChoice, ...]
    method: str = "nested cross-validation"


def nested(store: Store) -> Nested | None:
    """The estimate from the outer folds beside a study; None where none is done.

    Raises StorageError for an outer fold of other images than the study's.
    """
    study, images, assignment = store.study(), store.images(), store.split().assignment
    folder = StudyFolder(store.path.parent)
    if not folder.nested.is_dir():
        return None
    labels = np.array([image.label for image in images], np.int64)
    folds = int(assignment.max()) + 1
    said, rows, chosen = [], [], []
    for fold in range(folds):
        path = folder.outer(fold).database
        if not path.exists():
            continue
        with Store.open(path, read_only=True) as outer:
            held_out = {image.path for image in outer.images() if image.testing}
            where = np.flatnonzero(assignment == fold)
            same = outer.study().classes == study.classes and len(outer.images()) == len(images)
            if not same or held_out != {images[row].path for row in where}:
                raise StorageError(
                    f"{path}: is no search without the images of fold {fold} of {store.path}. "
                    f"Move its folder away; `{folder.command('run')}` searches again."
                )
            last = next(iter(reversed(outer.choices())), None)
            if last is None or last.probabilities is None:
                continue
            said.append(last.probabilities)
            rows.append(where)
            score = interval(last.probabilities, labels[where], study.metric)[0]
            params: Mapping[str, Any] = outer.trial(last.trial).params
            chosen.append(OuterChoice(fold, last.trial, last.members, params, score))
    if not said:
        return None
    found = interval(np.concatenate(said), labels[np.concatenate(rows)], study.metric)
    return Nested(*found, len(said), folds, sum(map(len, rows)), tuple(chosen))
