"""The lock-box: images drawn once for testing, in no fold; only the chosen model is tested on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from search.data.check import Checked
from search.data.folds import choose_folds, draw_folds
from search.data.images import ImageSet, with_testing
from search.errors import UsageError
from search.seeds import derive
from storage.records import ImageRecord, StudyRecord

MIN_IMAGES = 1000  # from which on a lock-box is drawn: with fewer, each image is worth more in training
PARTS = 6  # of equal size, of which one is held out: 17 % of the images
DRAWN = (
    "{locked} of {images} images were drawn and are locked away from the start: only what is chosen in the end is "
    "tested on them. --no-lock-box searches with all of them."
)
KEY = "lock_box"  # in a study's identity: the number of images in the lock-box


def holdout_mask(
    requested: bool | None,
    seed: int,
    images: ImageSet,
    checked: Checked,
    stored: StudyRecord | None,
    before: Sequence[ImageRecord],
) -> NDArray[np.bool_]:
    """[images], True: in the lock-box. It is that of the study if it has begun, else it is drawn from the seed.

    `requested`: by the user; None: not said. `seed`: of the study. `stored`: the study, if it has begun, with the
    images `before`; else None. The lock-box is empty where the user refuses it, has a testing folder or few images, or
    where a class has too few images to be in each part.
    """
    none = np.zeros(len(images.labels), np.bool_)
    begun_with = stored is not None and KEY in stored.config
    if requested is False or (stored is not None and not begun_with and requested is None):
        return none
    if begun_with:
        locked = {image.path for image in before if image.testing}
        return np.array([path in locked for path in images.paths], np.bool_)
    return draw_holdout(images, checked, derive(seed, KEY))


def draw_holdout(images: ImageSet, checked: Checked, seed: int) -> NDArray[np.bool_]:
    """[images], True: in the part whose size is nearest to its share; no group of copies is split."""
    grouping, none = checked.grouping, np.zeros(len(images.labels), np.bool_)
    if images.testing.any() or (~grouping.excluded).sum() < MIN_IMAGES:
        return none
    try:
        parts = draw_folds(images.labels, grouping.excluded, PARTS, seed, grouping.units)
    except UsageError:  # too few images or groups of a class
        return none
    sizes = np.bincount(parts[parts >= 0], minlength=PARTS)
    return np.asarray(parts == int(np.argmin(np.abs(sizes - sizes.sum() / PARTS))))


def hold_out(
    images: ImageSet, checked: Checked, locked: NDArray[np.bool_], folds: int | None, template: str = DRAWN
) -> tuple[ImageSet, Checked]:
    """The images with `locked`, [images], for testing and in no fold; `folds`: requested by the user, or None.

    `template`: a sentence on it, with {locked} and {images} in it. Images that were for testing before stay in no fold.
    Raises UsageError where the remaining images cannot be assigned to folds.
    """
    grouping = replace(checked.grouping, excluded=checked.grouping.excluded | locked)
    chosen, fewer = choose_folds(images.labels, grouping.excluded, folds, images.classes, grouping.units)
    sentence = template.format(locked=f"{locked.sum():,}", images=f"{(locked | ~grouping.excluded).sum():,}")
    sentences = (*checked.sentences, sentence, *([fewer] if fewer else []))
    return with_testing(images, locked), replace(checked, grouping=grouping, folds=chosen, sentences=sentences)
