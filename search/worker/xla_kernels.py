"""What Keras's layers need and XLA lacks or does differently, in operations that XLA compiles. For workers only.

- Uniform numbers: XLA makes others of the same random bits than TensorFlow's kernels do. Here they are made of the bits
  as those kernels make them (tensorflow/core/lib/random/random_distributions.h: Uint32ToFloat), so dropout and
  augmentation are the same in a compiled program and outside of one.
- `ImageProjectiveTransformV3`, by which Keras's layers shift, turn, zoom and shear, is none of XLA's operations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from search.worker.keras_internals import with_kernels

Seeds = Callable[[keras.random.SeedGenerator], "Sequence[tf.Tensor]"]
"""The next seeds of a generator, int64 [2] each: one for each equal part of the rows that are drawn."""


class UnknownKernelError(Exception):
    """A layer asks for something that is not here."""


def own_seed(generator: keras.random.SeedGenerator) -> Sequence[tf.Tensor]:
    """Its next one, for all rows."""
    return [generator.next()]


@contextmanager
def compilable(seeds: Seeds = own_seed) -> Iterator[None]:
    """Within, what is traced of Keras's layers can be compiled by XLA and draws the numbers that it draws elsewhere.

    Raises UnknownKernelError where a layer wants other transforms than the augmentation of this project.
    """

    def drawn(shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None) -> tf.Tensor:
        if not isinstance(seed, keras.random.SeedGenerator):
            raise UnknownKernelError("numbers are drawn without a generator")
        dtype = tf.as_dtype(dtype or keras.config.floatx())
        low, high = tf.cast(minval, dtype), tf.cast(maxval, dtype)
        return uniform(shape, seeds(seed), dtype) * (high - low) + low

    with with_kernels(drawn, affine_transform):
        yield


def uniform(shape: Any, seeds: Sequence[tf.Tensor], dtype: tf.DType = tf.float32) -> tf.Tensor:
    """Numbers in 0..1, without 1, as TensorFlow's kernel draws them: the first rows from the first seed, and so on."""
    if dtype is not tf.float32:  # half precision; XLA's own numbers
        parts = [tf.random.stateless_uniform(_part(shape, seeds), _seed(seed), dtype=dtype) for seed in seeds]
        return parts[0] if len(parts) == 1 else tf.concat(parts, axis=0)
    parts = [
        tf.random.stateless_uniform(_part(shape, seeds), _seed(seed), minval=None, maxval=None, dtype=tf.uint32)
        for seed in seeds
    ]
    bits = parts[0] if len(parts) == 1 else tf.concat(parts, axis=0)
    mantissa = tf.bitwise.bitwise_and(bits, tf.constant(0x7FFFFF, tf.uint32))
    return tf.bitcast(tf.bitwise.bitwise_or(mantissa, tf.constant(0x3F800000, tf.uint32)), tf.float32) - 1


def affine_transform(
    images: Any,
    transform: Any,
    interpolation: str = "bilinear",
    fill_mode: str = "constant",
    fill_value: float = 0,  # noqa: ARG001 - of Keras's signature; 'nearest' needs none
    data_format: str | None = None,
) -> tf.Tensor:
    """Images [batch, height, width, channels] as Keras's function of that name gives them, but for rounding.

    `transform`: [batch, 8], from a place in the result to one in the image; the last two numbers are 0, no perspective.
    """
    if (interpolation, fill_mode, data_format or "channels_last") != ("bilinear", "nearest", "channels_last"):
        raise UnknownKernelError(f"images are transformed with {interpolation}, {fill_mode}, {data_format}")
    images, matrix = tf.convert_to_tensor(images), tf.cast(transform, tf.float32)[:, :, None, None]
    batch, height, width, channels = images.shape
    ys = tf.range(height, dtype=tf.float32)[None, :, None]
    xs = tf.range(width, dtype=tf.float32)[None, None, :]
    x = tf.clip_by_value(matrix[:, 0] * xs + matrix[:, 1] * ys + matrix[:, 2], 0.0, width - 1.0)
    y = tf.clip_by_value(matrix[:, 3] * xs + matrix[:, 4] * ys + matrix[:, 5], 0.0, height - 1.0)
    left, top = tf.floor(x), tf.floor(y)
    flat = tf.reshape(images, [batch, height * width, channels])

    def pixel(row: tf.Tensor, column: tf.Tensor) -> tf.Tensor:
        """[batch, height, width, channels]: what lies there; beyond the last row or column it weighs nothing."""
        row, column = tf.minimum(tf.cast(row, tf.int32), height - 1), tf.minimum(tf.cast(column, tf.int32), width - 1)
        return tf.gather(flat, row * width + column, batch_dims=1)

    right, down = (x - left)[..., None], (y - top)[..., None]
    above = (1 - right) * pixel(top, left) + right * pixel(top, left + 1)
    below = (1 - right) * pixel(top + 1, left) + right * pixel(top + 1, left + 1)
    return tf.ensure_shape((1 - down) * above + down * below, images.shape)


def _part(shape: Any, seeds: Sequence[tf.Tensor]) -> list[int]:
    sides = tf.get_static_value(shape) if tf.is_tensor(shape) else shape
    if sides is None or any(side is None for side in sides):
        raise UnknownKernelError("numbers are drawn for a shape that is not known beforehand")
    return [int(sides[0]) // len(seeds), *(int(side) for side in sides[1:])]


def _seed(seed: tf.Tensor) -> tf.Tensor:
    """As Keras gives it to TensorFlow."""
    return tf.cast(tf.math.floormod(seed, tf.int32.max - 1), tf.int32)
