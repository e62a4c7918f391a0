"""Images resized as pre-trained networks see them, in operations that every target of a model has.

`tf.image.resize(antialias=True)`, and so Keras's `Resizing(antialias=True)`, is the operation ScaleAndTranslate, which
XLA, LiteRT, onnxruntime and GPUs lack. Where an image is enlarged it does what plain bilinear interpolation does, to
the bit; where it is shrunk it is a product with a matrix along each side.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def resized(x: Any, side: int) -> Any:
    """Images [batch, height, width, channels] as [batch, side, side, channels]: bilinear, antialiased where smaller.

    `x` is float, a tensor or one of Keras's symbolic ones. An operation, not a layer: Keras's `Resizing` stores
    `training: true` with its call, which whatever comes after it in the model obeys when the model is called plainly.
    """
    from keras import ops  # heavy, and only workers build models

    height, width = int(x.shape[1]), int(x.shape[2])
    if (height, width) == (side, side):
        return x
    if max(height, width) <= side:
        return ops.image.resize(x, (side, side), interpolation="bilinear", data_format="channels_last")
    x = ops.einsum("sh,bhwc->bswc", bilinear(height, side), x)
    return ops.einsum("tw,bswc->bstc", bilinear(width, side), x)


def bilinear(size: int, side: int) -> NDArray[np.float32]:
    """[side, size]: the weights that `size` pixels in a row have in each of `side` pixels; every row adds up to 1.

    A triangle around each new pixel's centre, as wide as two pixels, of the old row or of the new one, whichever are
    wider: what TensorFlow's `resize(antialias=True)` computes (its source: kernels/image/scale_and_translate_op.cc).
    """
    scale = size / side
    centres = (np.arange(side) + 0.5) * scale
    distances = np.abs(np.arange(size) + 0.5 - centres[:, None]) / max(scale, 1.0)
    weights: NDArray[np.float64] = np.maximum(1 - distances, 0)
    weights /= weights.sum(axis=1, keepdims=True)
    return weights.astype(np.float32)
