"""What the numbers of a model's last layer mean, and how they become probabilities: in judging and in the export."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

import keras
import numpy as np
import scipy.special
from keras import ops
from numpy.typing import NDArray

from search.worker.keras_internals import inputs_of, maker_of, random_states_kept
from spaces.compiling import loss_name, takes_logits

_PASSING = ("Dropout", "Flatten", "Reshape", "Squeeze", "Cast", "Identity", "GetItem", "ActivityRegularization")
_REGRESSIONS = ("mse", "mae", "huber", "huber_loss", "log_cosh", "logcosh", "mean_squared_error", "mean_absolute_error")
_TINY = 1e-7  # added to shares, so that a row of zeros becomes even shares
_TOLERANCE = 0.02  # by which probabilities may miss 0..1 and their sum 1: half precision
_EXTREME = 1000.0  # times pixels, to see whether outputs are bounded
_WHERE = "when the model is judged and in the exported file"


class Meaning(Enum):
    """Of a model's output."""

    PROBABILITIES = "probabilities"  # of all classes, adding up to 1; of one unit, of class 1
    LOGITS = "logits"  # softmax, or of one unit a sigmoid, makes probabilities of them
    SHARES = "shares"  # at least 0; divided by their sum; of one unit, cut to 0..1
    SIGNED = "signed"  # -1..1, twice the probability less 1, as a tanh has it under a hinge loss

    @property
    def threshold(self) -> float:
        """Above which a single unit means class 1."""
        return 0.0 if self in (Meaning.LOGITS, Meaning.SIGNED) else 0.5


@dataclass(frozen=True)
class Output:
    """What a compiled model's output means, and for a person why it is not taken as it is."""

    meaning: Meaning
    note: str | None = None


def output_of(model: keras.Model) -> Output:
    """The meaning of a built and compiled model's output, by its last layer's activation and its loss.

    Where the activation cannot be known, as in a model with its own `call`, it is decided by the outputs for random
    pictures and for very large numbers: probabilities remain within their bounds.
    """
    units, loss = int(model.output_shape[-1]), model.loss
    activation = output_activation(model) or _activation_by_outputs(model)
    name = loss_name(loss)
    if activation == "softmax" or (activation in ("sigmoid", "hard_sigmoid") and units == 1):
        return Output(Meaning.PROBABILITIES)
    if takes_logits(loss):
        return Output(Meaning.LOGITS)
    if activation in ("sigmoid", "hard_sigmoid"):
        return Output(
            Meaning.SHARES,
            f"its {units} sigmoids do not add up to 1, so they are divided by their sum {_WHERE}; for one class an "
            'image the usual last layer has activation="softmax"',
        )
    if name in _REGRESSIONS or activation in ("softplus", "exponential"):
        made = "cut to 0..1" if units == 1 else "divided by their sum, without those below 0,"
        return Output(
            Meaning.SHARES,
            f"its outputs ({activation}, trained by {name}) are no probabilities, so they are {made} {_WHERE}; "
            f'activation="{_usual(units)}" in the last layer makes probabilities',
        )
    if activation == "tanh":
        return Output(
            Meaning.SIGNED,
            f"its outputs ({activation}, trained by {name}) are in -1..1, so x becomes (x + 1) / 2 {_WHERE}; "
            f'activation="{_usual(units)}" in the last layer makes probabilities',
        )
    return Output(
        Meaning.LOGITS,
        f"its outputs ({activation}, trained by {name}) are taken for logits, so {_usual(units)} is applied {_WHERE}; "
        f'if {name} expects probabilities, write activation="{_usual(units)}" in the last layer',
    )


