"""What decides a compiled model's graphs, and the numbers that they read from variables.

Models that differ in nothing but initial weights and such numbers (rates of dropout, strengths of penalties, label
smoothing, weight decay, the learning rate, which is Keras's own variable) can be trained on the same graphs. Only while
a graph is traced does the model read variables: before and after it is a plain Keras model with plain numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import keras
import tensorflow as tf

from search.worker.keras_internals import all_layers, has_rate, inner, patched

_SMOOTHED = (keras.losses.CategoricalCrossentropy, keras.losses.BinaryCrossentropy)


def scalars(model: keras.Model) -> list[float]:
    """The numbers of a compiled model that `scalars_as_variables` makes variables, in a fixed order."""
    return [float(getattr(owner, name)) for owner, name in _places(model)]


def set_scalars(model: keras.Model, values: Sequence[float]) -> None:
    """Give the model the `scalars` of another one of its architecture, for all that is not traced."""
    for (owner, name), value in zip(_places(model), values, strict=True):
        vars(owner)[name] = value


@contextmanager
def scalars_as_variables(model: keras.Model, variables: Sequence[tf.Variable]) -> Iterator[None]:
    """Within, what is traced of the model reads its `scalars` from these, float64 scalars.

    In double precision until they meet a tensor, as Python's own numbers would be: not a bit differs from those.
    """
    with ExitStack() as stack:
        for (owner, name), variable in zip(_places(model), variables, strict=True):
            stack.enter_context(patched(owner, *_reader(owner, name, variable)))
        yield


def graph_signature(model: keras.Model) -> str | None:
    """All that decides the graphs of a compiled model, but for its numbers; None where the model cannot say.

    Layers must have been named anew, beginning with a cleared session.
    """
    optimizer = inner(model.optimizer)
    with ExitStack() as stack:
        for owner, name in _places(model):
            stack.enter_context(patched(owner, name, True))
        try:
            parts = [_configured(part) for part in (model, optimizer, model.loss)]
        except NotImplementedError:
            return None
    if has_rate(optimizer):
        del parts[1][1]["learning_rate"]
    return json.dumps([_without_initializers(parts), len(_places(model))], sort_keys=True, default=str)


def of_keras_alone(model: keras.Model) -> bool:
    """Whether all state of a compiled model of Keras's layers (see `packaging.unsaveable_reason`) is in its variables.

    Its class, optimizer and loss are Keras's own too, its optimizer has done nothing yet, it may become a graph, and
    none of its layers adapts to data, which leaves constants behind. So another model that the same builder makes at
    the same point can be trained by its graphs.
    """
    optimizer, loss = model.optimizer, model.loss
    parts = [model, optimizer, inner(optimizer), *([] if isinstance(loss, str) else [loss])]
    own = all(type(part).__module__.partition(".")[0] == "keras" for part in parts)
    fresh = not (optimizer.built or model.run_eagerly)
    return own and fresh and not any(hasattr(layer, "adapt") for layer in all_layers(model))


def _configured(part: Any) -> tuple[str, dict[str, Any]]:
    """(class, configuration); a loss may be named by a string."""
    return (part, {}) if isinstance(part, str) else (type(part).__name__, part.get_config())


def _places(model: keras.Model) -> list[tuple[Any, str]]:
    """(object, its attribute) of each number. A number that is 0 and so not in the graph is none of them."""
    optimizer, loss = inner(model.optimizer), model.loss
    places: list[tuple[Any, str]] = [
        (layer, "rate")
        for layer in all_layers(model)
        if type(layer) is keras.layers.Dropout and layer.rate and layer.noise_shape is None
    ]
    penalties = {id(weight.regularizer): weight.regularizer for weight in model.trainable_variables}
    places += [(penalty, "l2") for penalty in penalties.values() if type(penalty) is keras.regularizers.L2]
    if optimizer.weight_decay is not None:
        places.append((optimizer, "weight_decay"))
    if optimizer.use_ema:
        places.append((optimizer, "ema_momentum"))
    if type(loss) in _SMOOTHED:
        places.append((loss, "label_smoothing"))
    return places


def _reader(owner: Any, name: str, variable: tf.Variable) -> tuple[str, Any]:
    """(attribute, its replacement): the variable, or a `call` of ours where Keras compares the number with 0."""
    if name == "rate":

        def dropped(inputs: Any, training: bool = False) -> Any:
            return _dropout(inputs, variable, owner.seed_generator) if training else inputs

        return "call", dropped
    if name == "label_smoothing":
        plain = type(owner).from_config(owner.get_config() | {"label_smoothing": 0.0})
        return "call", lambda y_true, y_pred: plain.call(_smoothed(y_true, variable, y_pred), y_pred)
    return name, tf.cast(variable, tf.float32)


def _dropout(x: tf.Tensor, rate: tf.Variable, seed: keras.random.SeedGenerator) -> tf.Tensor:
    """As TensorFlow computes it, from the same random numbers."""
    kept = keras.random.uniform(tf.shape(x), dtype=x.dtype, seed=seed) >= tf.cast(rate, x.dtype)
    return tf.where(kept, x * tf.cast(1 / (1 - rate), x.dtype), tf.zeros([], x.dtype))


def _smoothed(y: tf.Tensor, smoothing: tf.Variable, y_pred: tf.Tensor) -> tf.Tensor:
    """Targets [batch, columns] as Keras's cross-entropies smooth them, towards even shares; one column is a half."""
    y = tf.cast(y, y_pred.dtype)
    return y * tf.cast(1 - smoothing, y.dtype) + tf.cast(smoothing, y.dtype) / max(2, y_pred.shape[-1])


def _without_initializers(config: Any) -> Any:
    """A layer's configuration without what decides only its first weights."""
    if isinstance(config, Mapping):
        return {
            key: _without_initializers(value) for key, value in config.items() if not str(key).endswith("initializer")
        }
    return [_without_initializers(value) for value in config] if isinstance(config, list | tuple) else config
