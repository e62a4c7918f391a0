"""The sheet of augmented pictures: a row for everything that a space may choose, on the pictures themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from search.data.images import ImageSet, read_images
from search.worker.preview import GAP, MARGIN, SIDE, write_preview
from spaces.recipe import AUGMENTATIONS

PICTURES = 8


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    """All dark above and bright below, in two classes."""
    root = tmp_path_factory.mktemp("preview")
    for number in range(PICTURES):
        pixels = np.full((16, 16), 230, np.uint8)
        pixels[:8, :] = 20 + number
        (root / f"class_{number % 2}").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(root / f"class_{number % 2}" / f"{number}.png")
    return read_images(root)


def rows(images: ImageSet, target: Path, *, flip: bool) -> list[NDArray[np.float64]]:
    """For each row, how much brighter each of its pictures is below than above."""
    write_preview(images.pixels, images.labels, target, flip=flip)
    with Image.open(target) as sheet:
        drawn = np.asarray(sheet.convert("L"), np.float64)[GAP:, MARGIN:]
    assert (drawn.shape[0] % (SIDE + GAP), drawn.shape[1] % (SIDE + GAP)) == (0, 0)
    pictures = drawn.reshape(-1, SIDE + GAP, PICTURES, SIDE + GAP)[:, :SIDE, :, :SIDE]
    half = SIDE // 2
    return list(pictures[:, half:].mean(axis=(1, 3)) - pictures[:, :half].mean(axis=(1, 3)))


def test_where_pictures_may_be_flipped_the_last_row_turns_some_upside_down(images: ImageSet, tmp_path: Path) -> None:
    *others, vertical = rows(images, tmp_path / "sheet.png", flip=True)
    assert len(others) == len(AUGMENTATIONS)
    assert (others[AUGMENTATIONS.index("shift")] > 0).all()
    assert (vertical > 0).any() and (vertical < 0).any()


def test_without_flips_there_is_no_such_row(images: ImageSet, tmp_path: Path) -> None:
    assert len(rows(images, tmp_path / "sheet.png", flip=False)) == len(AUGMENTATIONS)
