"""Seeing new images as a model's file remembers its training images: by the model itself, or by a network outside."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.manifest import Outside, Remembered
from spaces.backbones import style
from spaces.backbones.lite import PACKAGED
from spaces.presets.frozen import View


def seeing(network: Any, known: Remembered) -> Any:
    """A keras.Model that gives ([images, classes], then of each of `known.known` [images, width]), with its weights.

    The style is that of the passes through a backbone on which the features depend, averaged as these are. Raises
    ValueError if what is remembered is not of this network.
    """
    import keras

    passes = _Passes(known.layer)
    answering = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=passes.call)
    width = known.seen.features.shape[1]
    if passes.features is None or passes.features.shape[-1] < width:
        raise ValueError(f"it has no layer {known.layer!r} of {width} numbers")
    if known.style is not None and (not passes.maps or known.style_map >= min(map(len, passes.maps))):
        raise ValueError(f"its features are of no network with {known.style_map + 1} maps")
    styled = [maps[known.style_map] for maps in passes.maps] if known.style else []
    seen = _seen_layer(width)([passes.features, *styled])
    if [output.shape[-1] for output in seen] != [each.features.shape[1] for each in known.known]:
        raise ValueError(f"its map {known.style_map} is of another width")
    return keras.Model(answering.inputs, [answering.output, *seen])


def seen_outside(known: Remembered, outside: Outside) -> Callable[[NDArray[np.uint8]], list[NDArray[np.float32]]]:
    """From pixels [images, height, width, channels] to features of the top and style, [images, width] each.

    Raises UsageError where the network is not at hand, and ValueError if what is `known` is not of it.
    """
    backbone = next((packaged for packaged in PACKAGED if packaged.sha256 == outside.sha256), None)
    if backbone is None:
        raise UsageError("--unknown: the training images are remembered by a network that this release does not know")
    if problem := backbone.problem():
        raise UsageError(
            f"--unknown: the training images are remembered by {backbone.title}, which is not at hand: {problem}"
        )
    widths = [backbone.widths[-1], len(backbone.style_columns)]
    if [each.features.shape[1] for each in known.known] != widths:
        raise ValueError("is damaged: what it remembers of its training images is not of the network that it names")
    views = [View(backbone, outside.side, mirrored) for mirrored in (False, True)[: 1 + outside.mirrored]]
    means = sum(backbone.widths)

    def seen(pixels: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        rows = np.mean([view.features(pixels) for view in views], axis=0)
        return [rows[:, means - backbone.widths[-1] : means], rows[:, backbone.style_columns]]

    return seen


def _seen_layer(width: int) -> Any:
    """From features and maps of several passes to [the last `width` features, the mean style of the maps].

    One layer, since names of operations could be taken.
    """
    import keras

    class Seen(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
        def call(self, inputs: list[Any]) -> list[Any]:
            features, *maps = inputs
            styles = [keras.ops.concatenate(style(map_), axis=1) for map_ in maps]
            means = [keras.ops.mean(keras.ops.stack(styles), axis=0)] if styles else []
            return [features[:, -width:], *means]

    return Seen(name="seen-of-training-images")


class _Passes:
    """What the layer that standardises features gets, and the maps of all passes through a backbone that made it."""

    def __init__(self, layer: str) -> None:
        self.features: Any = None
        self.maps: list[list[Any]] = []
        self._layer = layer
        self._below: dict[int, list[list[Any]]] = {}  # by the id of a tensor, which lives as long as the graph

    def call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a layer of the graph that is made anew."""
        import keras

        tensors = keras.tree.flatten((args, kwargs))
        below = {id(maps): maps for tensor in tensors for maps in self._below.get(id(tensor), [])}
        if layer.name == self._layer:
            self.features, self.maps = tensors[0], [*below.values()]
        result = layer(*args, **kwargs)
        if isinstance(layer, keras.Model) and isinstance(result, list):  # a backbone is all that gives several maps
            below[id(result)] = result
        for tensor in keras.tree.flatten(result):
            self._below[id(tensor)] = [*below.values()]
        return result
