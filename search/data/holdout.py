"""Images that are locked away: drawn once for testing, in no fold, and asked about once, by the choice."""

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

MIN_IMAGES = 1000  # from which on one is drawn: of fewer each is worth more to learn from
PARTS = 6  # equal ones, of which one is locked away: 17 % of the images
DRAWN = (
    "{locked} of {images} images were drawn and are locked away from the start: only what is chosen in the end is "
    "tested on them. --no-lock-box searches with all of them."
)
KEY = "lock_box"  # in a study's identity: how many images are locked away


def holdout_mask(
    asked: bool | None,
    seed: int,
    images: ImageSet,
    checked: Checked,
    stored: StudyRecord | None,
    before: Sequence[ImageRecord],
) -> NDArray[np.bool_]:
    """[images], True: locked away. Of a study that has begun those that are stored, else drawn from its seed.

    `asked`: what the user says, None: nothing. `seed`: the study's. `stored`: the study that has begun, with the images
    `before`, else None. None is locked away where the user refuses, has a testing folder or has few images, or where a
    class has too few to be in each part.
    """
    none = np.zeros(len(images.labels), np.bool_)
    begun_with = stored is not None and KEY in stored.config
    if asked is False or (stored is not None and not begun_with and asked is None):
        return none
    if begun_with:
        locked = {image.path for image in before if image.testing}
        return np.array([path in locked for path in images.paths], np.bool_)
    return draw_holdout(images, checked, derive(seed, KEY))


def draw_holdout(images: ImageSet, checked: Checked, seed: int) -> NDArray[np.bool_]:
    """[images], True: of the part that is nearest to its share in size; no copy or group is split."""
    together, none = checked.together, np.zeros(len(images.labels), np.bool_)
    if images.testing.any() or (~together.apart).sum() < MIN_IMAGES:
        return none
    try:
        parts = draw_folds(images.labels, together.apart, PARTS, seed, together.units)
    except UsageError:  # too few images or groups of a class
        return none
    sizes = np.bincount(parts[parts >= 0], minlength=PARTS)
    return np.asarray(parts == int(np.argmin(np.abs(sizes - sizes.sum() / PARTS))))


def hold_out(
    images: ImageSet, checked: Checked, locked: NDArray[np.bool_], folds: int | None, said: str = DRAWN
) -> tuple[ImageSet, Checked]:
    """The images with these, `locked` [images], for testing and in no fold; `folds`: asked for, or None.

    `said`: a sentence on it, with {locked} and {images} in it.
    What was for testing before stays in no fold. Raises UsageError where what is left cannot be dealt to folds.
    """
    together = replace(checked.together, apart=checked.together.apart | locked)
    chosen, fewer = choose_folds(images.labels, together.apart, folds, images.classes, together.units)
    sentence = said.format(locked=f"{locked.sum():,}", images=f"{(locked | ~together.apart).sum():,}")
    sentences = (*checked.sentences, sentence, *([fewer] if fewer else []))
    return with_testing(images, locked), replace(checked, together=together, folds=chosen, sentences=sentences)
