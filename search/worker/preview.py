"""A sheet of augmented pictures: what a network is shown in training, to be looked at before a night is spent on it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from search.native import ENVIRONMENT, no_stderr
from spaces.recipe import AUGMENTATIONS, Recipe

MAX_PICTURES = 8  # in a row
SIDE = 112  # pixels of a picture on the sheet
GAP = 6
MARGIN = 110  # for the name of a row


def write_preview(pixels: NDArray[np.uint8], labels: NDArray[np.int16], target: Path, *, flip: bool) -> None:
    """Draw one row for each augmentation into a PNG file: the same pictures, as many of each class as fit.

    `pixels` is [images, height, width, channels], `labels` [images].
    With `flip`, the last row is turned upside down as well, as where `vertical_flip` is chosen.
    Seconds: TensorFlow is imported. Raises OSError where `target` cannot be written.
    """
    os.environ.update(ENVIRONMENT)
    with no_stderr():  # TensorFlow greets there, and again when its first operation looks for GPUs
        import keras

        from search.worker.augmentation import Augmentation

        keras.ops.zeros(())

    rows = _some(labels)
    shown = pixels[rows].astype(np.float32)
    targets = np.eye(int(labels.max()) + 1, dtype=np.float32)[labels[rows]]
    recipes = _recipes(flip=flip)
    sheet = Image.new("RGB", (MARGIN + len(rows) * (SIDE + GAP), len(recipes) * (SIDE + GAP) + GAP), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for place, (name, recipe) in enumerate(recipes.items()):
        keras.utils.set_random_seed(1)
        changed, _ = Augmentation(recipe)(shown, targets)
        top = GAP + place * (SIDE + GAP)
        draw.text((GAP, top + SIDE // 2 - 8), name, "black", font)
        for number, picture in enumerate(np.asarray(changed)):
            sheet.paste(_drawn(picture), (MARGIN + number * (SIDE + GAP), top))
    sheet.save(target, "PNG")


def _recipes(*, flip: bool) -> dict[str, Recipe]:
    """Name of a row -> what is done in it."""
    recipes = {name: Recipe(augmentation=name, flip=flip) for name in AUGMENTATIONS}
    if flip:  # without it no space has a vertical flip
        recipes["shift, and\nvertical_flip"] = Recipe(augmentation="shift", flip=True, vertical_flip=True)
    return recipes


def _some(labels: NDArray[np.int16]) -> list[int]:
    """Rows of pictures, the classes in turn."""
    classes = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    turns = [int(rows[turn]) for turn in range(MAX_PICTURES) for rows in classes if turn < len(rows)]
    return turns[:MAX_PICTURES]


def _drawn(picture: NDArray[np.float32]) -> Image.Image:
    """A picture [height, width, 1 or 3] of 0..255 as a square of SIDE."""
    whole = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    return Image.fromarray(whole if whole.shape[-1] == 3 else whole[..., 0]).convert("RGB").resize((SIDE, SIDE))
