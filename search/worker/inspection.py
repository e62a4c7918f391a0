"""A closer look at a Keras model: evidence for `diagnosis/rules.py`, layer by layer. TensorFlow is imported inside.

Nothing here changes a model, its optimizer or its random generators, so a fold run is not affected.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.diagnosis.evidence import Diagnosis, EpochSnapshot, Evidence, LayerEvidence, OutputStats
from search.diagnosis.rules import diagnosis_of, needs_inspection, scale_causes, symptom_of
from search.jobs import FoldJob
from search.stats.chance import entropy
from search.stats.metrics import scores
from search.worker.model_checks import findings

if TYPE_CHECKING:
    import keras

    from search.worker.trainer import Trainer

MAX_KEPT = 5_000_000  # numbers of which the initial values are kept: 20 MB
MAX_IMAGES = 64  # that are inspected layer by layer
MAX_PREDICTED = 256  # training images that are predicted
_NORMALISED = ("BatchNormalization", "GroupNormalization", "LayerNormalization", "Normalization", "UnitNormalization")
_LOSS_SCALE = 1024.0
_MIN_KERNEL = 0.01  # root mean square to which a movement is compared at least, where a kernel begins at zero


Start: TypeAlias = "tuple[NDArray[np.float32], ...] | None"
"""A model's trained weights before the first step, in the order of `trainable_variables`; None: too many to keep."""


@dataclass(frozen=True)
class _Measured:
    """What is measured for all layers at once."""

    now: Mapping[str, tuple[float, float | None]]  # by layer, see `_spreads`
    at_start: Mapping[str, tuple[float, float | None]]  # empty where the initial weights were not kept
    gradients: Mapping[int, float]  # their norm by `id` of the trained variable
    start: Mapping[int, NDArray[np.float32]]  # initial weights by `id` of the trained variable
    untrained: set[str]  # names of layers


def start_of(model: keras.Model) -> Start:
    """The initial weights, to compare trained ones with later."""
    if sum(math.prod(variable.shape) for variable in model.trainable_variables) > MAX_KEPT:
        return None
    return tuple(np.array(variable.numpy()) for variable in model.trainable_variables)


def answers_of(labels: NDArray[np.integer], probabilities: NDArray[np.float32]) -> OutputStats:
    """Statistics of probabilities [images, classes] for images with these labels."""
    if not np.isfinite(probabilities).all():
        return OutputStats(math.nan, math.nan, 0, math.nan)
    measured = scores(labels, probabilities, ("log_loss", "auroc"))
    spread = float(probabilities.std(axis=0).max())
    predicted = len(np.unique(probabilities.argmax(axis=1)))
    return OutputStats(measured["log_loss"], spread, predicted, measured["auroc"])


def evidence_of(model: keras.Model, x: Any, y: Any, start: Start, *, floor: float) -> Evidence:
    """Evidence from a compiled model and a batch: `x` as the model takes it, `y` as its loss does.

    `start` holds its initial weights: of a model that is not trained yet, `start_of(model)`. `floor` is the entropy
    of the class shares in nats.
    """
    x, y = x[:MAX_IMAGES], y[:MAX_IMAGES]
    passing = _outputs_of(model)
    with _initial(model, start) as known:
        at_start = _spreads(model, passing, x) if known else {}
        penalty_at_start = _penalty(model) if known else 0.0
    gradients, loss = _gradients(model, x, y)
    measured = _Measured(
        now=_spreads(model, passing, x),
        at_start=at_start,
        gradients=gradients,
        start={id(v): w for v, w in zip(model.trainable_variables, start or (), strict=False)},
        untrained=_untrained(model),
    )
    layers = tuple(_layer(layer, measured) for layer in _shown(model))
    size, spread = _given(model, x)
    optimizer = model.optimizer
    return Evidence(
        layers=layers,
        floor=floor,
        loss=loss,
        penalty=_penalty(model),
        penalty_at_start=penalty_at_start,
        input_size=size,
        input_spread=spread,
        image_spread=_spread(np.asarray(x, np.float32).reshape(len(x), -1)),
        learning_rate=float(optimizer.learning_rate) if optimizer is not None else math.nan,
        steps=int(optimizer.iterations) if optimizer is not None else 0,
    )


def _shown(model: keras.Model) -> list[Any]:
    return [layer for layer in model.layers if type(layer).__name__ != "InputLayer"]


def _outputs_of(model: keras.Model) -> tuple[list[str], Any]:
    """(names of layers, a model that gives the output of each); no names where the model is no graph of layers."""
    import keras

    names, outputs = [], []
    for layer in _shown(model):
        with contextlib.suppress(AttributeError, ValueError):  # it was called never, or more than once
            output = layer.output
            names.append(layer.name)
            outputs.append(output[0] if isinstance(output, list | tuple) else output)
    if not outputs or not model.inputs:
        return [], None
    try:
        return names, keras.Model(model.inputs, outputs)
    except ValueError:  # its layers are not connected to its input, as in a subclass of Model
        return [], None


