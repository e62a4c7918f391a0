"""Augmentation: images and targets of the same shape, changed as the recipe says, and only by its random states."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spaces.recipe import AUGMENTATIONS, Recipe

SOME = tuple(name for name in AUGMENTATIONS if name != "none")
IMAGES = np.random.default_rng(3).uniform(0, 255, (6, 12, 10, 3)).astype(np.float32)
TARGETS = np.eye(3, dtype=np.float32)[[0, 1, 2, 0, 1, 2]]


def augmented(
    recipe: Recipe, images: NDArray[np.float32] = IMAGES, seed: int = 1
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    import keras

    from search.worker.augmentation import Augmentation

    keras.utils.set_random_seed(seed)
    found: list[Any] = [np.asarray(part) for part in Augmentation(recipe)(images, TARGETS)]
    return found[0], found[1]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", SOME)
def test_shapes_stay_and_pixels_stay_pixels(name: str, channels: int) -> None:
    images, targets = augmented(Recipe(augmentation=name), IMAGES[..., :channels])
    assert images.shape == (*IMAGES.shape[:3], channels)
    assert images.min() >= -1e-3
    assert images.max() <= 255 + 1e-3
    np.testing.assert_allclose(targets.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", SOME)
def test_the_same_seed_gives_the_same_and_another_one_does_not(name: str) -> None:
    recipe = Recipe(augmentation=name)
    one, again, other = augmented(recipe), augmented(recipe), augmented(recipe, seed=2)
    np.testing.assert_array_equal(one[0], again[0])
    assert not np.array_equal(one[0], other[0])


@pytest.mark.parametrize("name", SOME)
def test_only_mixing_changes_targets(name: str) -> None:
    mixed = not np.array_equal(augmented(Recipe(augmentation=name))[1], TARGETS)
    assert mixed == (name in ("mixup", "cutmix"))


def symmetric_under(axis: int, recipe: Recipe) -> bool:
    """Whether, over some seeds, no image is ever turned: dark stays on its side."""
    ramp = np.zeros((6, 12, 12, 1), np.float32)
    ramp[:] = np.moveaxis(np.linspace(0, 255, 12)[:, None], 0, axis - 1)[..., None]
    first, last = (np.take(ramp, rows, axis).mean() for rows in ([0, 1], [10, 11]))
    assert first < last
    turned = []
    for seed in range(4):
        images, _ = augmented(recipe, ramp, seed)
        low, high = (np.take(images, rows, axis).mean(axis=(1, 2, 3)) for rows in ([0, 1], [10, 11]))
        turned.append((low > high).any())
    return not any(turned)


@pytest.mark.parametrize("name", ["shift", "geometric", "question"])
def test_flips_are_those_that_are_allowed(name: str) -> None:
    assert symmetric_under(2, Recipe(augmentation=name, flip=False))
    assert not symmetric_under(2, Recipe(augmentation=name))
    assert symmetric_under(1, Recipe(augmentation=name))
    assert not symmetric_under(1, Recipe(augmentation=name, vertical_flip=True))
