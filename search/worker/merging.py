"""Several models as one graph, in which what two of them have alike is there once: a pass of a backbone, its weights.

Alike are layers of the same class, configuration and weights, to the bit. Called on the same tensors with the same
arguments, they give the same. So nothing needs to be known about where the models come from.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import keras
import numpy as np


class Merged:
    """The graph of all models that were added, on the same `inputs`, a symbolic tensor."""

    def __init__(self, inputs: Any) -> None:
        """Nothing is in it yet."""
        self._inputs = inputs
        self._layers: dict[str, Any] = {}  # by what they are
        self._called: dict[str, Any] = {}  # what a layer gave, by the layer and what it was called with
        self._names = {inputs.name}

    def add(self, model: keras.Model) -> Any:
        """What `model`, a functional one, gives for the inputs. It must not be used afterwards: layers are renamed."""
        tensor = {"input_tensors": self._inputs, "clone_function": self._kept, "call_function": self._call}
        return keras.models.clone_model(model, **tensor).output

    def named(self, layer: Any) -> Any:
        """The layer, with a name that no other one here has."""
        name, number = layer.name, 1
        while layer.name in self._names:
            layer.name, number = f"{name}_{number}", number + 1
        self._names.add(layer.name)
        return layer

    def _kept(self, layer: Any) -> Any:
        """The layer, or the one here that is alike."""
        what = _description(layer)
        if what not in self._layers:
            self._layers[what] = self.named(layer)
        return self._layers[what]

    def _call(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        """What the layer gives; called anew only where it was not called with the same before."""
        call = repr((id(layer), keras.tree.map_structure(_token, (args, kwargs))))
        if call not in self._called:
            self._called[call] = layer(*args, **kwargs)
        return self._called[call]


def _token(argument: Any) -> Any:
    """What tells one argument of a layer's call from another; a tensor lives as long as the graph, so its id does."""
    if isinstance(argument, keras.KerasTensor):
        return "tensor", id(argument)
    if hasattr(argument, "__array__"):
        return _digest(np.asarray(argument))
    return argument


def _description(layer: Any) -> str:
    """All that decides what a layer, or an operation, gives for an input: not its own name, but those inside it."""
    config = keras.saving.serialize_keras_object(layer)
    config["config"] = {key: value for key, value in config["config"].items() if key != "name"}
    weights = [_digest(weight) for weight in layer.get_weights()] if isinstance(layer, keras.Layer) else []
    return json.dumps([config, weights], sort_keys=True)


def _digest(array: np.ndarray[Any, Any]) -> str:
    digest = hashlib.sha256(f"{array.dtype} {array.shape}\n".encode())
    digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
