"""A loaded network that gives, beside its probabilities, what its file remembers of the training images."""

from __future__ import annotations

from typing import Any

from search.manifest import Remembered
from spaces.backbones import style


def seeing(network: Any, known: Remembered) -> Any:
    """A keras.Model that gives ([images, classes], then of each of `known.known` [images, width]), with its weights.

    The style is that of the passes through a backbone on which the features depend, averaged as these are. Raises
    ValueError if what is remembered is not of this network.
    """
    import keras

    passes = _Passes(known.layer)
    probabilities = keras.models.clone_model(network, clone_function=lambda layer: layer, call_function=passes.call)
    if passes.features is None:
        raise ValueError(f"it has no layer {known.layer!r}")
    outputs = [probabilities.output, passes.features]
    if known.style is not None:
        if not passes.maps or known.style_map >= min(map(len, passes.maps)):
            raise ValueError(f"its features are of no network with {known.style_map + 1} maps")
        outputs.append(_style_layer()([maps[known.style_map] for maps in passes.maps]))
    for output, each in zip(outputs[1:], known.known, strict=True):
        if output.shape != (None, each.features.shape[1]):
            raise ValueError(f"its layer {known.layer!r} gets {output.shape}, not {each.features.shape[1]} numbers")
    return keras.Model(probabilities.inputs, outputs)


def _style_layer() -> Any:
    """From the maps of several passes to their mean style. One layer, as names of operations could be taken."""
    import keras

    class Style(keras.layers.Layer):  # type: ignore[misc]  # Keras has no types
        def call(self, maps: list[Any]) -> Any:
            styles = [keras.ops.concatenate(style(map_), axis=1) for map_ in maps]
            return keras.ops.mean(keras.ops.stack(styles), axis=0)

    return Style(name="style of the training images")


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
