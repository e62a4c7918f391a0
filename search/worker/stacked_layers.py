"""Layers that compute for several networks of one architecture at once. For workers only.

The rows of a batch are those of each network one after another, [networks * rows, …], so layers without weights serve
all of them as they are. A layer with weights takes those of all networks, [networks, …], one product for all: a
convolution is a product with patches, since grouped convolutions are slower on GPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf

from search.worker.keras_internals import patched

Call = Callable[..., tf.Tensor]

_WITHOUT_WEIGHTS = (
    keras.layers.InputLayer,
    keras.layers.Rescaling,
    keras.layers.Activation,
    keras.layers.MaxPooling2D,
    keras.layers.AveragePooling2D,
    keras.layers.GlobalAveragePooling2D,
    keras.layers.Flatten,
    keras.layers.Dropout,
    keras.layers.Add,
)


@dataclass(frozen=True)
class Stack:
    """The weights of several networks."""

    networks: int
    of: Callable[[keras.Variable], Any]  # from a variable of one network to the variable [networks, …] of all

    def split(self, x: tf.Tensor) -> tf.Tensor:
        """[networks * rows, …] as [networks, rows, …]."""
        return tf.reshape(x, [self.networks, x.shape[0] // self.networks, *x.shape[1:]])

    def wide(self, variable: keras.Variable, rank: int) -> tf.Tensor:
        """[networks, channels] of a variable, to be used with [networks, rows, …, channels] of this rank."""
        value = tf.convert_to_tensor(self.of(variable))
        return tf.reshape(value, [self.networks, *[1] * (rank - 2), value.shape[-1]])

    def product(self, x: tf.Tensor, kernel: tf.Tensor, layer: keras.layers.Layer) -> tf.Tensor:
        """[networks * rows, …, n] by [networks, n, m], with the layer's bias and activation."""
        flat = tf.reshape(x, [self.networks, -1, x.shape[-1]])
        made = tf.matmul(flat, kernel)
        if layer.use_bias:
            made += self.wide(layer.bias, 3)
        made = tf.reshape(made, [*x.shape[:-1], kernel.shape[-1]])
        return made if layer.activation is None else layer.activation(made)


def stackable(model: keras.Model) -> bool:
    """Whether all layers of a network are among those that are known here, in float32."""
    return all(
        type(layer) in _WITHOUT_WEIGHTS or (type(layer) in _WITH_WEIGHTS and _usual(layer)) for layer in model.layers
    )


@contextmanager
def as_stack(model: keras.Model, stack: Stack) -> Iterator[None]:
    """Within, what is traced of a `stackable` network computes for all networks of the stack."""
    with ExitStack() as within:
        for layer in model.layers:
            if type(layer) in _WITH_WEIGHTS:
                within.enter_context(patched(layer, "call", _WITH_WEIGHTS[type(layer)](layer, stack)))
        yield


def _usual(layer: keras.layers.Layer) -> bool:
    """Whether the layer has nothing that the functions below do not compute."""
    plain = {
        "data_format": "channels_last",
        "dilation_rate": (1, 1),
        "groups": 1 if isinstance(layer, keras.layers.Conv2D) else getattr(layer, "groups", None),
        "depth_multiplier": 1,
        "renorm": False,
        "synchronized": False,
        "axis": -1,
        "quantization_mode": None,
        "lora_enabled": False,
    }
    return (
        layer.trainable
        and layer.compute_dtype == "float32"
        and all(getattr(layer, name, value) in (value, None) for name, value in plain.items())
        and all(variable.constraint is None for variable in layer.trainable_variables)
    )


def _dense(layer: Any, stack: Stack) -> Call:
    def call(x: tf.Tensor, training: Any = None) -> tf.Tensor:  # noqa: ARG001 - as Keras calls it
        return stack.product(x, tf.convert_to_tensor(stack.of(layer.kernel)), layer)

    return call


def _convolution(layer: Any, stack: Stack) -> Call:
    def call(x: tf.Tensor) -> tf.Tensor:
        patches = tf.concat(_shifted(x, layer), axis=-1)
        kernel = tf.convert_to_tensor(stack.of(layer.kernel))
        return stack.product(patches, tf.reshape(kernel, [stack.networks, -1, kernel.shape[-1]]), layer)

    return call


