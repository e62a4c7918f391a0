"""Which range of pixels a model expects, 0..255 or 0..1: by its layers, else by what it computes from both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Never

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from search.worker.keras_internals import all_layers, patched, random_states_kept

_PICTURES = 16
_SIDE = 64  # pixels, of a model that takes any size
_MAX_OFFSET = 5.0  # spreads that the mean may be away from 0; uniform numbers from 0 on have 1.7
_SCALING = (keras.layers.Rescaling, keras.layers.Normalization)


@dataclass(frozen=True)
class PixelRange:
    """The range in which a model is given pixels."""

    largest: int  # 255 or 1
    scaled: tuple[float, float] | None = None
    """(least, largest) that the model's own operations make of it, if it has such and no layer that scales."""

    @property
    def factor(self) -> float:
        """What a pixel of 0..255 is multiplied by."""
        return self.largest / 255

    @property
    def note(self) -> str | None:
        """For a person: which range was chosen and why; None where the model has no own operations for that."""
        if self.scaled is None:
            return None
        least, largest = (f"{number:.3g}" for number in self.scaled)
        return (
            f"pixels are given as 0..{self.largest}: the model scales them itself, to {least}..{largest} before its "
            "first layer with weights"
        )


def pixel_range(model: keras.Model) -> PixelRange:
    """The range for a built model.

    The model is run in inference mode up to its first layer with weights. If a Rescaling layer comes before that, at
    any depth, or a Normalization that knows no mean yet, it is given 0..255. Else it is run so on pictures of both
    ranges, and the range whose result is sensible is chosen: not far from 0 in relation to its spread, and if both are
    so, of a size near 1. That covers -1..1, 0..1, standardised pixels, and 0..255 less a mean (Caffe). A model that
    does not change pixels is given 0..1.

    The pictures are made of random numbers, each with other colours, over the whole range: the decision does not
    depend on a study's images, which may all be dark.
    """
    begins = next((layer for layer in model.layers if not isinstance(layer, keras.layers.InputLayer)), None)
    if isinstance(begins, keras.layers.Rescaling):  # as in presets; a run takes as long as epochs of a small network
        return PixelRange(255)
    pixels = random_pictures(model)
    results: dict[int, NDArray[np.float32]] = {}
    for largest in (255, 1):
        try:
            results[largest] = first_input(model, pixels * (largest / 255), stop_at_scaling=True)
        except _ScaledError:
            return PixelRange(255)
        except Exception:  # noqa: BLE001 - a custom model may raise anything, and will again when it is trained
            return PixelRange(255 if any(isinstance(layer, _SCALING) for layer in all_layers(model)) else 1)
    return _chosen(results)


def _chosen(results: Mapping[int, NDArray[np.float32]]) -> PixelRange:
    """By the results of both ranges, [..., channels]."""
    measured = {largest: _offset_and_size(values) for largest, values in results.items()}
    sensible = {largest: size for largest, (offset, size) in measured.items() if offset <= _MAX_OFFSET}
    largest = min(sensible, key=lambda largest: (abs(np.log(sensible[largest])), largest), default=1)
    made = float(results[largest].min()), float(results[largest].max())
    unchanged = np.allclose(made, (0, largest), atol=0.01 * largest)
    return PixelRange(largest, None if unchanged else made)


def _offset_and_size(values: NDArray[np.float32]) -> tuple[float, float]:
    """(distance of the mean from 0 in standard deviations, root mean square), both as means over channels."""
    rows = values.reshape(-1, values.shape[-1]).astype(np.float64)
    spread, size = float(rows.std(axis=0).mean()), float(np.sqrt((rows**2).mean(axis=0)).mean())
    return (float(np.abs(rows.mean(axis=0)).mean()) / spread if spread > 0 else math.inf), size


def random_pictures(model: keras.Model) -> NDArray[np.float32]:
    """[pictures, height, width, channels] of 0..255 that fit the model: each with a colour, a slope and noise."""
    sides: Sequence[int | None] = model.input_shape[1:]
    height, width, channels = sides[0] or _SIDE, sides[1] or _SIDE, sides[2] or 3
    rng = np.random.default_rng(0)
    colours = rng.uniform(0, 255, (_PICTURES, 1, 1, channels))
    slopes = np.linspace(-40, 40, width)[None, None, :, None] * rng.choice([-1, 1], (_PICTURES, 1, 1, 1))
    noise = rng.normal(0, 20, (_PICTURES, height, width, channels))
    pixels: NDArray[np.float32] = np.clip(np.rint(colours + slopes + noise), 0, 255).astype(np.float32)
    pixels[0], pixels[1] = 0, 255
    return pixels


class _ReachedError(BaseException):
    """A layer with weights was called. Not an Exception: Keras would add to its message."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class _ScaledError(BaseException):
    """A layer that scales was called."""


def _knows_mean(layer: keras.layers.Layer) -> bool:
    """Whether it is a Normalization whose mean tells the range of its pixels: 0.449 is one of 0..1."""
    mean = getattr(layer, "mean", None) if isinstance(layer, keras.layers.Normalization) else None
    return mean is not None and bool(np.any(ops.convert_to_numpy(mean)))


def first_input(model: keras.Model, x: Any, *, stop_at_scaling: bool = False) -> NDArray[np.float32]:
    """What the first layer with weights, at any depth, is given for `x` in inference mode; Normalization is no such.

    Raises _ScaledError where a layer that scales comes before and it is to stop there, and an Exception where it cannot
    be known, as in a graph of the user's.
    """

    def scales(*_: Any, **__: Any) -> Never:
        raise _ScaledError

    def reached(*args: Any, **kwargs: Any) -> Never:
        raise _ReachedError(args[0] if args else next(iter(kwargs.values())))

    with ExitStack() as stack:
        stack.enter_context(random_states_kept(model))
        for layer in all_layers(model):
            if isinstance(layer, _SCALING):
                if stop_at_scaling and not _knows_mean(layer):
                    stack.enter_context(patched(layer, "call", scales))
            elif layer.weights and not any(inner.weights for inner in all_layers(layer) if inner is not layer):
                stack.enter_context(patched(layer, "call", reached))
        try:
            model(x, training=False)
        except _ReachedError as error:
            values: NDArray[np.float32] = np.asarray(ops.convert_to_numpy(error.value), np.float32)
            return values
    raise ValueError("no layer with weights was called")
