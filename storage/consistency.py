"""What a study can be. A database changed by hand holds valid SQL and still no study: found here, where it is read.

Each function raises ImpossibleError for records, valid one by one, that this program never writes together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from storage.errors import ImpossibleError
from storage.records import ChoiceRecord, FoldRecord, ImageRecord, Split, StudyRecord, TrialRecord, TrialState

_MAX_SECONDS = 1e9  # thirty years
MAX_SCORE = {"balanced_accuracy": 1.0, "accuracy": 1.0, "auroc": 1.0, "log_loss": math.inf}
_MAX_REDRAWS = 10_000
_ROUNDING = 1e-6


def check_study(study: StudyRecord) -> None:
    """Classes to tell apart, and images with pixels."""
    if len(set(study.classes)) < max(len(study.classes), 2):
        raise ImpossibleError(f"the classes {list(study.classes)}")
    if min(study.image_shape) < 1:
        raise ImpossibleError(f"images of the shape {study.image_shape}")


def check_images(images: Sequence[ImageRecord], study: StudyRecord) -> None:
    """Rows from 0 in order, each label one of the classes."""
    for row, image in enumerate(images):
        if image.row != row:
            raise ImpossibleError(f"no image in row {row}")
        if not 0 <= image.label < len(study.classes):
            raise ImpossibleError(f"label {image.label} of image {row} among {len(study.classes)} classes")


def check_splits(splits: Sequence[Split], images: int) -> None:
    """Repeats from 0 in order, each with a fold for every image and an image for every fold."""
    if [split.repeat for split in splits] != list(range(max(len(splits), 1))):
        raise ImpossibleError(f"the splits {[split.repeat for split in splits]}")
    for split in splits:
        if len(split.assignment) != images:
            raise ImpossibleError(f"folds of {len(split.assignment)} images where there are {images}")
        folds = np.unique(split.assignment[split.assignment != -1])
        if len(folds) < 2 or not np.array_equal(folds, np.arange(len(folds))):
            raise ImpossibleError(f"the folds {folds.tolist()[:10]}")


def check_probabilities(array: NDArray[np.float32], images: int, study: StudyRecord) -> None:
    """A row for each image that the fold validates, a column for each class."""
    if array.shape != (images, len(study.classes)):
        raise ImpossibleError(f"probabilities of the shape {array.shape} for {images} images in {study.classes}")


def check_choice(choice: ChoiceRecord, testing: int, study: StudyRecord, complete: frozenset[int]) -> None:
    """Members among the `complete` trials whose weights add up to 1, and a row for each testing image."""
    if unknown := {choice.trial, *choice.pool, *(number for number, _ in choice.members)} - complete:
        raise ImpossibleError(f"a choice of trial {min(unknown)}, which is not complete")
    if choice.folds < 0:
        raise ImpossibleError(f"a choice made of {choice.folds} fold runs")
    weights = [weight for _, weight in choice.members]
    if not weights or min(weights) <= 0 or not math.isclose(sum(weights), 1, abs_tol=_ROUNDING):
        raise ImpossibleError(f"a choice of the members {choice.members}")
    if choice.probabilities is not None:
        check_probabilities(choice.probabilities, testing, study)
    check_seconds(choice.seconds, "a choice")


def check_seconds(seconds: float, whose: str) -> None:
    """A time that a process can have taken."""
    if not 0 <= seconds <= _MAX_SECONDS:
        raise ImpossibleError(f"{seconds:g} seconds for {whose}")


def check_trials(trials: Sequence[TrialRecord], study: StudyRecord, split: Split) -> None:
    """Numbers from 0 in order, flat points, and for a complete trial every fold of the search with its score."""
    folds = int(split.assignment.max()) + 1
    for number, trial in enumerate(trials):
        if trial.number != number:
            raise ImpossibleError(f"trial {trial.number} but no trial {number}")
        for name, value in trial.params.items():
            if not isinstance(value, str | int | float) or (isinstance(value, float) and not math.isfinite(value)):
                raise ImpossibleError(f"{name} = {value!r} in trial {number}")
        for fold in trial.folds:
            _check_fold(fold, study.metric, folds)
        done = sum(fold.repeat == 0 for fold in trial.folds)
        if trial.state is TrialState.COMPLETE and done != folds:
            raise ImpossibleError(f"only {done} of {folds} folds of the complete trial {number}")
        if trial.state is TrialState.RUNNING and done >= folds:
            raise ImpossibleError(f"all {folds} folds of trial {number} with that trial still open")
        if not 0 <= trial.redraws <= _MAX_REDRAWS:
            raise ImpossibleError(f"{trial.redraws} refused points before trial {number}")


def _check_fold(fold: FoldRecord, metric: str, folds: int) -> None:
    whose = f"fold {fold.fold} of trial {fold.trial}"
    if not 0 <= fold.fold < folds:
        raise ImpossibleError(f"{whose} where there are {folds} folds")
    if metric in MAX_SCORE and metric not in fold.scores:
        raise ImpossibleError(f"no {metric} of {whose}")
    for name, score in fold.scores.items():
        most = MAX_SCORE.get(name)
        if most is not None and (score < -_ROUNDING or score > most + _ROUNDING):
            raise ImpossibleError(f"{name} {score:g} of {whose}")
    if not 0 <= fold.best_epoch <= fold.epochs or fold.parameters < 0:
        raise ImpossibleError(
            f"best epoch {fold.best_epoch} of {fold.epochs} and {fold.parameters} parameters of {whose}"
        )
    check_seconds(fold.seconds, whose)
