"""Which records are possible. A database that was changed by hand may be valid SQL, but no study; reading detects it.

Each function raises ImpossibleError for records that are valid one by one, but that this program never writes together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from storage.errors import ImpossibleError
from storage.records import (
    ChoiceRecord,
    FoldRecord,
    ImageRecord,
    Origin,
    ReferenceRecord,
    Split,
    StudyRecord,
    TrialRecord,
    TrialState,
)

_MAX_CLASSES = 10_000
_MAX_NAME = 4096  # characters: the longest path that Linux knows
_MAX_SECONDS = 1e9  # thirty years

_MAX_REDRAWS = 10_000
_ROUNDING = 1e-6


def check_study(study: StudyRecord) -> None:
    """At least two different classes, names that can be shown, and images with pixels."""
    if len(study.classes) > _MAX_CLASSES:
        raise ImpossibleError(f"{len(study.classes):,} classes")
    longest = max(map(len, (study.name, study.metric, study.fingerprint, *study.classes)))
    if longest > _MAX_NAME:
        raise ImpossibleError(f"a name of {longest:,} characters")
    if len(set(study.classes)) < max(len(study.classes), 2):
        raise ImpossibleError(f"the classes {list(study.classes)}")
    if min(study.image_shape) < 1:
        raise ImpossibleError(f"images of the shape {study.image_shape}")


def check_images(images: Sequence[ImageRecord], study: StudyRecord) -> None:
    """Rows from 0 in order, each label one of the classes."""
    for row, image in enumerate(images):
        if image.row != row:
            raise ImpossibleError(f"no image in row {row}")
        if len(image.path) > _MAX_NAME:
            raise ImpossibleError(f"an image with a path of {len(image.path):,} characters")
        if not 0 <= image.label < len(study.classes):
            raise ImpossibleError(f"label {image.label} of image {row} among {len(study.classes)} classes")


def check_splits(splits: Sequence[Split], images: int) -> None:
    """Repeats from 0 in order, each with a fold for every image and no empty fold."""
    if [split.repeat for split in splits] != list(range(max(len(splits), 1))):
        raise ImpossibleError(f"the splits {[split.repeat for split in splits]}")
    for split in splits:
        if len(split.assignment) != images:
            raise ImpossibleError(f"folds of {len(split.assignment)} images where there are {images}")
        folds = np.unique(split.assignment[split.assignment != -1])
        if len(folds) < 2 or not np.array_equal(folds, np.arange(len(folds))):
            raise ImpossibleError(f"the folds {folds.tolist()[:10]}")


def check_probabilities(array: NDArray[np.float32], images: int, study: StudyRecord) -> None:
    """One row per validation image of the fold, one column per class."""
    if array.shape != (images, len(study.classes)):
        raise ImpossibleError(f"probabilities of the shape {array.shape} for {images} images in {study.classes}")


def check_choice(choice: ChoiceRecord, testing: int, study: StudyRecord, trained: frozenset[int]) -> None:
    """Members are `trained` trials (with a fold), their weights add up to 1, and there is one row per testing image."""
    if unknown := {choice.trial, *choice.pool, *(number for number, _ in choice.members)} - trained:
        raise ImpossibleError(f"a choice of trial {min(unknown)}, which has no finished fold")
    if choice.folds < 0:
        raise ImpossibleError(f"a choice made of {choice.folds} fold runs")
    if lost := [fold for fold in choice.left_out if fold is not None and fold < 0]:
        raise ImpossibleError(f"a choice trained without fold {lost[0]}")
    weights = [weight for _, weight in choice.members]
    if not weights or min(weights) <= 0 or not math.isclose(sum(weights), 1, abs_tol=_ROUNDING):
        raise ImpossibleError(f"a choice of the members {choice.members}")
    if choice.probabilities is not None:
        check_probabilities(choice.probabilities, testing, study)
    check_seconds(choice.seconds, "a choice")


def check_seconds(seconds: float, whose: str) -> None:
    """A possible duration of a process."""
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ImpossibleError(f"{seconds:g} seconds for {whose}")


def check_trials(
    trials: Sequence[TrialRecord], study: StudyRecord, split: Split, max_scores: Mapping[str, float]
) -> None:
    """Numbers from 0 in order, points of plain values, all folds of complete trials, possible scores.

    A score is between 0 and `max_scores` of its metric; metrics that are not in it are not checked. Trials of an
    explanation are in a database of its own, whose settings say what it explains.
    """
    folds, explains = int(split.assignment.max()) + 1, "explains" in study.config
    for number, trial in enumerate(trials):
        if trial.number != number:
            raise ImpossibleError(f"trial {trial.number} but no trial {number}")
        if (trial.origin is Origin.EXPLAIN) != explains:
            kind = "an explanation" if explains else "a search"
            raise ImpossibleError(f"trial {number} of the origin {str(trial.origin)!r} in the database of {kind}")
        for name, value in trial.params.items():
            if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
                raise ImpossibleError(f"{name} = {value!r} in trial {number}")
        for fold in trial.folds:
            _check_fold(fold, study.metric, folds, max_scores)
        done = sum(fold.repeat == 0 for fold in trial.folds)
        if trial.state is TrialState.COMPLETE and done != folds:
            raise ImpossibleError(f"only {done} of {folds} folds of the complete trial {number}")
        if trial.state is TrialState.RUNNING and done >= folds:
            raise ImpossibleError(f"all {folds} folds of trial {number} with that trial still open")
        if not 0 <= trial.redraws <= _MAX_REDRAWS:
            raise ImpossibleError(f"{trial.redraws} refused points before trial {number}")


def _check_fold(fold: FoldRecord, metric: str, folds: int, max_scores: Mapping[str, float]) -> None:
    whose = f"fold {fold.fold + 1} of trial {fold.trial}"
    if not 0 <= fold.fold < folds:
        raise ImpossibleError(f"{whose} where there are {folds} folds")
    if metric in max_scores and metric not in fold.scores:
        raise ImpossibleError(f"no {metric} of {whose}")
    for name, score in fold.scores.items():
        highest = max_scores.get(name)
        if highest is not None and (score < -_ROUNDING or score > highest + _ROUNDING):
            raise ImpossibleError(f"{name} {score:g} of {whose}")
    if not 0 <= fold.best_epoch <= fold.epochs or fold.parameters < 0:
        raise ImpossibleError(
            f"best epoch {fold.best_epoch} of {fold.epochs} and {fold.parameters} parameters of {whose}"
        )
    check_seconds(fold.seconds, whose)


def problem_of(record: FoldRecord | ReferenceRecord, images: int, classes: int) -> str | None:
    """Why a fold that is to be stored cannot be one, in words; None if it can. `images`: that it validates."""
    array = record.probabilities
    if record.fold < 0 or images == 0:
        return "no image is validated in that fold."
    if array is None or array.dtype != np.float32 or array.shape != (images, classes):
        received = "none" if array is None else f"{array.dtype} {array.shape}"
        return f"probabilities must be float32 {(images, classes)}, found {received}."
    if not (math.isfinite(record.seconds) and record.seconds >= 0):
        return f"seconds must be finite and not negative, not {record.seconds}."
    return None


def named(fold: FoldRecord | ReferenceRecord) -> str:
    """A fold in words, for messages."""
    if isinstance(fold, ReferenceRecord):
        return f"fold {fold.fold + 1} of reference {fold.name}"
    return f"fold {fold.fold + 1} of repeat {fold.repeat} of trial {fold.trial}"
