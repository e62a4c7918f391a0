"""Functions for what Keras and TensorFlow do not export or do not offer. It imports neither at its top.

Only this file uses their private names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
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
