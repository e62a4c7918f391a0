"""The size, memory and layers of a model, before it is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from search.jobs import Description
from search.worker.features import PIECE
from spaces.facts import Facts
from spaces.layers import Layer
from spaces.parameters import Value
from spaces.presets import FrozenFeatures
from spaces.recipe import recipe_of

if TYPE_CHECKING:
    import keras

BACKWARD = 3  # times the multiplications of a prediction: forward, and gradients of weights and of outputs
MAX_NUMBERS = 2**26  # of the maps of a network that `Maps` keeps, all epochs together: 256 MiB
PASSING = 8
"""Times the maps between stages: what fine-tuning needs of those that it does not train.

Estimates with it are 0.7 to 2.2 times what was measured where a part is trained; where all is, 1.04 to 1.1 times.
"""


def describe(model: keras.Model, batch: int) -> Description:
    """Describe a Keras model, from its shapes alone.

    `training_bytes` estimates float32 weights, gradients and two moments of the optimizer (4 x parameters), and
    all layers' outputs for one batch, kept for the backward pass, and their gradients (2 x).
    """
    layers = tuple(
        Layer(layer.name, type(layer).__name__, _shape(layer), layer.count_params(), _detail(layer))
        for layer in model.layers
    )
    parameters = sum(layer.parameters for layer in layers)
    outputs = sum(int(np.prod([side or 1 for side in layer.shape])) for layer in layers)
    macs = _macs(layers)
    return Description(
        parameters, 4 * (4 * parameters + 2 * batch * outputs), layers, macs=macs, training_macs=BACKWARD * macs
    )


def _macs(layers: Sequence[Layer]) -> float:
    """Multiplications of one image: each weight of a convolution is used once at each place of its output."""
    return float(sum(layer.parameters * math.prod(n or 1 for n in layer.shape[:-1]) for layer in layers))


def _shape(layer: keras.layers.Layer) -> tuple[int | None, ...]:
    shape = layer.output.shape if not isinstance(layer.output, list) else layer.output[0].shape
    return tuple(shape[1:])


def _detail(layer: keras.layers.Layer) -> str:
    """The details of a layer that a person wants to see, apart from its kind and shape."""
    try:
        config: Mapping[str, Any] = layer.get_config()
    except NotImplementedError:  # a user's class, with arguments that Keras cannot serialize
        return ""
    words: list[str] = []
    if "filters" in config:
        words.append(f"{config['filters']} @ {'x'.join(map(str, config['kernel_size']))}")
    elif "units" in config:
        words.append(f"{config['units']} unit{'' if config['units'] == 1 else 's'}")
    if "pool_size" in config:
        words.append("x".join(map(str, config["pool_size"])))
    elif config.get("strides", (1, 1)) not in ((1, 1), 1):
        words.append("stride " + "x".join(map(str, config["strides"])))
    if config.get("rate"):
        words.append(f"rate {config['rate']:g}")
    if isinstance(config.get("activation"), str) and config["activation"] != "linear":
        words.append(config["activation"])
    return ", ".join(words)


def describe_frozen(frozen: FrozenFeatures, params: Mapping[str, Value], facts: Facts) -> Description:
    """Describe the whole model. `training_bytes` estimates the backbone's weights and one batch's maps, and the head.

    The head: its weights with gradients and two moments, and the features of all images, twice. Where the backbone
    is trained, what is trained has gradients and moments too, and keeps all its maps for the backward pass:
    `Backbone.kept` times those that its stages end with. Weights count twice: the next fold's are made beside them.
    """
    layers, backbone = frozen.layers(params, facts), frozen.backbone(params, facts)
    parameters, maps = _numbers(layers)
    pretrained, _ = _numbers(backbone.layers(32))
    macs, views = _macs(layers), tuple(view.name for view in frozen.views(params, facts))
    if frozen.tuned:
        layers_trained = frozen.tuned.layers(params, facts)
        trained, above = _numbers(layers_trained)
        held = int(params["batch_size"]) * (backbone.kept * above + PASSING * (maps - above))
        needed = 4 * (2 * parameters + 3 * trained + held + _kept_maps(frozen, params, facts))
        training = macs + (BACKWARD - 1) * _macs(layers_trained)
        return Description(parameters, needed, layers, pretrained, macs, training, views)
    features = 2 * facts.images * max(layer.shape[-1] or 1 for layer in layers)
    needed = 4 * (4 * parameters + 4 * PIECE * maps + features)
    return Description(parameters, needed, layers, pretrained, macs, 0.0, views)


def _kept_maps(frozen: FrozenFeatures, params: Mapping[str, Value], facts: Facts) -> int:
    """At most so many numbers of maps are kept, for all epochs, below the layers that are trained."""
    layers, trained = frozen.layers(params, facts), frozen.tuned.layers(params, facts) if frozen.tuned else ()
    below = layers[-len(trained) - 1] if len(trained) < len(layers) else None
    if below is None or recipe_of(params, facts).mixes:
        return 0
    numbers = facts.images * (2 + int(params["epochs"])) * math.prod(n or 1 for n in below.shape)
    return numbers if numbers <= MAX_NUMBERS else 0


def _numbers(layers: Sequence[Layer]) -> tuple[int, int]:
    """The count of numbers in layers' weights, and in their outputs for one image."""
    return sum(layer.parameters for layer in layers), sum(math.prod(n or 1 for n in layer.shape) for layer in layers)
