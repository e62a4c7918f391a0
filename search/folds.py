"""Folds: which training image is validated when. Drawn once from the study's seed, then stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.images import ImageSet
from search.text import printable
from storage.records import ImageRecord

USUAL_FOLDS = 5
LEAST_FOLDS = 2


def choose_folds(
    labels: NDArray[np.int16],
    testing: NDArray[np.bool_],
    asked: int | None,
    classes: Sequence[str] = (),
) -> tuple[int, str | None]:
    """How many folds to draw.

    Args:
        labels: [images], class of each image.
        testing: [images], True: not trained on.
        asked: as the user wants it; None: five, or as many as the rarest class has training images.
        classes: names of the classes, for messages.

    Returns:
        The number of folds, and a sentence where it is lower than usual.

    Raises:
        UsageError: fewer than two folds asked, or more than the rarest class has training images.
    """
    if asked is not None and asked < LEAST_FOLDS:
        raise UsageError(f"folds: must be at least {LEAST_FOLDS}, but got {asked}. Leave it out for {USUAL_FOLDS}.")
    rarest, count = _rarest(labels, testing)
    name = f"class '{printable(classes[rarest])}'" if rarest < len(classes) else f"class number {rarest}"
    if count < LEAST_FOLDS:
        raise UsageError(
            f"folds: {name} has {count} training image, and at least {LEAST_FOLDS} are needed: one to "
            "learn from, one to judge by. Add images to it, or move its folder away."
        )
    if asked is not None and asked > count:
        raise UsageError(
            f"folds: must be at most the number of training images of the rarest class ({name} has {count}), "
            f"so that each fold holds one, but got {asked}. Ask for {count} or fewer, or add images to it."
        )
    if asked is not None:
        return asked, None
    if count < USUAL_FOLDS:
        return count, f"{count} folds instead of {USUAL_FOLDS}: {name} has only {count} training images."
    return USUAL_FOLDS, None


def draw_folds(labels: NDArray[np.int16], testing: NDArray[np.bool_], folds: int, seed: int) -> NDArray[np.int16]:
    """Deal the training images to folds, each class as evenly as it goes.

    Args:
        labels: [images], class of each image.
        testing: [images], True: in no fold.
        folds: at least 2, at most the rarest class's number of training images.
        seed: any integer; equal seeds give equal folds. Its lowest 32 bits count.

    Returns:
        [images], the fold in which each image is validated, 0 to folds - 1; -1 for testing images.

    Raises:
        UsageError: `folds` does not suit the images; see `choose_folds`.
    """
    # Here, since it takes over a second to import.
    from sklearn.model_selection import StratifiedKFold

    choose_folds(labels, testing, folds)
    rows = np.flatnonzero(~testing)
    assignment = np.full(len(labels), -1, np.int16)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed % 2**32)
    for fold, (_, validation) in enumerate(splitter.split(np.zeros(len(rows)), labels[rows])):
        assignment[rows[validation]] = fold
    return assignment


def fold_rows(assignment: NDArray[np.int16], fold: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(training, validation) rows of a fold, ascending, from the fold [images] that validates each, -1: none."""
    train, validate = np.flatnonzero((assignment != fold) & (assignment >= 0)), np.flatnonzero(assignment == fold)
    return train.astype(np.int32), validate.astype(np.int32)


def image_records(images: ImageSet) -> list[ImageRecord]:
    """The images as the study stores them, in the order of the pixel array."""
    columns = zip(images.paths, images.labels.tolist(), images.testing.tolist(), images.digests, strict=True)
    return [ImageRecord(row, *values) for row, values in enumerate(columns)]


def _rarest(labels: NDArray[np.int16], testing: NDArray[np.bool_]) -> tuple[int, int]:
    """The class with the fewest training images, and how many it has.

    Raises:
        UsageError: there is no training image at all.
    """
    present, counts = np.unique(labels[~testing], return_counts=True)
    if not len(present):
        raise UsageError(f"folds: no training images among {len(labels)}. Put images to learn from into 'training'.")
    least = int(np.argmin(counts))
    return int(present[least]), int(counts[least])
