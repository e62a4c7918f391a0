"""Where a saved network looks: Grad-CAM (Selvaraju et al., ICCV 2017, arXiv 1610.02391), place by place. For workers.

The numbers of the last map before the head are multiplied by how much the answer depends on each, and added up over
channels (HiResCAM, Draelos and Carin, arXiv 2011.08891). Where the head sees the mean of the map that is Grad-CAM. For
other heads Grad-CAM averages over places what differs between them, and so points at wrong ones.

It needs a head that sees a map: networks of dense layers have none, and vision transformers with a class token are left
out. Swin has one, as its head sees the mean of its last map.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from search.jobs import LOOK_SIDE, Looked, LookJob
from search.worker.keras_internals import all_operations, patched
from search.worker.packaging import load

BATCH = 16  # images at a time
_CONVOLUTIONS = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.DepthwiseConv2D,
    keras.layers.SeparableConv2D,
)
_TINY = 1e-30  # added to probabilities before their logarithm

Seen = Callable[[Any, Sequence[Any], Any], object]


def look(job: LookJob, pixels: NDArray[np.uint8]) -> Looked:
    """See LookJob. `pixels`: of the study, [images, height, width, channels]. Raises OSError or ValueError."""
    started = time.perf_counter()
    model = load(job.path)
    images = tf.constant(pixels[job.rows], tf.float32)
    last = _last_map(model, images[:1])
    if last is None:
        return Looked(None, time.perf_counter() - started)
    parts = [
        _maps(model, last, images[start : start + BATCH], job.classes[start : start + BATCH])
        for start in range(0, len(job.rows), BATCH)
    ]
    return Looked(_in_bytes(np.concatenate(parts)), time.perf_counter() - started)


def _last_map(model: keras.Model, image: Any) -> Any:
    """The operation that gives the last map with more than one place, after a convolution; None if there is none.

    What pools is left out: it makes the same map coarser.
    """
    last = None
    convolved: dict[int, Any] = {}  # tensors that come of a convolution, by their id, so that they live

    def seen(operation: Any, given: Sequence[Any], output: Any) -> None:
        nonlocal last
        if isinstance(operation, _CONVOLUTIONS) or any(id(tensor) in convolved for tensor in given):
            convolved[id(output)] = output
            is_map = len(output.shape) == 4 and output.shape[1] * output.shape[2] > 1
            last = operation if is_map and "Pooling" not in type(operation).__name__ else last

    with _watched(model, seen):
        model(image, training=False)
    return last


def _maps(model: keras.Model, last: Any, images: Any, classes: NDArray[np.int32]) -> NDArray[np.float32]:
    """[images, height, width], at least 0: equation 3 of Draelos and Carin for the map of the operation `last`.

    It takes the score of a class before the softmax. A saved model has probabilities only; the logarithm of that of the
    class, less the mean of all logarithms, is the score less the mean score. What speaks against the class counts as 0,
    as in Grad-CAM.
    """
    maps: list[Any] = []
    with tf.GradientTape(watch_accessed_variables=False) as tape:

        def seen(operation: Any, given: Sequence[Any], output: Any) -> None:  # noqa: ARG001 - as it is called
            if operation is last and not maps:
                tape.watch(output)  # not before: what leads to the map needs no gradient, and so no memory
                maps.append(output)

        with _watched(model, seen):
            probabilities = model(images, training=False)
        scores = tf.math.log(probabilities + _TINY)
        score = tf.gather(scores, classes, axis=1, batch_dims=1) - tf.reduce_mean(scores, axis=1)
    gradient = tape.gradient(score, maps[0], unconnected_gradients=tf.UnconnectedGradients.ZERO)
    cam = tf.nn.relu(tf.reduce_sum(gradient * maps[0], axis=3, keepdims=True))
    sides = [min(side, LOOK_SIDE) for side in cam.shape[1:3]]
    smaller: NDArray[np.float32] = tf.image.resize(cam, sides, method="area")[..., 0].numpy()
    return smaller


def _in_bytes(maps: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Each of [images, height, width] by its own maximum, which becomes 255; 0 where there is no finite one."""
    most = maps.max(axis=(1, 2), keepdims=True)
    usable = np.isfinite(maps).all(axis=(1, 2), keepdims=True) & (most > 0)
    return np.where(usable, np.rint(255 * np.divide(maps, most, where=usable, out=np.zeros_like(maps))), 0).astype(
        np.uint8
    )


@contextmanager
def _watched(model: keras.Model, seen: Seen) -> Iterator[None]:
    """Within, `seen` is called with each operation of the model that was called, what it was given, and its tensor.

    Not for what it does with the mirror image, if it is shown that too, nor for what is within attention.
    """
    mirrored: list[Any] = []  # tensors
    inside = 0  # operations at work of which nothing is seen

    def observed(operation: Any) -> Callable[..., Any]:
        call = operation.call

        def calling(*args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            of_mirrored = any(argument is image for argument in args for image in mirrored)
            hidden = of_mirrored or "Attention" in type(operation).__name__
            inside += hidden
            try:
                output = call(*args, **kwargs)
            finally:
                inside -= hidden
            if type(operation).__name__ == "Flip":
                mirrored.append(output)
            elif not inside and not of_mirrored and tf.is_tensor(output):
                seen(operation, keras.tree.flatten((args, kwargs)), output)
            return output

        return calling

    with ExitStack() as stack:
        for operation in all_operations(model):
            stack.enter_context(patched(operation, "call", observed(operation)))
        yield
