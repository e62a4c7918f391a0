"""Checks of a model and its loss before the first step. Keras objects are read; Keras is not imported.

A finding that is `fatal` makes training meaningless; the others are kept as possible causes of later symptoms.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from search.diagnosis.evidence import Cause
from search.worker.keras_internals import all_layers

if TYPE_CHECKING:
    import keras

MAX_PARAMETERS = 1000  # trained parameters for each training image, above which it is reported
TINY = 0.01  # mean size of what a first layer is given, below which pixels were divided twice
_CROSS_ENTROPIES = ("crossentropy", "cross_entropy", "kl_divergence", "kullback")


def findings(model: keras.Model, loss: Any, *, images: int, batch_size: int) -> tuple[Cause, ...]:
    """Everything that is wrong with the built model and its `loss` as compiled (None: one that fits its output).

    `images`: for training. Shapes against images and classes are checked where a model is loaded.
    """
    return (
        *_nothing_to_train(model),
        *_output_and_loss(model, loss),
        *_scaled_twice(model),
        *_last_batch(model, images, batch_size),
        *_parameters(model, images),
    )


def fatal(found: tuple[Cause, ...]) -> str | None:
    """The first finding that makes training meaningless, with the line to change; None where there is none."""
    return next((f"{cause.name}: {cause.evidence}; {cause.change}" for cause in found if cause.fatal), None)


def _nothing_to_train(model: keras.Model) -> Iterator[Cause]:
    if not model.trainable_variables:
        frozen = bool(model.variables)
        how = "every layer has trainable = False" if frozen else "it has no weights at all"
        yield Cause("nothing is trainable", how, "set trainable = True, at least for the last layer", 1.0, fatal=True)


def _output_and_loss(model: keras.Model, loss: Any) -> Iterator[Cause]:
    from search.worker.outputs import output_activation
    from spaces.compiling import loss_name, takes_logits

    units, activation, name = int(model.output_shape[-1]), output_activation(model), loss_name(loss)
    logits = takes_logits(loss)
    if units == 1 and activation == "softmax":
        yield Cause(
            "softmax on one unit",
            "a softmax over one unit is 1 whatever the image",
            'Dense(1, activation="sigmoid"), or as many units as classes',
            1.0,
            fatal=True,
        )
    elif units == 1 and ("categorical" in name or "kl_divergence" in name or "kullback" in name):
        yield Cause(
            "loss does not fit the labels",
            f"{name} compares shares of several classes, and the model has one unit: its loss is always 0",
            'loss="binary_crossentropy"',
            1.0,
            fatal=True,
        )
    elif activation in ("relu", "linear", "tanh") and not logits and _is_cross_entropy_of_keras(loss, name):
        yield Cause(
            "loss does not fit the output",
            f"{name} takes probabilities, and the last layer is {activation}",
            _proper(units, activation),
            1.0,
            fatal=True,
        )
    if logits and activation in ("softmax", "sigmoid"):
        yield Cause(
            "from_logits with probabilities",
            f"{name} with from_logits=True takes what comes before {activation}, so that is applied twice",
            f'from_logits=False, or no activation="{activation}" in the last layer',
            0.7,
        )
    if units > 1 and activation == "sigmoid" and "categorical" in name:
        yield Cause(
            "loss does not fit the output",
            f"{name} takes shares of classes that add up to 1, and the last layer is a sigmoid",
            'activation="softmax" in the last layer',
            0.6,
        )


def _is_cross_entropy_of_keras(loss: Any, name: str) -> bool:
    """A user's function of such a name may take logits."""
    module = str(getattr(loss, "__module__", type(loss).__module__))
    return (isinstance(loss, str) or module.partition(".")[0] == "keras") and any(
        part in name for part in _CROSS_ENTROPIES
    )


def _proper(units: int, activation: str) -> str:
    if activation == "linear":
        return (
            f'activation="{"sigmoid" if units == 1 else "softmax"}" in the last layer, or from_logits=True in the loss'
        )
    return 'activation="sigmoid" in the last layer' if units == 1 else 'activation="softmax" in the last layer'


def _scaled_twice(model: keras.Model) -> Iterator[Cause]:
    scales = [layer.scale for layer in all_layers(model) if type(layer).__name__ == "Rescaling"]
    small = [scale for scale in scales if isinstance(scale, int | float) and scale < 0.1]
    if len(small) > 1 and _in_sequence(model):
        yield Cause(
            "inputs scaled twice",
            f"{len(small)} Rescaling layers divide pixels one after another",
            "remove all Rescaling layers but one; EfficientNet and others of keras.applications have one inside",
            0.93,
        )


def _in_sequence(model: keras.Model) -> bool:
    """Whether what divides pixels makes them tiny; in parallel branches they are divided once each."""
    from search.worker.pixel_range import first_input, random_pictures

    try:
        return float(abs(first_input(model, random_pictures(model))).mean()) < TINY
    except Exception:  # noqa: BLE001 - a custom model may raise anything, and will again when it is trained
        return True


def _last_batch(model: keras.Model, images: int, batch_size: int) -> Iterator[Cause]:
    normalised = any(type(layer).__name__ == "BatchNormalization" and layer.trainable for layer in all_layers(model))
    if normalised and images % batch_size == 1:
        yield Cause(
            "a batch of one",
            f"{images} images in batches of {batch_size} leave one for the last batch, which has no spread",
            f"batch_size {batch_size + 1}",
            0.9 if batch_size == 1 else 0.3,
        )


def _parameters(model: keras.Model, images: int) -> Iterator[Cause]:
    trained = sum(math.prod(variable.shape) for variable in model.trainable_variables)
    if trained > MAX_PARAMETERS * images:
        pooled = "GlobalAveragePooling2D instead of Flatten, or " if _has(model, "Flatten") else ""
        yield Cause(
            "parameters many times the images",
            f"{trained:,} trained parameters for {images} images",
            f"{pooled}fewer units or filters",
            0.25,
        )


def _has(model: keras.Model, kind: str) -> bool:
    """Whether a layer of this class is in the model, or in a model that is one of its layers."""
    return any(type(layer).__name__ == kind or _has(layer, kind) for layer in getattr(model, "layers", ()))
