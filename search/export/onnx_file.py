"""ONNX: a .onnx file for onnxruntime, and through it for C++, C#, Java and the browser.

Keras's own exporter writes it, which calls `tf2onnx`. What belongs to the model is in its `metadata_props`: the key
`smallsearch` has the description, `classes` and `opset` are there for programs that know no other.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.export.bounds import MAX_OUTPUT
from search.export.loaded import Loaded, check_installed, check_seal, check_size, free_batch, sealed
from search.export.wanted import Wanted
from search.native import no_stderr
from spaces.messages import first_line

READING = ("onnx", "onnxruntime")
MODULES = (*READING, "tf2onnx")
OPSET = 18  # the newest that tf2onnx 1.17 writes; onnxruntime reads it since 1.14
_KEY = "smallsearch"
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml")  # of operations that the standard defines
_MAX_BYTES = 2**31 - 1  # of a protocol buffer, which is what these files are


def write(model: Any, path: Path, wanted: Wanted, about: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert a keras.Model. Returns what the file says of itself. Raises whatever the converter raises."""
    import onnx
    import tensorflow as tf

    _teach_erfc()
    _put_constants_inside(model)
    signature = [tf.TensorSpec((wanted.batch, *model.input_shape[1:]), tf.float32, name="pixels")]
    model.export(path, format="onnx", input_signature=signature, verbose=False, opset_version=OPSET)
    said = sealed(path, {**about, "batch": wanted.batch, "opset": OPSET})
    more = onnx.ModelProto()
    onnx.helper.set_model_props(
        more, {_KEY: json.dumps(said), "classes": json.dumps(said["classes"]), "opset": str(OPSET)}
    )
    with path.open("ab") as file:  # of protocol buffers one after another a reader makes one
        file.write(more.SerializeToString())
    return said


def _put_constants_inside(model: Any) -> None:
    """Make the tensors that layers keep NumPy arrays: tf2onnx takes what a graph finds outside of itself for inputs.

    A `Normalization` keeps its mean and variance so.
    """
    import tensorflow as tf

    from search.worker.keras_internals import all_layers

    for layer in all_layers(model):
        for name, value in [*vars(layer).items()]:
            if isinstance(value, tf.Tensor):
                setattr(layer, name, value.numpy())


@lru_cache(maxsize=1)
def _teach_erfc() -> None:
    """Teach tf2onnx the operation Erfc, of which TensorFlow makes a gelu and which ONNX lacks: 1 - erf(x)."""
    from tf2onnx.handler import tf_op

    class Erfc:
        @classmethod
        def version_9(cls, graph: Any, node: Any, **_: Any) -> None:
            shapes, kinds = [graph.get_shape(node.output[0])], [graph.get_dtype(node.output[0])]
            given, (output,) = node.input[0], node.output
            graph.remove_node(node.name)
            erf = graph.make_node("Erf", [given], shapes=shapes, dtypes=kinds)
            one = graph.make_const(f"{node.name}_one", np.array(1, np.float32))
            graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=[output], shapes=shapes, dtypes=kinds)

    tf_op("Erfc")(Erfc)


def describe(path: Path) -> bytes:
    """The description in the file. Raises UsageError."""
    if (description := _said(_graph(path))) is not None:
        return description
    raise UsageError(f"{path} is no model of `search export`: it does not say which classes it knows")


def _said(graph: Any) -> bytes | None:
    """The description in an onnx.ModelProto; None where there is none, or damage has made it no text."""
    with suppress(UnicodeDecodeError):  # of what should be UTF-8, when it is read
        return next((str(one.value).encode() for one in graph.metadata_props if one.key == _KEY), None)
    return None


