"""The features that the network within a saved model gives beside its probabilities. For workers, and for predicting.

A saved model calls the network that learned from pixels as one layer, with the image and perhaps with its mirror image.
What is within it is no part of the model's own graph, so the graph is built anew on the same layers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

MAX_WIDTH = 8192  # numbers of an image


def feature_maps(network: keras.Model) -> tuple[str, ...]:
    """Names of the layers whose outputs are the features: the last of each size of map. Empty where there is none.

    What comes before the first layer with weights is the image itself.
    """
    last: dict[tuple[int, int], str] = {}
    has_learned = False
    for layer in getattr(network, "layers", ()):
        has_learned = has_learned or bool(layer.weights)
        if not has_learned:
            continue
        for tensor in keras.tree.flatten(getattr(layer, "output", ())):
            shape = tensor.shape
            if len(shape) == 4 and None not in shape[1:] and shape[1] * shape[2] > 1:
                last[shape[1], shape[2]] = layer.name
    return tuple(dict.fromkeys(last.values()))


def with_features(model: keras.Model, network: str, maps: Sequence[str]) -> keras.Model:
    """`model`, which gives (probabilities, features [images, width]) then.

    `network`: the name of its layer that is the network; `maps`: names of layers of that. The features are the means of
    their outputs over all places, one after another, and the means over the calls of the network. Raises ValueError,
    AttributeError or TypeError where there are no such layers.
    """
    inputs, found = keras.Input(model.input_shape[1:]), []
    seeing = _seeing(model.get_layer(network), maps)

    def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if layer.name != network:
            return layer(*args, **kwargs)
        output, features = seeing(args[0])
        found.append(features)
        return output

    whole = _rebuilt(model, inputs, called)
    both = found[0] if len(found) == 1 else keras.layers.Average(name="remembered_of_both")(found)
    return keras.Model(inputs, [whole, both])


def _seeing(network: keras.Model, maps: Sequence[str]) -> keras.Model:
    """The network, which gives (its output, features) then."""
    inputs = keras.Input(network.input_shape[1:])
    taken: dict[str, Any] = {}

    def called(layer: Any, *args: Any, **kwargs: Any) -> Any:
        output = layer(*args, **kwargs)
        if layer.name in maps:
            taken[layer.name] = keras.tree.flatten(output)
        return output

    whole = _rebuilt(network, inputs, called)
    if len(taken) < len(maps) or not taken:
        raise ValueError("it has no such layers")
    means = [
        keras.layers.GlobalAveragePooling2D(name=f"remembered_{place}")(tensor)
        for place, tensor in enumerate(tensor for name in maps for tensor in taken[name])
    ]
    features = keras.layers.Concatenate(name="remembered")(means) if len(means) > 1 else means[0]
    return keras.Model(inputs, [whole, features], name=network.name)


def _rebuilt(model: keras.Model, inputs: Any, called: Any) -> Any:
    """The output of the model's graph on new `inputs`; each operation is called by `called`."""
    return keras.models.clone_model(
        model, input_tensors=inputs, clone_function=lambda layer: layer, call_function=called
    ).outputs[0]
