"""Copies of real-looking pictures are found whatever was done to them; different pictures are not taken for copies."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from search.copies import MOST_PAIRS, Pair, exact_copies, near_copies

SIDE = 64


def pictures(count: int, seed: int = 0) -> list[Image.Image]:
    """Colourful scenes of large blurred shapes with fine noise, all different."""
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        coarse = Image.fromarray(generator.integers(0, 200, (6, 6, 3), np.uint8)).resize(
            (SIDE, SIDE), Image.Resampling.BICUBIC
        )
        noise = generator.integers(0, 12, (SIDE, SIDE, 1), np.uint8)
        found.append(Image.fromarray(np.asarray(coarse) // 2 + 20 + noise))
    return found


def array(images: list[Image.Image]) -> NDArray[np.uint8]:
    resized = [image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR) for image in images]
    return np.stack([np.asarray(image) for image in resized])


def near(images: list[Image.Image]) -> tuple[Pair, ...] | None:
    return near_copies(array(images), [str(number) for number in range(len(images))])


def compressed(image: Image.Image) -> Image.Image:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=60)
    return Image.open(stream)


@pytest.mark.parametrize(
    ("change", "mirrored"),
    [
        (lambda image: image.resize((40, 44)), False),
        (compressed, False),
        (lambda image: ImageEnhance.Brightness(image).enhance(1.15), False),
        (lambda image: ImageEnhance.Contrast(image).enhance(0.8), False),
        (lambda image: image.convert("L"), False),
        (ImageOps.mirror, True),
        (lambda image: compressed(ImageOps.mirror(image)), True),
    ],
    ids=["resized", "compressed", "brighter", "paler", "grey", "mirrored", "mirrored and compressed"],
)
def test_a_changed_copy_is_found_among_others(change: Callable[[Image.Image], Image.Image], mirrored: bool) -> None:
    originals = pictures(12)
    found = near([*originals, change(originals[5])])
    assert found is not None
    assert [(pair.first, pair.second, pair.exact, pair.mirrored) for pair in found] == [(5, 12, False, mirrored)]
    assert 0.98 <= found[0].likeness <= 1


def test_different_pictures_are_no_copies() -> None:
    assert near(pictures(600)) == ()


def test_small_noise_with_a_bright_half_is_no_copy_of_its_like() -> None:
    """Pictures such as the other tests search, which must stay in folds of their own."""
    pixels = np.random.default_rng(0).integers(0, 100, (200, 8, 8, 1), np.uint8)
    pixels[:, :4] += 150
    assert near_copies(pixels, [str(number) for number in range(200)]) == ()


def test_a_picture_of_next_to_nothing_is_like_no_other() -> None:
    pixels = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 100, 101, 255)])
    assert near_copies(pixels, list("abcd")) == ()


def test_a_symmetric_picture_has_its_copy_once() -> None:
    (half,) = pictures(1)
    symmetric = Image.fromarray(np.asarray(half) // 2 + np.asarray(ImageOps.mirror(half)) // 2)
    found = near([symmetric, compressed(symmetric)])
    assert found is not None
    assert [(pair.first, pair.second) for pair in found] == [(0, 1)]


def test_pictures_that_are_all_alike_are_not_told_one_by_one() -> None:
    (scene,) = pictures(1)
    generator = np.random.default_rng(1)
    shots = [
        Image.fromarray(np.asarray(scene) + generator.integers(0, 4, (SIDE, SIDE, 3), np.uint8)) for _ in range(40)
    ]
    assert MOST_PAIRS * 40 < 40 * 39 / 2
    assert near(shots) is None


def test_the_same_pixels_are_compared_with_others_once() -> None:
    originals = pictures(4)
    images = [*originals, originals[2], compressed(originals[2])]
    digests = ["a", "b", "c", "d", "c", "e"]
    assert exact_copies(digests) == (Pair(2, 4, True),)
    found = near_copies(array(images), digests)
    assert found is not None
    assert [(pair.first, pair.second) for pair in found] == [(2, 5)]


def test_exact_copies_name_the_first_of_each() -> None:
    assert exact_copies(["x", "y", "x", "x"]) == (Pair(0, 2, True), Pair(0, 3, True))