def _spreads(model: keras.Model, passing: tuple[list[str], Any], x: Any) -> dict[str, tuple[float, float | None]]:
    """name -> (spread over images, share of dead units; None but for ReLU)."""
    names, through = passing
    if through is None:
        return {}
    outputs = through(x, training=False)
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    spreads = {}
    for name, output in zip(names, outputs, strict=True):
        values = np.asarray(output, np.float32).reshape(len(x), -1)
        dead = float((values == 0).all(axis=0).mean()) if _is_relu(model.get_layer(name)) else None
        spreads[name] = _spread(values), dead
    return spreads


def _spread(values: NDArray[np.float32]) -> float:
    """Standard deviation over rows of [images, units], root mean square over units."""
    with np.errstate(all="ignore"):
        return float(np.sqrt(np.mean(values.var(axis=0, dtype=np.float64))))


def _is_relu(layer: Any) -> bool:
    return type(layer).__name__ == "ReLU" or getattr(getattr(layer, "activation", None), "__name__", "") == "relu"


@contextlib.contextmanager
def _initial(model: keras.Model, start: Start) -> Iterator[bool]:
    """Within, the model has its initial weights; yields False where they were not kept."""
    if start is None:
        yield False
        return
    kept = [np.array(variable.numpy()) for variable in model.trainable_variables]
    for variable, value in zip(model.trainable_variables, start, strict=True):
        variable.assign(value)
    try:
        yield True
    finally:
        for variable, value in zip(model.trainable_variables, kept, strict=True):
            variable.assign(value)


def _gradients(model: keras.Model, x: Any, y: Any) -> tuple[dict[int, float], float]:
    """(L2 norm of the gradient by `id` of the trained variable, the loss), both without penalties.

    In half precision, the loss is scaled for the backward pass, as in training: small gradients would underflow.
    """
    import tensorflow as tf

    variables = model.trainable_variables
    with tf.GradientTape() as tape:
        whole = model.compute_loss(x=x, y=y, y_pred=model(x, training=False), training=False)
        loss = whole - tf.add_n([tf.cast(p, whole.dtype) for p in model.losses]) if model.losses else whole
        scale = _LOSS_SCALE if model.compute_dtype == "float16" else 1.0
        scaled = scale * loss
    gradients = tape.gradient(scaled, [variable.value for variable in variables])
    norms = [0.0 if g is None else float(tf.norm(tf.convert_to_tensor(g))) / scale for g in gradients]
    return {id(variable): norm for variable, norm in zip(variables, norms, strict=True)}, float(loss)


def _penalty(model: keras.Model) -> float:
    return float(sum(float(penalty) for penalty in model.losses))


def _layer(layer: Any, measured: _Measured) -> LayerEvidence:
    start = measured.start
    spread, dead = measured.now.get(layer.name, (math.nan, None))
    spread_then, dead_then = measured.at_start.get(layer.name, (None, None))
    trained = layer.trainable_variables
    kernels = [variable for variable in trained if len(variable.shape) > 1 and id(variable) in start]
    then = [start[id(kernel)] for kernel in kernels]
    norm_then = _norm(then)
    least = _MIN_KERNEL * math.sqrt(sum(kernel.size for kernel in then))
    changes = [kernel.numpy() - before for kernel, before in zip(kernels, then, strict=True)]
    return LayerEvidence(
        name=layer.name,
        kind=type(layer).__name__,
        spread=spread,
        spread_at_start=spread_then,
        dead=dead,
        dead_at_start=dead_then,
        gradient=math.hypot(*(measured.gradients[id(v)] for v in trained)) if trained else None,
        moved=_norm(changes) / max(norm_then, least) if kernels else None,
        size=_norm([kernel.numpy() for kernel in kernels]) / max(norm_then, least) if kernels else None,
        zero_at_start=bool(kernels) and not any(kernel.any() for kernel in then),
        dropout=_dropped(layer),
        untrained=layer.name in measured.untrained,
    )


def _untrained(model: keras.Model) -> set[str]:
    """Names of frozen layers with kernels, where training has left no trace in any frozen layer.

    It would in biases and in what normalisation remembers, which are made as zeros and ones.
    """
    frozen = [layer for layer in _shown(model) if _frozen(layer) and type(layer).__name__ != "Normalization"]
    vectors = [np.asarray(weight) for layer in frozen for weight in layer.weights if len(weight.shape) < 2]
    if not vectors or any(((vector != 0) & (vector != 1)).any() for vector in vectors):
        return set()
    return {layer.name for layer in frozen if any(len(weight.shape) > 1 for weight in layer.weights)}


def _frozen(layer: Any) -> bool:
    return bool(layer.weights) and not layer.trainable_variables


def _dropped(layer: Any) -> float:
    kind = type(layer).__name__
    return float(layer.rate) if "Dropout" in kind and isinstance(getattr(layer, "rate", None), int | float) else 0.0


def _norm(arrays: Sequence[NDArray[np.float32]]) -> float:
    with np.errstate(all="ignore"):
        return math.sqrt(sum(float(np.sum(np.square(array, dtype=np.float64))) for array in arrays))


