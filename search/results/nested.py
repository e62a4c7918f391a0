"""The result of nested cross-validation: the outer folds of a study, read from their databases, as one estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.stats.selection import interval
from search.study.folder import StudyFolder
from storage import StorageError, Store
from storage.records import ImageRecord, Params


@dataclass(frozen=True)
class OuterChoice:
    """The choice of the search without the images of one outer fold."""

    fold: int  # from 0
    trial: int
    members: tuple[tuple[int, float], ...]  # (trial, weight) of each model
    params: Params  # of the trial
    score: float  # on the fold's images


@dataclass(frozen=True)
class Nested:
    """The score of the whole procedure on images that it did not use, with a 95 % interval, over the folds so far."""

    value: float
    low: float
    high: float
    folds: int  # number of complete outer folds
    of: int  # number of all outer folds
    images: int  # in the complete folds
    chosen: tuple[OuterChoice, ...]
    method: str = "nested cross-validation"


def is_outer_fold(
    outer: Store, classes: Sequence[str], images: Sequence[ImageRecord], held_out: NDArray[np.bool_]
) -> bool:
    """Whether `outer` is the search of a study, with these classes and images, without those of a fold.

    `held_out`: [images] which are in the fold.
    """
    found, expected = outer.images(), {image.path for image, out in zip(images, held_out, strict=True) if out}
    same = outer.study().classes == classes and len(found) == len(images)
    return same and {image.path for image in found if image.testing} == expected


def nested(store: Store) -> Nested | None:
    """The estimate from the outer folds in the folder of a study; None if none is complete.

    Raises StorageError if an outer fold has other images than the study.
    """
    study, images, assignment = store.study(), store.images(), store.split().assignment
    folder = StudyFolder(store.path.parent)
    if not folder.nested.is_dir():
        return None
    labels = np.array([image.label for image in images], np.int64)
    folds = int(assignment.max()) + 1
    probabilities, rows, chosen = [], [], []
    for fold in range(folds):
        part = folder.outer(fold)
        if not part.begun:
            continue
        with part.read() as outer:
            where = np.flatnonzero(assignment == fold)
            if not is_outer_fold(outer, study.classes, images, assignment == fold):
                raise StorageError(
                    f"{part.database}: is not a search without the images of fold {fold + 1} of {store.path}. "
                    f"Move its folder away; `{folder.command('run')}` searches again."
                )
            last = next(iter(reversed(outer.choices())), None)
            if last is None or last.probabilities is None:
                continue
            where = where[last.tested]
            probabilities.append(last.probabilities[last.tested])
            rows.append(where)
            score = interval(probabilities[-1], labels[where], study.metric)[0]
            params: Mapping[str, Any] = outer.trial(last.trial).params
            chosen.append(OuterChoice(fold, last.trial, last.members, params, score))
    if not probabilities:
        return None
    bounds = interval(np.concatenate(probabilities), labels[np.concatenate(rows)], study.metric)
    return Nested(*bounds, len(probabilities), folds, sum(map(len, rows)), tuple(chosen))
