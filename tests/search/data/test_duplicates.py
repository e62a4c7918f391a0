"""Copies of real-looking pictures are found whatever was done to them; different pictures are not taken for copies."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageOps

from search.data import duplicates
from search.data.duplicates import MAX_PAIRS, NearDuplicates, Pair, exact_copies, near_copies

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


def near(images: list[Image.Image]) -> NearDuplicates:
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
    assert [(pair.first, pair.second, pair.exact, pair.mirrored) for pair in found.pairs] == [(5, 12, False, mirrored)]
    assert 0.98 <= found.pairs[0].likeness <= 1
    assert found.parts[5] == found.parts[12]
    assert len(set(found.parts.tolist())) == 12


def test_different_pictures_are_no_copies() -> None:
    found = near(pictures(600))
    assert found.pairs == ()
    assert len(set(found.parts.tolist())) == 600


def test_small_noise_with_a_bright_half_is_no_copy_of_its_like() -> None:
    """Pictures such as the other tests search, which must stay in folds of their own."""
    pixels = np.random.default_rng(0).integers(0, 100, (200, 8, 8, 1), np.uint8)
    pixels[:, :4] += 150
    assert near_copies(pixels, [str(number) for number in range(200)]).pairs == ()


def test_a_picture_of_next_to_nothing_is_like_no_other() -> None:
    pixels = np.stack([np.full((8, 8, 1), value, np.uint8) for value in (0, 100, 101, 255)])
    assert near_copies(pixels, list("abcd")).pairs == ()


def test_a_symmetric_picture_has_its_copy_once() -> None:
    (half,) = pictures(1)
    symmetric = Image.fromarray(np.asarray(half) // 2 + np.asarray(ImageOps.mirror(half)) // 2)
    found = near([symmetric, compressed(symmetric)])
    assert [(pair.first, pair.second) for pair in found.pairs] == [(0, 1)]


def test_where_many_are_alike_few_pairs_are_told_and_all_are_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """In several blocks, with others between."""
    monkeypatch.setattr(duplicates, "_BLOCK", 16)
    (scene,), others = pictures(1), pictures(20, seed=2)
    generator = np.random.default_rng(1)
    shots = [
        Image.fromarray(np.asarray(scene) + generator.integers(0, 4, (SIDE, SIDE, 3), np.uint8)) for _ in range(40)
    ]
    found = near([*shots[:20], *others, *shots[20:]])
    rows = [*range(20), *range(40, 60)]
    assert MAX_PAIRS * 40 < 40 * 39 / 2
    assert max(Counter(pair.first for pair in found.pairs).values()) == MAX_PAIRS
    assert {row for pair in found.pairs for row in (pair.first, pair.second)} <= {*rows}
    assert len(set(found.parts[rows].tolist())) == 1
    assert len(set(found.parts.tolist())) == 21


def test_of_many_that_are_alike_the_most_alike_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "MAX_PAIRS", 1)
    (scene,) = pictures(1)
    noise = np.random.default_rng(1).integers(0, 2, (SIDE, SIDE, 3), np.uint8)
    shots = [Image.fromarray(np.asarray(scene) + strength * noise) for strength in (0, 3, 1)]
    assert [(pair.first, pair.second) for pair in near(shots).pairs] == [(0, 2), (1, 2)]


def test_the_same_pixels_are_compared_with_others_once() -> None:
    originals = pictures(4)
    images = [*originals, originals[2], compressed(originals[2])]
    digests = ["a", "b", "c", "d", "c", "e"]
    assert exact_copies(digests) == (Pair(2, 4, True),)
    found = near_copies(array(images), digests)
    assert [(pair.first, pair.second) for pair in found.pairs] == [(2, 5)]


def test_exact_copies_name_the_first_of_each() -> None:
    assert exact_copies(["x", "y", "x", "x"]) == (Pair(0, 2, True), Pair(0, 3, True))