def read(path: Path) -> Loaded:
    """Load the file with onnxruntime, on all cores. Nothing in it can run code, and it opens no other file.

    Raises UsageError for a file that is none or damaged, that leads to other files, that has operations which the
    standard does not define, or whose steps would take more memory than any model of ours. What is loaded raises it
    too, where it cannot be run.
    """
    check_installed(READING, f"{path}: reading ONNX")
    import onnx
    import onnxruntime

    graph = _graph(path)
    try:
        _check_inside(path, graph)
    except UnicodeDecodeError:
        raise UsageError(f"{path} is damaged: a name in it is no text") from None
    if (description := _said(graph)) is not None:
        check_seal(path, description)
    try:
        largest = _largest(onnx.shape_inference.infer_shapes(graph, data_prop=True).graph)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4  # fatal
        options.intra_op_num_threads = os.cpu_count() or 1
        with no_stderr():
            session = onnxruntime.InferenceSession(
                graph.SerializeToString(), options, providers=["CPUExecutionProvider"], enable_fallback=0
            )
        (given,), (answer,) = session.get_inputs(), session.get_outputs()
        shapes = free_batch(tuple(given.shape)), free_batch(tuple(answer.shape))
    except Exception as error:  # noqa: BLE001 - its errors have no common class
        raise UsageError(f"{path} cannot be loaded by onnxruntime: {first_line(error)}") from None
    if largest > MAX_OUTPUT:
        raise UsageError(f"{path} is damaged: one of its steps gives {largest:,} numbers for one image")

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        try:
            (answers,) = session.run([answer.name], {given.name: images})
        except Exception as error:  # noqa: BLE001 - as above
            raise UsageError(f"{path} cannot be run by onnxruntime: {first_line(error)}") from None
        return np.asarray(answers, np.float32)

    batch = given.shape[0] if isinstance(given.shape[0], int) else None
    return Loaded(run, *shapes, batch, largest)


def _graph(path: Path) -> Any:
    """The onnx.ModelProto, without what lies in other files. Raises UsageError."""
    check_installed(("onnx",), f"{path}: reading ONNX")
    check_size(path, _MAX_BYTES)
    import onnx

    try:
        return onnx.load_model(path, load_external_data=False)
    except Exception as error:  # noqa: BLE001 - those of protobuf, of which there are two implementations
        raise UsageError(f"{path} is no ONNX file: {type(error).__name__}") from None


def _check_inside(path: Path, model: Any) -> None:
    """Raises UsageError unless all weights are in the file, and all operations are of the standard."""
    for graph in _graphs(model):
        for tensor in _tensors(graph):
            if tensor.external_data or tensor.data_location == tensor.EXTERNAL:
                raise UsageError(f"{path}: its weights are in other files, which are not opened; export it as one file")
        for node in graph.node:
            if node.domain not in _DOMAINS:
                raise UsageError(
                    f"{path} is no model of `search export`: it has the operation "
                    f"{node.domain[:40]}.{node.op_type[:40]}, which is not of the ONNX standard"
                )


def _tensors(graph: Any) -> Iterator[Any]:
    """All numbers of a graph: its weights, and those within its operations."""
    attributes = [attribute for node in graph.node for attribute in node.attribute]
    yield from graph.initializer
    for attribute in attributes:
        yield from (attribute.t, *attribute.tensors)
    sparse = (one for attribute in attributes for one in (attribute.sparse_tensor, *attribute.sparse_tensors))
    for one in (*graph.sparse_initializer, *sparse):
        yield from (one.values, one.indices)


def _graphs(model: Any) -> Iterator[Any]:
    """The graph of a model, those within its operations, and its functions."""
    waiting: list[Any] = [model.graph, *model.functions]
    while waiting:
        graph = waiting.pop()
        if hasattr(graph, "initializer"):
            yield graph
        else:
            yield _OfFunction(graph)
        for node in graph.node:
            for attribute in node.attribute:
                waiting += [attribute.g] if attribute.HasField("g") else []
                waiting += attribute.graphs


class _OfFunction:
    """A function as a graph: it has operations, and no weights of its own."""

    def __init__(self, function: Any) -> None:
        self.node, self.initializer, self.sparse_initializer = function.node, (), ()


def _largest(graph: Any) -> int:
    """Numbers of the largest value whose shape is known, for one image: a side without a number counts as 1."""
    values = [*graph.value_info, *graph.input, *graph.output]
    fixed = [side.dim_value for side in graph.input[0].type.tensor_type.shape.dim][:1]
    sizes = [math.prod(int(side.dim_value) or 1 for side in value.type.tensor_type.shape.dim) for value in values]
    return max(sizes, default=0) // max([1, *map(int, fixed)])
