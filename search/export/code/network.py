"""A Keras network, or any other object of Keras, as the code that makes it: from its configuration alone."""

from __future__ import annotations

import importlib
import inspect
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

_OURS = ("name", "dtype", "trainable", "registered_name", "batch_input_shape")
"""Parts of a configuration that code does not say: they are as they come."""


def expression(described: Any) -> str:
    """The code of an object as `keras.saving.serialize_keras_object` describes it: 'keras.layers.Dense(units=2)'.

    Only what differs from the defaults is said. Raises ValueError for what is not Keras's own.
    """
    if isinstance(described, Mapping) and "class_name" in described:
        return _made(described)
    if isinstance(described, Mapping):
        raise ValueError(f"{described} has no code")
    if isinstance(described, list | tuple):
        inside = ", ".join(map(expression, described))
        return f"({inside},)" if len(described) == 1 else f"({inside})"
    if isinstance(described, float) or hasattr(described, "dtype"):
        return _number(float(described))
    return repr(described)


def _number(value: float) -> str:
    """As short as float32 is: 0.001 and not 0.0010000000474974513."""
    import numpy as np

    return repr(float(str(np.float32(value)))) if not value.is_integer() or abs(value) > 1e6 else repr(value)


def _made(described: Mapping[str, Any]) -> str:
    module, kind, config = str(described["module"]), str(described["class_name"]), described["config"]
    if module.partition(".")[0] != "keras":
        raise ValueError(f"{module}.{kind} is not Keras's own")
    known = inspect.signature(getattr(importlib.import_module(module), kind).__init__).parameters
    said = []
    for name, value in config.items():
        if name in _OURS or name not in known or _is_default(value, known[name].default):
            continue
        said.append(f"{name}={expression(_given(name, value))}")
    if name := _meaningful(config):
        said.append(f"name={name!r}")
    return f"{module}.{kind}({', '.join(said)})"


def _given(name: str, value: Any) -> Any:
    """What was given for a value of the configuration: `RandomShear` makes (-0.2, 0.2) of 0.2, and refuses that."""
    if name in ("x_factor", "y_factor") and isinstance(value, list | tuple):
        return value[1]
    return value


def _meaningful(config: Mapping[str, Any]) -> str:
    """A layer's name where the training looks for it."""
    return "output" if config.get("name") == "output" else ""


def _is_default(value: Any, default: Any) -> bool:
    if value is None or value == default or (value in ("linear", "channels_last") and default is None):
        return True
    if isinstance(value, Mapping) and isinstance(default, str):
        made = _snake(str(value.get("class_name"))), value.get("config", {})
        return made[0] == default and all(part is None for part in made[1].values())
    if isinstance(value, list | tuple):  # of numbers alike: a single one says the same
        return tuple(value) == default or (isinstance(default, int | float) and set(value) == {default})
    if isinstance(default, float) and isinstance(value, float | int):
        return _number(float(value)) == _number(default)
    return False


def _snake(name: str) -> str:
    """'GlorotUniform' -> 'glorot_uniform'."""
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name).lstrip("_")


def lines_of(config: Mapping[str, Any]) -> list[str]:
    """The lines that make a functional network, from its `get_config()`: from `inputs = …` to `return …`.

    Raises ValueError for a network with more than one input, or with parts that are no layers of Keras.
    """
    layers: Sequence[Mapping[str, Any]] = config["layers"]
    names = _names(layers)
    lines = []
    for layer in layers:
        if layer["class_name"] == "InputLayer":
            lines.append(f"inputs = keras.Input({tuple(layer['config']['batch_shape'][1:])})")
            continue
        (node,) = layer["inbound_nodes"]
        (given,) = node["args"]
        if any(value is not None and name not in ("mask", "training") for name, value in node["kwargs"].items()):
            raise ValueError(f"{layer['name']} is called with {sorted(node['kwargs'])}")
        called = f"[{', '.join(names[_maker(one)] for one in given)}]" if _is_list(given) else names[_maker(given)]
        lines.append(f"{names[layer['name']]} = {expression(layer)}({called})")
    return [*lines, f"return keras.Model(inputs, {names[str(layers[-1]['name'])]})"]


def _names(layers: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The variable of each layer's output: 'x' where only the next layer takes it, else one of its own."""
    used = Counter(_maker(one) for layer in layers for one in _inputs(layer))
    names: dict[str, str] = {}
    kept = 0
    for number, layer in enumerate(layers):
        name, following = str(layer["name"]), layers[number + 1 : number + 2]
        if layer["class_name"] == "InputLayer":
            names[name] = "inputs"
        elif not following:
            names[name] = "outputs"
        elif used[name] == 1 and name in map(_maker, _inputs(following[0])):
            names[name] = "x"
        else:
            kept += 1
            names[name] = f"kept_{kept}"
    return names


def _inputs(layer: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    given = [argument for node in layer["inbound_nodes"] for argument in node["args"]]
    return [one for argument in given for one in (argument if _is_list(argument) else [argument])]


def _is_list(argument: Any) -> bool:
    return isinstance(argument, list | tuple)


def _maker(tensor: Mapping[str, Any]) -> str:
    """The name of the layer that gave a tensor. Raises ValueError for an argument that is none."""
    if not isinstance(tensor, Mapping) or tensor.get("class_name") != "__keras_tensor__":
        raise ValueError("a layer is called with something that is no tensor")
    return str(tensor["config"]["keras_history"][0])