def probabilities(raw: NDArray[np.float32], meaning: Meaning = Meaning.PROBABILITIES) -> NDArray[np.float32]:
    """[images, classes] probabilities from the output; a single column is of class 1 of two. NaN remains NaN.

    Raises ValueError where the output should be probabilities and is none.
    """
    single = raw.shape[1] == 1
    if meaning is Meaning.LOGITS:
        raw = np.asarray(scipy.special.expit(raw) if single else scipy.special.softmax(raw, axis=1), np.float32)
    elif meaning is Meaning.SIGNED:
        raw = (raw + np.float32(1)) / np.float32(2)
    if meaning in (Meaning.SIGNED, Meaning.SHARES):
        raw = np.clip(raw, 0, 1) if single else _shares(np.maximum(raw, 0))
    elif np.isfinite(raw).all() and (problem := _no_probabilities(raw)):
        raise ValueError(
            f"the model's outputs are no probabilities: {problem}; the last layer needs "
            f'activation="{_usual(raw.shape[1])}"'
        )
    return np.concatenate([1 - raw, raw], axis=1) if single else raw


def in_model(output: Any, meaning: Meaning) -> Any:
    """The same as `probabilities` as operations of a Keras model: [batch, classes] of its symbolic output."""
    single = output.shape[-1] == 1
    if meaning is Meaning.LOGITS:
        output = keras.layers.Activation("sigmoid" if single else "softmax")(output)
    elif meaning is Meaning.SIGNED:
        output = (output + 1) / 2
    if meaning in (Meaning.SIGNED, Meaning.SHARES):
        if single:
            output = ops.clip(output, 0, 1)
        else:
            output = ops.maximum(output, 0) + _TINY
            output = output / ops.sum(output, axis=1, keepdims=True)
    return ops.concatenate([1 - output, output], axis=1) if single else output


def output_activation(model: keras.Model) -> str:
    """Name of the function that the output has gone through: 'softmax', 'linear', …; '' where it cannot be known."""
    return _activation_of(model.outputs[0]) if model.outputs else ""


def _activation_of(tensor: Any) -> str:
    operation = maker_of(tensor)
    kind = type(operation).__name__
    if kind in ("Softmax", "Sigmoid", "Tanh", "Relu", "ReLU", "Softplus"):
        return kind.lower()
    if isinstance(operation, keras.Model):
        return output_activation(operation) if getattr(operation, "outputs", None) else ""
    function = getattr(operation, "activation", None)
    name = str(getattr(function, "__name__", "")).lower() if function is not None else ""
    passes = kind in _PASSING or (kind == "Activation" and name == "linear")
    if passes and len(inputs := inputs_of(operation)) == 1:
        return _activation_of(inputs[0])
    foreign = function is not None and not str(function.__module__).startswith("keras.")
    return "" if foreign else name


def _activation_by_outputs(model: keras.Model) -> str:
    """'softmax', 'sigmoid' or 'tanh' where the outputs stay within its bounds, whatever the input; else 'linear'."""
    shape = [side or 64 for side in model.input_shape[1:]]
    x = np.random.default_rng(0).uniform(0, 1, (16, *shape)).astype(np.float32)
    with random_states_kept(model):
        outputs = [ops.convert_to_numpy(model(x * scale, training=False)) for scale in (1, _EXTREME, -_EXTREME)]
    raw = np.concatenate(outputs).astype(np.float32)
    raw = raw[np.isfinite(raw).all(axis=1)]
    if not raw.any() or raw.min() < -1 - _TOLERANCE or raw.max() > 1 + _TOLERANCE:
        return "linear"
    if raw.min() < -_TOLERANCE:
        return "tanh"
    return "sigmoid" if _no_probabilities(raw) or raw.shape[1] == 1 else "softmax"


def _no_probabilities(raw: NDArray[np.float32]) -> str:
    """Why these finite rows are no probabilities; '' where they are. One column need not add up."""
    least, largest = float(raw.min()), float(raw.max())
    if least < -_TOLERANCE or largest > 1 + _TOLERANCE:
        return f"they are between {least:.3g} and {largest:.3g}"
    sums = raw.sum(axis=1)
    if raw.shape[1] > 1 and np.abs(sums - 1).max() > _TOLERANCE:
        return f"those of an image add up to {float(sums.min()):.3g} to {float(sums.max()):.3g}, not to 1"
    return ""


def _shares(positive: NDArray[np.float32]) -> NDArray[np.float32]:
    positive = positive + np.float32(_TINY)
    shares: NDArray[np.float32] = positive / positive.sum(axis=1, keepdims=True)
    return shares


def _usual(units: int) -> str:
    return "sigmoid" if units == 1 else "softmax"
