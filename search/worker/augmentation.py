"""Augmentation of a batch inside the graph, from Keras's own layers. Imports Keras: for workers and the preview."""

from __future__ import annotations

from typing import Any

import keras

from spaces.recipe import Recipe

SHIFT = 0.1  # of the side; what is uncovered repeats the edge
ROTATION = 0.05  # of a whole turn: 18 degrees to either side
ZOOM = 0.2
SHEAR = 0.2  # also of the question
MIXUP_ALPHA = 0.2  # arXiv 1710.09412, the value for ImageNet
STRENGTH = 0.3  # of RandAugment, in 0..1; its operations take turns, two an image


class Augmentation:
    """Turns batches of images (float32 0..255) and their targets into others of the same shapes, in training only."""

    def __init__(self, recipe: Recipe) -> None:
        """Layers whose seeds come from Keras's global one."""
        self._layers = _layers(recipe)
        self._mix: Any = {"mixup": lambda: keras.layers.MixUp(MIXUP_ALPHA), "cutmix": keras.layers.CutMix}.get(
            recipe.augmentation, lambda: None
        )()

    @property
    def parts(self) -> tuple[list[keras.layers.Layer], keras.layers.Layer | None]:
        """(The layers on images alone in their order, the one that mixes images of a batch, or None)."""
        return self._layers, self._mix

    @property
    def variables(self) -> list[Any]:
        """The states of its random generators, in a fixed order."""
        layers = [*self._layers, self._mix] if self._mix else self._layers
        return [variable for layer in layers for variable in layer.variables]

    def __call__(self, images: Any, targets: Any) -> tuple[Any, Any]:
        """A batch [batch, height, width, channels] with targets [batch, columns], changed at random."""
        for layer in self._layers:
            images = layer(images, training=True)
        if self._mix is None:
            return images, targets
        mixed = self._mix({"images": images, "labels": targets}, training=True)
        return mixed["images"], mixed["labels"]


def _layers(recipe: Recipe) -> list[keras.layers.Layer]:
    """The layers on images alone, in the order in which they act."""
    edge = {"fill_mode": "nearest"}
    layers: list[keras.layers.Layer] = []
    if recipe.augmentation == "none":
        return layers
    if recipe.flip or recipe.vertical_flip:
        mode = "horizontal_and_vertical" if recipe.flip and recipe.vertical_flip else "horizontal"
        layers.append(keras.layers.RandomFlip(mode))
    if recipe.augmentation == "question":
        return [
            keras.layers.RandomShear(SHEAR, 0.0, **edge),
            keras.layers.RandomZoom((-ZOOM, ZOOM), **edge),
            *layers,
        ]
    layers.append(keras.layers.RandomTranslation(SHIFT, SHIFT, **edge))
    if recipe.augmentation == "geometric":
        layers += [
            keras.layers.RandomRotation(ROTATION, **edge),
            keras.layers.RandomZoom((-ZOOM, ZOOM), **edge),
            keras.layers.RandomShear(SHEAR, SHEAR, **edge),
        ]
    if recipe.augmentation == "randaugment":
        layers.append(keras.layers.RandAugment((0, 255), factor=STRENGTH))
    return layers
