"""A TensorFlow SavedModel: a folder, for TensorFlow Serving, TensorFlow.js and programs in C++ or Java.

Keras's own exporter writes it. `smallsearch.json` and `labels.txt` lie in the same folder.

A SavedModel is a program: TensorFlow warns against loading one of a stranger. So its graph is read first, and it is
loaded only if it is of TensorFlow 2, of which loading runs nothing, and has no operations but those of
`search.export.operations`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.export.litert import LABELS
from search.export.loaded import Loaded, check_size, free_batch
from search.export.operations import COMPUTES, SAVES
from search.export.wanted import Wanted
from search.files import write_atomically
from search.manifest import ABOUT, stored
from search.native import no_stderr

GRAPH = "saved_model.pb"
_WEIGHTS = "variables"
_NAMES = {GRAPH, "fingerprint.pb", _WEIGHTS, "assets", ABOUT, LABELS}  # what an export has, and nothing else
_SIGNATURE = "serving_default"
_MAX_GRAPH, _MAX_WEIGHTS = 512 * 2**20, 8 * 2**30  # bytes
_SLACK = 2**20  # bytes
_KINDS = {"user_object", "function", "bare_concrete_function", "variable", "constant"}


def write(model: Any, path: Path, wanted: Wanted, about: Mapping[str, Any]) -> Mapping[str, Any]:
    """Convert a keras.Model. Returns what the folder says of itself. Raises whatever the exporter raises."""
    import tensorflow as tf

    signature = [tf.TensorSpec((wanted.batch, *model.input_shape[1:]), tf.float32, name="pixels")]
    model.export(path, format="tf_saved_model", input_signature=signature, verbose=False)
    said = {**about, "batch": wanted.batch}
    write_atomically(path / ABOUT, json.dumps(said, indent=1))
    write_atomically(path / LABELS, "".join(f"{' '.join(name.splitlines())}\n" for name in said["classes"]))
    return said


def is_one(path: Path) -> bool:
    """Whether a folder is a SavedModel of `search export`, and has nothing else in it."""
    return (path / GRAPH).is_file() and (path / ABOUT).is_file() and {p.name for p in path.iterdir()} <= _NAMES


def describe(path: Path) -> bytes:
    """The description in the folder. Raises UsageError."""
    return stored(path)


def read(path: Path) -> Loaded:
    """Load the folder with TensorFlow. Raises UsageError unless all that its graph can do is to compute."""
    _check_files(path)
    _check_graph(path)
    try:
        with no_stderr():
            import tensorflow as tf

            model = tf.saved_model.load(str(path))
        function = model.signatures[_SIGNATURE]
        (given,) = function.structured_input_signature[1].values()
        (name, answer), *_ = function.structured_outputs.items()
    except Exception as error:  # noqa: BLE001 - TensorFlow raises anything on a folder that is no SavedModel
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UsageError(f"{path} cannot be loaded by TensorFlow: {first}") from None

    def run(images: NDArray[np.float32]) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = model.signatures[_SIGNATURE](**{given.name: tf.constant(images)})[name].numpy()
        return answers  # by `model`, since its function alone does not keep its weights alive

    shapes = free_batch(tuple(given.shape)), free_batch(tuple(answer.shape))
    return Loaded(run, *shapes, given.shape[0])


def _check_files(path: Path) -> None:
    """Raises UsageError for links, which could lead anywhere, and for files that are too large to be read."""
    if linked := next((file for file in path.rglob("*") if file.is_symlink()), None):
        raise UsageError(f"{path}: {linked.name} in it is a link, which is not followed")
    check_size(path / GRAPH, _MAX_GRAPH)
    for file in (path / _WEIGHTS).glob("*"):
        check_size(file, _MAX_WEIGHTS)


def _check_graph(path: Path) -> None:
    """Raises UsageError unless the graph only computes, with weights that are in the folder."""
    with no_stderr():
        from google.protobuf.message import DecodeError
        from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        (meta,) = SavedModel.FromString((path / GRAPH).read_bytes()).meta_graphs
    except (DecodeError, ValueError):  # also for several graphs
        raise UsageError(f"{path}: {GRAPH} in it has no single graph of TensorFlow") from None
    if not meta.HasField("object_graph_def"):
        raise _refusal(path, "a graph of TensorFlow 1, parts of which run while it is loaded")
    objects = meta.object_graph_def
    kinds = {node.WhichOneof("kind") or "user_object" for node in objects.nodes}
    if strange := sorted(kinds - _KINDS):
        raise _refusal(path, f"something of the kind {strange[0]}")
    functions = {one.signature.name: one.node_def for one in meta.graph_def.library.function}
    called = _called(functions, objects)
    idle = [meta.graph_def.node, *(nodes for name, nodes in functions.items() if name not in called)]
    found = {node.op for name in called for node in functions[name]} - COMPUTES
    found |= {node.op for nodes in idle for node in nodes} - COMPUTES - SAVES
    if found:
        raise _refusal(path, f"the operation {min(found)[:60]}")
    announced = sum(_bytes_of(node.variable) for node in objects.nodes if node.WhichOneof("kind") == "variable")
    there = sum(file.stat().st_size for file in (path / _WEIGHTS).glob("*"))
    if announced > there + _SLACK:
        raise UsageError(f"{path} is damaged: it has {there:,} bytes of weights, and announces {announced:,}")


def _refusal(path: Path, what: str) -> UsageError:
    return UsageError(
        f"{path} is not loaded: it has {what}, which models of `search export` do not have, and a SavedModel is a "
        "program that could do anything"
    )


def _called(functions: Mapping[str, Iterable[Any]], objects: Any) -> set[str]:
    """The names of those of `functions` (their operations by their names) that something in the model calls."""
    waiting, called = [*objects.concrete_functions], set[str]()
    for node in objects.nodes:
        waiting += [*node.function.concrete_functions, node.bare_concrete_function.concrete_function_name]
    while waiting:
        name = waiting.pop()
        if name in called or name not in functions:
            continue
        called.add(name)
        for node in functions[name]:
            for value in node.attr.values():
                waiting += [value.func.name, *(one.name for one in value.list.func)]
    return called


def _bytes_of(variable: Any) -> int:
    import tensorflow as tf

    return math.prod(int(side.size) for side in variable.shape.dim) * int(tf.dtypes.as_dtype(variable.dtype).size)
