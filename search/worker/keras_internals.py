"""Functions for what Keras and TensorFlow do not export or do not offer. It imports neither at its top.

Only this file uses their private names.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from search.seeds import derive

if TYPE_CHECKING:
    import keras


def inner(optimizer: keras.optimizers.Optimizer) -> Any:
    """The optimizer itself, where Keras has put the one that scales losses in half precision around it."""
    return getattr(optimizer, "inner_optimizer", optimizer)


def has_rate(optimizer: keras.optimizers.Optimizer) -> bool:
    """Whether the learning rate is a variable of the optimizer, which may be set, and not a schedule."""
    import keras

    return isinstance(inner(optimizer)._learning_rate, keras.Variable)


def averages(optimizer: keras.optimizers.Optimizer) -> Sequence[Any]:
    """The moving averages of the weights that an optimizer keeps, in the order of the weights."""
    kept: Sequence[Any] = inner(optimizer)._model_variables_moving_average
    return kept


def all_layers(model: keras.Model) -> Iterator[Any]:
    """The model and every layer in it, those within others too."""
    layers: Iterator[Any] = model._flatten_layers()
    return layers


def all_operations(model: keras.Model) -> list[Any]:
    """The model, and every layer and operation in it, those within others too."""
    layers = list(all_layers(model))
    within = [one for layer in layers for one in getattr(layer, "operations", ())]
    return list({id(one): one for one in (*layers, *within)}.values())


ATTENTION = {"MultiHeadAttention", "GroupedQueryAttention", "Attention", "DotProductAttention"}
"""Keras's layers and operations that make something larger than what they are given and give: a row for each row."""


def outputs_of_one(model: keras.Model) -> list[tuple[Any, tuple[int | None, ...]]]:
    """(Operation, shape of a tensor it gives) for one image, of each call of every operation. Computes no tensor.

    Of ATTENTION all tensors within count. A network within another does not say what its operations give for that
    one's images, so all are asked again.
    """
    import keras

    operations = all_operations(model)
    tensors = [
        (one, tensor) for one in operations for node in getattr(one, "_inbound_nodes", ()) for tensor in node.outputs
    ]

    def noting(operation: Any, asked: Callable[..., Any]) -> Callable[..., Any]:
        def answer(*args: Any, **kwargs: Any) -> Any:
            given = asked(*args, **kwargs)
            tensors.extend((operation, tensor) for tensor in keras.tree.flatten(given))
            if ATTENTION & {kind.__name__ for kind in type(operation).__mro__}:
                tensors.extend((operation, tensor) for tensor in _tensors_within(operation, *args, **kwargs))
            return given

        return answer

    with ExitStack() as stack:
        for one in operations:
            stack.enter_context(patched(one, "compute_output_spec", noting(one, one.compute_output_spec)))
        model.compute_output_spec([keras.KerasTensor((1, *given.shape[1:]), given.dtype) for given in model.inputs])
    return [(one, tuple(tensor.shape)) for one, tensor in tensors if hasattr(tensor, "shape")]


def _tensors_within(operation: Any, *args: Any, **kwargs: Any) -> list[Any]:
    """All tensors of a call with these symbolic ones, in a graph that is never run."""
    import tensorflow as tf
    from keras.src.backend.tensorflow.core import compute_output_spec  # Keras exports it for no backend

    found: list[Any] = []

    def call(*args: Any, **kwargs: Any) -> Any:
        given = operation.call(*args, **kwargs)
        graph = tf.compat.v1.get_default_graph()
        found.extend(
            tensor for one in graph.get_operations() for tensor in one.outputs if tensor.shape.rank is not None
        )
        return given

    compute_output_spec(call, *args, **kwargs)
    return found


def maker_of(tensor: Any) -> Any:
    """The layer or operation whose output a symbolic tensor is; None where it does not say."""
    return getattr(tensor, "_keras_history", (None,))[0]


def inputs_of(operation: Any) -> Sequence[Any]:
    """The symbolic tensors that a layer or operation was called with, where it was called once."""
    nodes = operation._inbound_nodes
    return list(nodes[0].input_tensors) if len(nodes) == 1 else []


@contextmanager
def patched(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Within, something of Keras's has this attribute; not by `setattr`, with which Keras would track the value."""
    held = vars(owner)
    before = held.get(name, held)
    held[name] = value
    try:
        yield
    finally:
        if before is held:
            del held[name]
        else:
            held[name] = before


@contextmanager
def with_kernels(uniform: Callable[..., Any], affine_transform: Callable[..., Any]) -> Iterator[None]:
    """Within, Keras's layers draw uniform numbers and transform images by these; of the signatures of Keras's own."""
    from keras.src.backend.tensorflow import image, random  # Keras exports neither where its layers find them

    with patched(random, "uniform", uniform), patched(image, "affine_transform", affine_transform):
        yield


def without_replica_sums(optimizer: keras.optimizers.Optimizer) -> AbstractContextManager[None]:
    """Within, the optimizer does not sum gradients over replicas.

    With one replica the sum changes nothing, but as a custom gradient it keeps its graph forever.
    """
    return patched(inner(optimizer), "_all_reduce_sum_gradients", list)


def reset_names() -> None:
    """Let Keras number layer names from the beginning again, as in a cleared session, and change nothing else."""
    from keras.src.utils.naming import reset_uids  # Keras exports only what counts them up

    reset_uids()


@contextmanager
def without_values() -> Iterator[None]:
    """Variables that are made within have a shape and no value, then and later.

    Keras lists each of them, and the next scope that does initialize variables would fill all that it lists.
    """
    import keras
    from keras.src.backend.common import global_state  # Keras exports the scope only

    name = "uninitialized_variables"
    before = list(global_state.get_global_attribute(name) or ())
    try:
        with keras.StatelessScope(initialize_variables=False):
            yield
    finally:
        global_state.set_global_attribute(name, before)


@contextmanager
def dtype_policy(name: str) -> Iterator[None]:
    """Layers that are made within compute by this dtype policy of Keras."""
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def forget_gradients() -> None:
    """Free the graphs traced so far that are no longer used.

    TensorFlow keeps the gradient of each `tf.custom_gradient` (swish has one) forever, and with it the graph around it,
    though it reads it only while a graph is traced.
    """
    from tensorflow.python.framework import ops

    registry = getattr(ops.gradient_registry, "_registry", {})
    for name in [name for name in registry if name.startswith("CustomGradient-")]:
        del registry[name]


@contextmanager
def random_states_kept(model: keras.Model) -> Iterator[None]:
    """Within, calls of the model do not advance its random generators."""
    states = _random_states(model)
    values = [variable.numpy() for variable in states]
    try:
        yield
    finally:
        for state, value in zip(states, values, strict=True):
            state.assign(value)


def reseed(model: keras.Model, seed: int) -> None:
    """Let the model's random generators begin at `seed`, each with other numbers."""
    for number, state in enumerate(_random_states(model)):
        state.assign([derive(seed, "generator", number), 0])


def _random_states(model: keras.Model) -> list[Any]:
    weights = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]
