"""The edits of `diagnosis/experiments.py`, made to a compiled Keras model. For workers only; Keras is imported inside.

They go through Keras's own objects, before any graph is traced, so whatever builds the model stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from search.diagnosis.experiments import Edit
from search.worker.keras_internals import has_rate

if TYPE_CHECKING:
    import keras


def edited(model: keras.Model, edit: Edit | None, classes: int, seed: int) -> keras.Model:
    """The new and compiled model with one change; the same object, except where its input is scaled.

    Raises ValueError where the model cannot be changed so.
    """
    import keras

    if edit is None:
        return model
    if edit.kind == "scale":
        return _scaled(model, edit.value, classes)
    changes: dict[str, Callable[[], None]] = {
        "glorot": lambda: _redraw(model, kernels=True, seed=seed),
        "zero biases": lambda: _redraw(model, kernels=False, seed=seed),
        "no dropout": lambda: _keep_all(model),
        "no penalty": lambda: _unpenalised(model),
        "learning rate": lambda: _set_rate(model, edit.value),
        "sgd": lambda: _optimize(model, keras.optimizers.SGD(0.01, momentum=0.9)),
        "adam": lambda: _optimize(model, keras.optimizers.Adam(0.001)),
        "leaky": lambda: _activate(model),
        "trainable": lambda: _train_all(model),
        "fitting output": lambda: _fit_output(model, classes),
    }
    changes[edit.kind]()
    return model


def _layers(model: keras.Model) -> list[Any]:
    """All layers, at any depth."""
    layers: list[Any] = []
    for layer in model.layers:
        layers += [layer, *(_layers(layer) if hasattr(layer, "layers") else ())]
    return layers


def _redraw(model: keras.Model, *, kernels: bool, seed: int) -> None:
    """Kernels as Keras's default initializer draws them, each with another seed; or biases to 0."""
    import keras

    for place, variable in enumerate(model.trainable_variables):
        if kernels and len(variable.shape) > 1:
            variable.assign(keras.initializers.GlorotUniform(seed + place)(variable.shape))
        elif not kernels and variable.name == "bias":
            variable.assign(keras.ops.zeros_like(variable))


def _unpenalised(model: keras.Model) -> None:
    """Without penalties on weights or outputs. A layer's configuration too, which is what decides a kept graph."""
    for layer in _layers(model):
        for name in [name for name in vars(layer) if name.endswith("_regularizer")]:
            setattr(layer, name, None)
    for variable in model.trainable_variables:
        variable.regularizer = None


def _set_rate(model: keras.Model, rate: float) -> None:
    if not has_rate(model.optimizer):
        raise ValueError("the optimizer has its own schedule of learning rates")
    model.optimizer.learning_rate = rate


def _optimize(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> None:
    model.optimizer = optimizer


def _keep_all(model: keras.Model) -> None:
    for layer in _layers(model):
        if "Dropout" in type(layer).__name__ and hasattr(layer, "rate"):
            layer.rate = 0


def _train_all(model: keras.Model) -> None:
    for layer in [model, *_layers(model)]:
        layer.trainable = True


def _activate(model: keras.Model) -> None:
    import keras

    for layer in _layers(model):
        if getattr(getattr(layer, "activation", None), "__name__", "") == "relu":
            layer.activation = keras.activations.leaky_relu


def _fit_output(model: keras.Model, classes: int) -> None:
    """Softmax over several units with the cross-entropy that fits, a sigmoid on one."""
    import keras

    from spaces import compiling

    units = int(model.output_shape[-1])
    last = model.layers[-1]
    if not hasattr(last, "activation"):
        raise ValueError(f"the last layer, {last.name}, has no activation to change")
    last.activation = keras.activations.sigmoid if units == 1 else keras.activations.softmax
    compiling.compiled(model, classes, model.optimizer, None, ["accuracy"])


def _scaled(model: keras.Model, factor: float, classes: int) -> keras.Model:
    """The model behind a layer that multiplies pixels. One without a Rescaling was given 0..1, and now is 0..255."""
    import keras

    from search.worker.pixel_range import pixel_range
    from spaces import compiling

    if type(model).__name__ not in ("Functional", "Sequential", "Model"):
        raise ValueError("a subclass of keras.Model cannot be put behind another layer")
    factor *= pixel_range(model).factor
    inputs = keras.Input(model.input_shape[1:])
    outer = keras.Model(inputs, model(keras.layers.Rescaling(factor)(inputs)))
    return compiling.compiled(outer, classes, model.optimizer, model.loss, ["accuracy"])