def _separable(layer: Any, stack: Stack) -> Call:
    def call(x: tf.Tensor) -> tf.Tensor:
        depthwise = tf.convert_to_tensor(stack.of(layer.depthwise_kernel))  # [networks, rows, columns, channels, 1]
        taps = tf.unstack(tf.reshape(depthwise, [stack.networks, -1, depthwise.shape[-2]]), axis=1)
        shifted = _shifted(x, layer)
        filtered = tf.add_n(
            [stack.split(one) * tap[:, None, None, None] for one, tap in zip(shifted, taps, strict=True)]
        )
        pointwise = tf.convert_to_tensor(stack.of(layer.pointwise_kernel))
        pointwise = tf.reshape(pointwise, [stack.networks, *pointwise.shape[-2:]])
        return stack.product(tf.reshape(filtered, [-1, *filtered.shape[2:]]), pointwise, layer)

    return call


def _batch_normalization(layer: Any, stack: Stack) -> Call:
    def call(x: tf.Tensor, training: Any = None, mask: Any = None) -> tf.Tensor:  # noqa: ARG001 - as Keras calls it
        apart = stack.split(x)
        rank = len(apart.shape)
        if training:
            mean, variance = tf.nn.moments(apart, list(range(1, rank - 1)), keepdims=True)
            for moving, value in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
                kept = stack.of(moving)
                new = tf.reshape(value, kept.shape)
                kept.assign(tf.convert_to_tensor(kept) * layer.momentum + new * (1.0 - layer.momentum))
        else:
            mean, variance = stack.wide(layer.moving_mean, rank), stack.wide(layer.moving_variance, rank)
        offset = stack.wide(layer.beta, rank) if layer.center else None
        scale = stack.wide(layer.gamma, rank) if layer.scale else None
        normal = tf.nn.batch_normalization(apart, mean, variance, offset, scale, layer.epsilon)
        return tf.reshape(normal, x.shape)

    return call


def _group_normalization(layer: Any, stack: Stack) -> Call:
    def call(x: tf.Tensor) -> tf.Tensor:
        grouped = tf.reshape(x, [*x.shape[:-1], layer.groups, x.shape[-1] // layer.groups])
        axes = [axis for axis in range(1, len(grouped.shape)) if axis != len(grouped.shape) - 2]
        mean, variance = tf.nn.moments(grouped, axes, keepdims=True)
        normal = tf.nn.batch_normalization(grouped, mean, variance, None, None, layer.epsilon)
        apart = stack.split(tf.reshape(normal, x.shape))
        rank = len(apart.shape)
        if layer.scale:
            apart *= stack.wide(layer.gamma, rank)
        if layer.center:
            apart += stack.wide(layer.beta, rank)
        return tf.reshape(apart, x.shape)

    return call


_WITH_WEIGHTS: dict[type, Callable[[Any, Stack], Call]] = {
    keras.layers.Dense: _dense,
    keras.layers.Conv2D: _convolution,
    keras.layers.SeparableConv2D: _separable,
    keras.layers.BatchNormalization: _batch_normalization,
    keras.layers.GroupNormalization: _group_normalization,
}


def _shifted(x: tf.Tensor, layer: Any) -> list[tf.Tensor]:
    """The images [rows, height, width, channels] under each place of the layer's kernel, row by row of it."""
    places = []
    sides = []
    for axis, (size, stride) in enumerate(zip(layer.kernel_size, layer.strides, strict=True)):
        length = x.shape[1 + axis]
        kept = -(-length // stride) if layer.padding == "same" else (length - size) // stride + 1
        missing = max((kept - 1) * stride + size - length, 0)
        places.append((missing // 2, missing - missing // 2))
        sides.append((kept - 1) * stride + 1)
    x = tf.pad(x, [(0, 0), *places, (0, 0)])
    down, right = layer.strides
    return [
        x[:, row : row + sides[0] : down, column : column + sides[1] : right]
        for row in range(layer.kernel_size[0])
        for column in range(layer.kernel_size[1])
    ]
