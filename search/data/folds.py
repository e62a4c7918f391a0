"""Folds: in which of them each training image validates. Drawn once from the study's seed, then stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.data.images import ImageSet
from search.errors import UsageError
from search.text import printable
from storage.records import ImageRecord

USUAL_FOLDS = 5
MIN_FOLDS = 2
_ATTEMPTS = 10  # to draw folds with groups in which each fold has every class


def choose_folds(
    labels: NDArray[np.int16],
    excluded: NDArray[np.bool_],
    requested: int | None,
    classes: Sequence[str] = (),
    units: NDArray[np.int32] | None = None,
) -> tuple[int, str | None]:
    """How many folds to draw.

    Args:
        labels: [images], class of each image.
        excluded: [images], True: not trained on.
        requested: by the user; None: five, or as many as the rarest class has independent training images.
        classes: names of the classes, for messages.
        units: [images], equal for images that stay in one fold; None: no image is bound to another.

    Returns:
        The number of folds, and a sentence where it is lower than usual.

    Raises:
        UsageError: fewer than two folds are requested, or more than the rarest class has units of training images.
    """
    if requested is not None and requested < MIN_FOLDS:
        raise UsageError(f"folds: must be at least {MIN_FOLDS}, but got {requested}. Leave it out for {USUAL_FOLDS}.")
    rarest, count, images = _rarest(labels, excluded, units, classes)
    name = _named(rarest, classes)
    grouped = "" if count == images else f", of which {count} are independent of each other"
    has = f"{images} training {'image' if images == 1 else 'images'}{grouped}"
    if count < MIN_FOLDS:
        step = "Add images to it" + (", look at its copies and groups (`search check IMAGES`)," if grouped else ",")
        raise UsageError(
            f"folds: {name} has {has}, and at least {MIN_FOLDS} are needed: one to "
            f"learn from, one to judge by. {step} or move its folder away."
        )
    if requested is not None and requested > count:
        independent = "independent " if grouped else ""
        raise UsageError(
            f"folds: must be at most the number of {independent}training images of the rarest class ({name} has "
            f"{has if grouped else count}), so that each fold holds one, but got {requested}. "
            f"Ask for {count} or fewer, or add images to it."
        )
    if requested is not None:
        return requested, None
    if count < USUAL_FOLDS:
        only = f"has {has}" if grouped else f"has only {count} training images"
        return count, f"{count} folds instead of {USUAL_FOLDS}: {name} {only}."
    return USUAL_FOLDS, None


def draw_folds(
    labels: NDArray[np.int16],
    excluded: NDArray[np.bool_],
    folds: int,
    seed: int,
    units: NDArray[np.int32] | None = None,
    classes: Sequence[str] = (),
) -> NDArray[np.int16]:
    """Assign the training images to folds, each class as evenly as possible.

    Args:
        labels: [images], class of each image.
        excluded: [images], True: in no fold.
        folds: at least 2, at most the rarest class's number of training images, or of units of them.
        seed: any integer; equal seeds give equal folds. Only its lowest 32 bits are used.
        units: [images], equal for images that stay in one fold; None: no image is bound to another.
        classes: names of the classes, for messages.

    Returns:
        [images], the fold in which each image is validated, 0 to folds - 1; -1 for excluded images.

    Raises:
        UsageError: `folds` does not suit the images (see `choose_folds`), or units of several classes cannot be
            assigned so that every fold has images and leaves each class images to learn from.
    """
    choose_folds(labels, excluded, folds, classes, units)
    rows = np.flatnonzero(~excluded)
    if units is None or len(np.unique(units[rows])) == len(rows):
        return _assign(labels, rows, folds, seed, None)
    best: NDArray[np.int16] | None = None
    for attempt in range(_ATTEMPTS):
        assignment = _assign(labels, rows, folds, seed + attempt, units)
        counts = _counts(labels, assignment, folds)
        if (counts > 0).all():
            return assignment
        if best is None and _usable(counts):
            best = assignment
    if best is None:
        alone = (counts > 0).sum(axis=0) < MIN_FOLDS
        which = f" ({_named(int(np.unique(labels[rows])[alone][0]), classes)} is in one alone)" if alone.any() else ""
        raise UsageError(
            f"folds: groups and copies that hold several classes cannot be assigned to {folds} folds so that each has "
            f"images and leaves every class images to learn from{which}. Ask for fewer folds, or for smaller groups."
        )
    return best


def not_validated(labels: NDArray[np.int16], assignment: NDArray[np.int16], classes: Sequence[str]) -> str | None:
    """A sentence where groups left a fold without images of some class; None where each fold has every class.

    Args:
        labels: [images], class of each image.
        assignment: [images], the fold that validates each, -1: none.
        classes: names of the classes.
    """
    counts = _counts(labels, assignment, int(assignment.max()) + 1)
    present = np.unique(labels[assignment >= 0])
    missing = [(fold, int(present[column])) for fold, column in np.argwhere(counts == 0)]
    if not missing:
        return None
    fold, label = missing[0]
    others = f" (one of {len(missing)} such gaps)" if missing[1:] else ""
    return (
        f"Fold {fold} has no image of {_named(label, classes)} to judge by{others}, since groups and copies stay "
        "together: its score is that of the other classes. Use fewer folds or smaller groups."
    )


def _assign(
    labels: NDArray[np.int16], rows: NDArray[np.intp], folds: int, seed: int, units: NDArray[np.int32] | None
) -> NDArray[np.int16]:
    # Here, since it takes over a second to import.
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    kind = StratifiedKFold if units is None else StratifiedGroupKFold
    splitter = kind(folds, shuffle=True, random_state=seed % 2**32)
    assignment = np.full(len(labels), -1, np.int16)
    groups = None if units is None else units[rows]
    for fold, (_, validation) in enumerate(splitter.split(np.zeros(len(rows)), labels[rows], groups)):
        assignment[rows[validation]] = fold
    return assignment


def _counts(labels: NDArray[np.int16], assignment: NDArray[np.int16], folds: int) -> NDArray[np.intp]:
    """[folds, classes that are trained on]: images of each."""
    present = np.unique(labels[assignment >= 0])
    return np.stack([np.bincount(assignment[(labels == c) & (assignment >= 0)], minlength=folds) for c in present], 1)


def _usable(counts: NDArray[np.intp]) -> bool:
    """Whether each fold has images, and each class is in two folds or more."""
    return bool((counts.sum(axis=1) > 0).all() and ((counts > 0).sum(axis=0) > 1).all())


def fold_rows(assignment: NDArray[np.int16], fold: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """(training, validation) rows of a fold, ascending, from the fold [images] that validates each, -1: none."""
    train, validate = np.flatnonzero((assignment != fold) & (assignment >= 0)), np.flatnonzero(assignment == fold)
    return train.astype(np.int32), validate.astype(np.int32)


def image_records(images: ImageSet) -> list[ImageRecord]:
    """The images as the study stores them, in the order of the pixel array."""
    columns = zip(images.paths, images.labels.tolist(), images.testing.tolist(), images.digests, strict=True)
    return [ImageRecord(row, *values) for row, values in enumerate(columns)]


def _rarest(
    labels: NDArray[np.int16], excluded: NDArray[np.bool_], units: NDArray[np.int32] | None, classes: Sequence[str]
) -> tuple[int, int, int]:
    """The class with the fewest units among its training images, its number of units, and of training images.

    Raises:
        UsageError: there is no training image at all, or none of a class.
    """
    present = np.unique(labels[~excluded])
    missing = [label for label in range(len(classes)) if label not in present]
    if missing:
        raise UsageError(
            f"folds: every training image of {_named(missing[0], classes)} is a copy of a testing image, or of a "
            "group that has one, so none is left to learn from. Take those out of one of the two folders; `search "
            "check` shows copies."
        )
    if not len(present):
        raise UsageError(f"folds: no training images among {len(labels)}. Put images to learn from into 'training'.")
    units_ = np.arange(len(labels)) if units is None else units
    counts = [len(np.unique(units_[(labels == label) & ~excluded])) for label in present]
    rarest = int(np.argmin(counts))
    label = int(present[rarest])
    return label, counts[rarest], int(((labels == label) & ~excluded).sum())


def _named(label: int, classes: Sequence[str]) -> str:
    return f"class '{printable(classes[label])}'" if label < len(classes) else f"class number {label}"