def _given(model: keras.Model, x: Any) -> tuple[float, float]:
    """(root mean square of what the first layer with weights is given, at any depth; spread over images before the
    first trained one).

    The size is NaN where layers of normalisation make it harmless, and where a mean was subtracted from pixels of
    0..255, as Caffe's networks expect. Frozen layers may expect large numbers, so before them only small ones count.
    """
    import keras

    from search.worker.pixel_range import first_input

    values = np.asarray(x, np.float32)
    first = next((layer for layer in _shown(model) if layer.trainable_variables), None)
    before = takewhile(lambda layer: layer is not first, _shown(model))
    with contextlib.suppress(AttributeError, ValueError):
        its_input = first.input if first is not None else None
        if its_input is not None and not isinstance(its_input, list | tuple):
            values = np.asarray(keras.Model(model.inputs, its_input)(x, training=False), np.float32)
    given = values
    with contextlib.suppress(Exception):  # a custom model may raise anything
        given = first_input(model, x)
    less_mean = given.min() < 0 and np.abs(given).max() < 256  # unscaled pixels are never below 0
    size = float(np.sqrt(np.mean(np.square(given, dtype=np.float64))))
    harmless = any(type(layer).__name__ in _NORMALISED for layer in _shown(model))
    if harmless or (size > 1 and (less_mean or any(map(_frozen, before)))):
        size = math.nan
    return size, _spread(values.reshape(len(values), -1))


def before_training(trainer: Trainer, rows: NDArray[np.int32]) -> tuple[str, ...]:
    """Problems of a model that is about to be trained on these rows: a sentence each, with the line to change."""
    model, (x, _) = trainer.model, trainer.batch(rows[:MAX_IMAGES])
    causes = list(findings(model, model.loss, images=len(rows), batch_size=trainer.recipe.batch_size))
    with contextlib.suppress(
        Exception
    ):  # a custom model may raise anything, and an inspection must not end its training
        causes += [cause for cause in scale_causes(_given(model, x)[0]) if cause.name not in {c.name for c in causes}]
    return tuple(f"before training, {cause.name}: {cause.evidence}; try: {cause.change}" for cause in causes)


class Inspector:
    """Watches one fold run: cheap numbers at a few epochs, and an inspection where these are at chance."""

    def __init__(self, trainer: Trainer, job: FoldJob) -> None:
        """Make it before the first step, since it keeps the initial weights."""
        self._trainer, self._job = trainer, job
        self._labels = labels = trainer.context.labels
        counts = np.bincount(labels[job.train])
        shares = counts[counts > 0] / len(job.train)
        self.floor = entropy(shares)
        self._classes = len(shares)
        self._rows = job.train[:: -(-len(job.train) // MAX_PREDICTED)]
        self.start = start_of(trainer.model)

    def inspect(
        self, epoch: int, curve: Mapping[str, Sequence[float]], loss: float, *, ended: bool, broken: bool = False
    ) -> Diagnosis | None:
        """What is wrong after this epoch, if anything. `broken`: its `loss`, or a prediction, is not finite."""
        glance = EpochSnapshot(
            epoch=epoch,
            ended=ended,
            losses=(*curve.get("loss", ()), math.nan if math.isfinite(loss) else loss)
            if broken
            else tuple(curve["loss"]),
            accuracy=0.0 if broken else self._accuracy(curve),
            validation=0.0 if broken else curve["val_balanced_accuracy"][-1],
            best=0.0 if broken else curve["val_balanced_accuracy"][int(np.argmin(curve["val_log_loss"]))],
            least=math.nan if broken else min(curve["val_log_loss"]),
            floor=self.floor,
            classes=self._classes,
            images=len(self._job.train),
            validated=len(self._job.validate),
        )
        if not broken and not needs_inspection(glance):
            return None
        answers = self.answers()
        symptom = symptom_of(glance, answers)
        if symptom is None:
            return None
        return diagnosis_of(symptom, glance, answers, self.evidence())

    def _accuracy(self, curve: Mapping[str, Sequence[float]]) -> float:
        """On training images; predicted again where a `train_step` of the user does not measure it."""
        if "balanced_accuracy" in curve:
            return curve["balanced_accuracy"][-1]
        probabilities, _ = self._trainer.predict(self._rows)
        measured = scores(self._labels[self._rows], probabilities, ("balanced_accuracy",))
        return measured["balanced_accuracy"]

    def answers(self) -> OutputStats:
        """Statistics of the present network's predictions for training images."""
        return answers_of(self._labels[self._rows], self._trainer.predict(self._rows)[0])

    def evidence(self) -> Evidence:
        """Layer by layer, of the present network and of its initial weights."""
        model, batch_size = self._trainer.model, self._trainer.recipe.batch_size
        x, y = self._trainer.batch(self._rows[:: -(-len(self._rows) // MAX_IMAGES)])
        try:
            found = findings(model, model.loss, images=len(self._job.train), batch_size=batch_size)
            evidence = evidence_of(model, x, y, self.start, floor=self.floor)
            given = evidence.input_size if self._trainer.inputs.from_images else math.nan
            return replace(evidence, found=found, input_size=given)
        except Exception:  # noqa: BLE001 - a model of the user's may be anything, and a look must not end its training
            return Evidence((), self.floor, math.nan)
