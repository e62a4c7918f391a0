"""LiteRT, once TensorFlow Lite: a .tflite file for phones and small devices.

TensorFlow's converter writes it, and the package `ai-edge-litert` runs it: the interpreter in TensorFlow itself is
deprecated. All operations are LiteRT's own, so that every runtime has them. As is usual for such files, what belongs
to the model is a ZIP archive that is appended to it: `labels.txt`, one class a line, and `smallsearch.json`.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.export.bounds import MAX_OUTPUT, check_archive
from search.export.loaded import Loaded, check_seal, check_size, free_batch, sealed
from search.export.wanted import Wanted
from search.manifest import ABOUT, STANDARDIZED, parsed, stored
from search.native import no_stderr
from spaces.messages import first_line

MODULES = ("ai_edge_litert",)
LABELS = "labels.txt"
_MAX_BYTES = 2**31 - 1  # of a flatbuffer, which is what these files are


def write(model: Any, path: Path, wanted: Wanted, about: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert a keras.Model. Returns what the file says of itself. Raises whatever the converter raises."""
    import tensorflow as tf

    operations, options = [tf.lite.OpsSet.TFLITE_BUILTINS], dict[str, Any]()
    if wanted.quantize:
        options["optimizations"] = [tf.lite.Optimize.DEFAULT]
    if wanted.quantize == "int8":
        model = _with_a_scale_each(model)
        operations.insert(0, tf.lite.OpsSet.TFLITE_BUILTINS_INT8)
        options["representative_dataset"] = lambda: _samples(wanted)
    target: dict[str, Any] = {"supported_ops": operations}
    if wanted.quantize == "float16":
        target["supported_types"] = [tf.float16]
    signature = [tf.TensorSpec((wanted.batch, *model.input_shape[1:]), tf.float32, name="pixels")]
    model.export(path, format="litert", input_signature=signature, verbose=False, target_spec=target, **options)
    said = sealed(path, {**about, "quantized": wanted.quantize, "batch": wanted.batch})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS, "".join(f"{_in_a_line(name)}\n" for name in said["classes"]))
        archive.writestr(ABOUT, json.dumps(said, indent=1))
    return said


def _with_a_scale_each(model: Any) -> Any:
    """The same model, in which features are standardised by a convolution: in 8 bits it has a scale for each of them.

    The factors of a normalisation share one scale. The largest factor is that of the feature that varies least, so for
    those that tell most it would be 0. Of convolutions alone the scales are by channel:
    https://ai.google.dev/edge/litert/models/quantization_spec
    """
    import keras

    named = (layer for layer in model.layers if layer.name.startswith(STANDARDIZED))
    instead = {layer.name: _as_convolution(layer) for layer in named}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        return instead.get(layer.name, layer)(*args, **kwargs)

    return keras.models.clone_model(model, clone_function=lambda layer: layer, call_function=call)


def _as_convolution(standardize: Any) -> Any:
    """(x - mean) / deviation, of x [batch, width], as a depthwise convolution of one pixel.

    In 8 bits a step of x is about 1 / 255 of what the largest feature reaches. What varies by less than a quarter of it
    is not seen, only rounding, and XNNPACK takes no factor so large: such a deviation counts as a quarter of a step.
    """
    import keras

    mean, variance = (weights.astype(np.float64) for weights in standardize.get_weights())
    deviation = np.sqrt(variance)
    factor = 1 / np.maximum(deviation, np.max(np.abs(mean) + 3 * deviation) / (4 * 255))
    convolution = keras.layers.DepthwiseConv2D(1)
    convolution.build((None, 1, 1, len(mean)))
    convolution.set_weights([factor.reshape(1, 1, -1, 1), -mean * factor])
    return keras.Sequential([keras.layers.Reshape((1, 1, len(mean))), convolution, keras.layers.Flatten()])


def _samples(wanted: Wanted) -> Iterator[list[NDArray[np.float32]]]:
    """Batches of training images, whose values decide the ranges of int8."""
    size = wanted.batch or 1
    for start in range(0, len(wanted.samples) - size + 1, size):
        yield [wanted.samples[start : start + size].astype(np.float32)]


def _in_a_line(name: str) -> str:
    return " ".join(name.splitlines())


def describe(path: Path) -> bytes:
    """The description in the file. Raises UsageError."""
    check_size(path, _MAX_BYTES)
    check_archive(path)
    return stored(path)


def read(path: Path) -> Loaded:
    """Load the file with LiteRT's interpreter, on all cores. Nothing in it can run code.

    Raises UsageError for a file that is none or damaged, or whose steps would take more memory than any model of ours.
    What is loaded raises it too, where it cannot be run.
    """
    description = describe(path)
    check_seal(path, description)
    from ai_edge_litert.interpreter import Interpreter

    try:
        with no_stderr():  # it tells which delegate it takes
            interpreter = Interpreter(model_content=path.read_bytes(), num_threads=os.cpu_count())
        (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
        largest = _largest(interpreter.get_tensor_details(), int(given["shape"][0]))
        if given["dtype"] is not np.float32 or answer["dtype"] is not np.float32:
            raise ValueError("it does not take and give float32")
    except (OSError, ValueError, RuntimeError, TypeError) as error:
        raise UsageError(f"{path} cannot be loaded by LiteRT: {first_line(error)}") from None
    if largest > MAX_OUTPUT:
        raise UsageError(f"{path} is damaged: one of its steps gives {largest:,} numbers for one image")
    free = int(given["shape_signature"][0]) < 0
    quantized = parsed(description, path).quantized == "int8"

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            if interpreter.get_input_details()[0]["shape"][0] != len(images) or not allocated:
                if free:
                    interpreter.resize_tensor_input(given["index"], images.shape)
                with no_stderr():
                    interpreter.allocate_tensors()
                allocated.append(True)
            interpreter.set_tensor(given["index"], images)
            interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise UsageError(f"{path} cannot be run by LiteRT: {first_line(error)}") from None
        answers: NDArray[np.float32] = interpreter.get_tensor(answer["index"])
        # In steps of 1/256 probabilities add up to 1 only roughly.
        return answers / answers.sum(axis=1, keepdims=True) if quantized else answers

    allocated: list[bool] = []
    batch = None if free else int(given["shape"][0])
    return Loaded(run, free_batch(tuple(given["shape"])), free_batch(tuple(answer["shape"])), batch, largest)


def _largest(tensors: list[dict[str, Any]], batch: int) -> int:
    """Numbers of the largest tensor, for one image."""
    return max((math.prod(int(side) for side in one["shape"]) for one in tensors), default=0) // max(1, batch)
