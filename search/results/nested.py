"""The result of nested cross-validation: the outer folds of a study, read from their databases, as one estimate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.seeds import derive
from search.stats.selection import interval
from search.study.folder import StudyFolder
from storage import StorageError, Store
from storage.records import ImageRecord, Params, StudyRecord


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
    outer: Store, study: StudyRecord, images: Sequence[ImageRecord], assignment: NDArray[np.int16], fold: int
) -> bool:
    """Whether `outer` is the search of this study, with these images, without those of a fold.

    `assignment`: [images] the fold of each, from 0; -1: none.
    """
    own, found = outer.study(), outer.images()
    same = own.classes == study.classes and own.seed == derive(study.seed, "outer", fold)
    expected = {image.path for image, number in zip(images, assignment, strict=True) if number == fold}
    same = same and len(found) == len(images)
    return same and {image.path for image in found if image.testing} == expected


def other_searches(folder: StudyFolder, store: Store) -> list[str]:
    """The outer folds in a study's folder that are of another study, in words. Those that cannot be read are left out.

    `store`: of the study.
    """
    if not folder.nested.is_dir():
        return []
    study, images, assignment = store.study(), store.images(), store.split().assignment
    numbers = {folder.outer(fold).path: fold for fold in range(int(assignment.max()) + 1)}
    found = []
    for part in folder.outers:
        fold = numbers.get(part.path)
        if part.begun and fold is None:
            found.append(f"{part}: is no outer fold of this study, which has {len(numbers)}. {_moved(folder)}")
        elif part.begun and fold is not None:
            with suppress(StorageError), part.read() as outer:
                if not is_outer_fold(outer, study, images, assignment, fold):
                    found.append(_other(folder, fold))
    return found


def _other(folder: StudyFolder, fold: int) -> str:
    database = folder.outer(fold).database
    return f"{database}: is not a search without the images of fold {fold + 1} of {folder.database}. {_moved(folder)}"


def _moved(folder: StudyFolder) -> str:
    again = f"; `{folder.command('run')}` searches again" if folder.toml.is_file() else ""
    return f"Move its folder away{again}."


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
            if not is_outer_fold(outer, study, images, assignment, fold):
                raise StorageError(_other(folder, fold))
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
