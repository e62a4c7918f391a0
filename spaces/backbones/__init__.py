"""Pre-trained networks: what each can do, whatever file its weights are in.

A backbone is a value: an architecture, and the checksum of its weights. It travels to workers as it is,
and only there is its network built. Files of weights are read without running anything that is in them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spaces.layers import Layer
from spaces.resizing import resized

if TYPE_CHECKING:
    import keras

LARGE_SIDE, AT_ONCE = 224, 32  # in pixels; above it fewer images than these are seen at once, of as many pixels
IN_MEMORY = 2  # networks that a worker keeps: building another takes a second or two, and its features stay on disk


class BackboneError(ValueError):
    """Weights that are missing, or are not the ones that they should be. The message is one sentence for a person."""


@dataclass(frozen=True)
class Backbone(ABC):
    """A network trained on ImageNet, whose weights are available."""

    name: str  # in study.toml and in points
    title: str  # for people
    widths: tuple[int, ...]  # channels of its maps, one a stage, the top's last
    sha256: str  # of the file of its weights, in hex
    bytes: int  # of that file

    @property
    @abstractmethod
    def source(self) -> str:
        """Where its weights are from, for people."""

    @property
    @abstractmethod
    def licence(self) -> str:
        """The licence of its weights: an SPDX identifier, or where it is said."""

    @property
    @abstractmethod
    def below_last(self) -> int:
        """How many of its maps are below its last block, to which a last convolution on top of it belongs."""

    @property
    @abstractmethod
    def kept(self) -> int:
        """How many times the numbers in what `layers` say training holds: all maps between, their gradients, scratch.

        Measured: one step of `fine-tune`, all trained, 32 images of 128 px on a processor; less weights and moments.
        """

    @property
    def any_side(self) -> bool:
        """Whether one network serves all sides; else `network` needs its side."""
        return True

    @property
    def style_map(self) -> int:
        """Which of its maps shows how a picture looks, rather than what is on it; see `style`.

        The lower of those in the middle: measured in docs/unknown.md.
        """
        return max(0, len(self.widths) // 2 - 1)

    @property
    def style_columns(self) -> NDArray[np.intp]:
        """Those of `features` that are the style: of one map the channels' means, then their deviations."""
        first, width, means = sum(self.widths[: self.style_map]), self.widths[self.style_map], sum(self.widths)
        return np.concatenate([np.arange(first, first + width), np.arange(means, means + width)])

    @abstractmethod
    def network(self, side: int | None = None) -> keras.Model:
        """The network with its weights, trainable, from RGB 0..255 float32 [batch, side, side, 3] to its maps.

        It scales its input itself. The maps are a list, [batch, height, width, widths[n]], the top's last. `side` is a
        multiple of 32; None: any. Raises BackboneError where the weights are not, or no longer, the ones with `sha256`.
        """

    @abstractmethod
    def layers(self, side: int) -> tuple[Layer, ...]:
        """The network for the report's drawing, in a few plates, without building it: the last one is the top."""

    def features(self, pixels: NDArray[np.uint8], side: int, *, mirrored: bool = False) -> NDArray[np.float32]:
        """What the network sees in images: [images, sum(widths) + widths[style_map]].

        First the mean over each of its maps, then the standard deviation over each channel of `style_map`.
        `pixels` is [images, height, width, 1 or 3]; each is resized to `side` x `side` (a grey one is taken for all
        three colours), and turned left to right where `mirrored`. The same images in the same order, in one call,
        give the same bits.
        """
        if side > LARGE_SIDE and len(pixels) > (most := max(1, AT_ONCE * LARGE_SIDE**2 // side**2)):
            parts = [pixels[start : start + most] for start in range(0, len(pixels), most)]
            return np.concatenate([self.features(part, side, mirrored=mirrored) for part in parts])
        import tensorflow as tf

        x = tf.cast(tf.constant(pixels), tf.float32)
        x = tf.repeat(x, 3, axis=-1) if pixels.shape[-1] == 1 else x
        x = resized(x, side)
        pooled: NDArray[np.float32] = _pooled(self, None if self.any_side else side)(
            tf.reverse(x, [2]) if mirrored else x
        ).numpy()
        return pooled


@lru_cache(maxsize=IN_MEMORY)
def _pooled(backbone: Backbone, side: int | None) -> Any:
    """A TensorFlow function from RGB 0..255 [images, side, side, 3] to features; `side` None: for every side."""
    import keras
    import tensorflow as tf

    network = backbone.network(side)
    deviations = style(network.outputs[backbone.style_map])[1]
    model = keras.Model(network.inputs, keras.ops.concatenate([pooled_maps(network.outputs), deviations], axis=1))
    return tf.function(
        lambda x: model(x, training=False),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.float32)],
        autograph=False,
    )


def pooled_maps(maps: Sequence[Any]) -> Any:
    """The mean over each of a backbone's maps, side by side: [batch, sum of their widths], by layers of Keras."""
    import keras

    means = [keras.layers.GlobalAveragePooling2D()(map_) for map_ in maps]
    return keras.layers.Concatenate()(means) if len(means) > 1 else means[0]


def style(map_: Any) -> tuple[Any, Any]:
    """(Means, standard deviations) of the channels of a map [batch, height, width, channels], [batch, channels] each.

    They tell how an image looks as a whole (Huang and Belongie, ICCV 2017, arXiv 1703.06868).
    """
    import keras

    return keras.ops.mean(map_, axis=(1, 2)), keras.ops.std(map_, axis=(1, 2))
