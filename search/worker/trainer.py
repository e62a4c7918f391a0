"""A compiled model with the graphs that train it and predict with it. For workers only.

An epoch is one TensorFlow function around the model's own `train_step`: on small images a Python loop over
batches, as in `model.fit`, costs several times the arithmetic. `fold_run.py` decides what follows an epoch.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from search.jobs import WorkerContext
from search.worker.batches import Epoch, balanced_weights, steps_of, targets_for
from search.worker.epoch_program import EpochProgram
from search.worker.graph_sharing import scalars, scalars_as_variables, set_scalars
from search.worker.inputs import Features, Inputs, Maps, Pixels
from search.worker.keras_internals import averages, has_rate, inner, patched, reseed, without_replica_sums
from search.worker.latency import milliseconds_an_image
from search.worker.outputs import output_of, probabilities
from search.worker.redrawing import Redrawing
from spaces import compiling
from spaces.messages import first_line
from spaces.recipe import EMA_EPOCHS, Recipe

VALIDATION_BATCH = 256  # images a step when only predicting; results do not depend on it


class UntraceableError(Exception):
    """A model that cannot be trained in a graph. The message says why."""


@dataclass(frozen=True)
class Trained:
    """What an epoch of training, and the judgement after it, come to."""

    logs: Mapping[str, Any]  # the model's metrics by name, as tensors
    probabilities: NDArray[np.float32]  # [validation images, classes]
    loss: float  # mean on the validation images, with penalties
    latency: float | None  # milliseconds a predicted image; None where predicting is not seen apart from training


class Trainer:
    """A compiled model with the graphs that train it and predict with it; for one fold run after another.

    Tracing a graph takes as long as many epochs, so graphs are reused. Before the next fold run, `load_state_of` copies
    the state of a new model of the same architecture: weights, optimizer, scalars and random generators. So the result
    of a fold run does not depend on what was trained before.
    """

    def __init__(
        self, model: keras.Model, inputs: Any, context: WorkerContext, recipe: Recipe, *, graphs: bool = True
    ) -> None:
        """`inputs` is pixels as `placed` has them, float32 features [images, width], or Maps.

        Without `graphs` each epoch is Keras's own `fit`, slower, for models that cannot be traced. Raises ValueError
        where the recipe does not fit the model, UntraceableError where a custom model cannot be traced: it must not be
        used after that.
        """
        self.model, self.recipe, self.context = model, recipe, context
        self.network = model  # that is saved: the model, with layers before it that are not trained
        self.point: Hashable = None  # what it was made for, see `TrainerCache.again`
        self.kind: Hashable = None  # what decides its network and its graphs, see `TrainerCache.alike`
        self.inputs: Inputs = _inputs(inputs, model, recipe)
        self._targets = tf.constant(targets_for(model, context.labels))
        self.class_weights = tf.Variable(tf.ones([context.facts.classes]), trainable=False)
        self.output = output_of(model)
        _check(model, recipe)
        set_averages(model, recipe, len(context.labels))
        if not model.optimizer.built:  # before a graph is traced; the one that scales losses would make them anew
            model.optimizer.build(model.trainable_variables)
        # What its variables begin with: nearly all with zeros, and an array of those for each would take memory.
        values = [variable.numpy() for variable in model.optimizer.variables]
        self._beginning = [value if value.any() else None for value in values]
        self.numbers: Sequence[Any] = [
            tf.Variable(number, trainable=False, dtype=tf.float64) for number in scalars(model)
        ]
        # Keras makes the variables of metrics at first use: before a graph is traced, not in it.
        self._measure_once()
        compiling.set_threshold(model, self.output.meaning.threshold)
        # Resetting on the host takes as long as a step of a small network, but custom metrics may need to run there.
        self._reset_in_graph = graphs and context.model is None
        self._train_epoch: Any  # one epoch, see `_graphs`
        self._predict: Any
        self._train_epoch, self._predict = self._traced() if graphs else (self._fit_epoch, self._forward)
        self.stacked: dict[int, Any] = {}  # what trains several networks like this one, by their number: `stacked.py`
        # Where the user wants it alone: on no GPU was it measured yet that it pays.
        self._program = EpochProgram(self) if graphs and context.xla and EpochProgram.fits(self) else None

    def _measure_once(self) -> None:
        """Compute loss and metrics of one image. Raises ValueError where the user's do not accept the labels."""
        x, y = self.batch([0])
        try:
            self.model.test_step((x, y))
        except (MemoryError, tf.errors.ResourceExhaustedError):
            raise
        except Exception as error:
            if self.context.model is None:
                raise
            given = "class numbers [batch, 1]" if y.shape[-1] == 1 else f"one-hot rows [batch, {y.shape[-1]}]"
            name, cause = compiling.loss_name(self.model.loss), f"{type(error).__name__}: {first_line(error)}"
            raise ValueError(
                f"the loss {name} or a metric fails: {cause} "
                f"(labels are given as {given}; a loss with 'sparse' in its name, or one unit, gets class numbers)"
            ) from error

    @property
    def variables(self) -> list[Any]:
        """Everything that training changes."""
        return [*self.model.variables, *self.model.optimizer.variables, *self.inputs.variables]

    def load_state_of(self, model: keras.Model, inputs: Any, recipe: Recipe) -> None:
        """Begin anew with the state of `model`, just built and compiled, of the same architecture.

        Its optimizer need not have made its variables, which takes longer than all else here.
        """
        self._begin([variable.value for variable in model.variables])
        self._take_numbers(model, recipe)
        self.inputs.renew(inputs, recipe)
        self.point = None

    def _take_numbers(self, model: keras.Model, recipe: Recipe) -> None:
        if has_rate(model.optimizer):
            self.model.optimizer.learning_rate.assign(model.optimizer.learning_rate)
        for number, value in zip(self.numbers, scalars(model), strict=True):
            number.assign(value)
        set_scalars(self.model, scalars(model))  # so that code outside of graphs reads these too
        self.recipe = recipe

    def _begin(self, values: Sequence[Any]) -> None:
        """Give the model these values, and its optimizer those that it began with."""
        for variable, value in zip(self.model.variables, values, strict=True):
            variable.assign(value)
        for variable, began in zip(self.model.optimizer.variables, self._beginning, strict=True):
            variable.assign(np.zeros(variable.shape, variable.dtype) if began is None else began)

    def remember(self, point: Hashable) -> None:
        """Note that it is about to train fold runs of `point`, and with what weights each of them begins."""
        self.point = point
        self._first = ([np.array(variable.numpy()) for variable in self.model.variables], self.learning_rate)

    def has_numbers_of(self, model: keras.Model) -> bool:
        """Whether a compiled model has as many numbers as this one, and so may give `become` those of another point."""
        return len(scalars(model)) == len(self.numbers)

    def become(self, point: Hashable, numbers: keras.Model, recipe: Recipe) -> None:
        """Be about to train fold runs of another point of the same `kind`, from the same first weights.

        `numbers`: a compiled model with the point's numbers, in layers like those of this one that have some.
        """
        self._take_numbers(numbers, recipe)
        self.point, self._first = point, (self._first[0], self.learning_rate)

    def begin_again(self, seed: int) -> None:
        """Begin anew with what was noted, and random generators from `seed`."""
        values, rate = self._first
        self._begin(values)
        self.model.optimizer.learning_rate.assign(rate)
        reseed(self.model, seed)
        random.seed(seed)
        self.inputs.renew(self.inputs, self.recipe)

    def remember_drawing(self, point: Hashable, redrawing: Redrawing | None) -> None:
        """Note that it is about to train fold runs of `point`, and how the first values of each of them are drawn."""
        self.point, self._drawing = point, (redrawing, self.learning_rate)

    def draw_again(self, seed: int) -> bool:
        """Begin anew as a network of the same point built from `seed` would; False where it must be built."""
        redrawing, rate = self._drawing
        if redrawing is None:
            return False
        self._begin(redrawing.values(seed))
        if has_rate(self.model.optimizer):
            self.model.optimizer.learning_rate.assign(rate)
        self.inputs.renew(self.inputs, self.recipe)
        return True

    @property
    def learning_rate(self) -> float:
        """The optimizer's learning rate for the next step."""
        return float(self.model.optimizer.learning_rate)

    def state(self) -> tuple[NDArray[Any], ...]:
        """The values of `variables`, copied."""
        return tuple(np.array(variable.numpy()) for variable in self.variables)

    def restore(self, state: Sequence[NDArray[Any]]) -> None:
        """Go on from the `state` of a trainer of the same point. Raises ValueError where there are other variables."""
        for variable, value in zip(self.variables, state, strict=True):
            variable.assign(value)

    def weigh_classes(self, rows: NDArray[np.int32]) -> None:
        """Weigh classes by their shares in these training rows, where the recipe wants that."""
        if self.recipe.balanced:
            self.class_weights.assign(balanced_weights(self.context.labels[rows], self.context.facts.classes))

    def epoch(self, epoch: Epoch, validate: NDArray[np.int32]) -> Trained:
        """Train an epoch, and judge the network on the rows of `validate`."""
        if self._program is not None and (outcome := self._program.run(epoch, validate)):
            logs, outputs, loss = outcome
            return Trained(logs, probabilities(outputs, self.output.meaning), loss, None)
        logs = self.train_epoch(epoch)
        began = time.perf_counter()
        predicted, loss = self.predict(validate)
        return Trained(logs, predicted, loss, 1000 * (time.perf_counter() - began) / len(validate))

    def train_epoch(self, epoch: Epoch) -> Mapping[str, Any]:
        """Train an epoch; return the model's metrics by name, as tensors."""
        if not self._reset_in_graph:
            self.model.reset_metrics()
        self.inputs.begin(epoch.number)
        logs: Mapping[str, Any] = self._train_epoch(
            tf.constant(epoch.rows), tf.constant(epoch.ends), tf.constant(epoch.rates, tf.float32)
        )
        return logs

    def predict(self, rows: NDArray[np.int32]) -> tuple[NDArray[np.float32], float]:
        """(probabilities [images, classes], mean loss) on these rows, with the weights that are judged."""
        with self.judged_weights():
            predictions = [self._predict(tf.constant(slice_)) for slice_ in _slices(rows)]
        outputs = [output.numpy() for output, _ in predictions]
        losses = [float(loss) * len(output) for (_, loss), output in zip(predictions, outputs, strict=True)]
        return probabilities(np.concatenate(outputs), self.output.meaning), sum(losses) / len(rows)

    def measured(self, rows: NDArray[np.int32]) -> Mapping[str, float]:
        """The metrics with which the model was compiled, on these rows, by name; those that are single numbers."""
        self.model.reset_metrics()
        results: Mapping[str, Any] = {}
        for slice_ in _slices(rows):
            x, y = self.batch(slice_)
            results = self.model.compute_metrics(x, y, self._predict(tf.constant(slice_))[0])
        numbers = single_numbers(results)  # before the variables that a metric may return are reset
        self.model.reset_metrics()
        return numbers

    def batch(self, rows: Any, *, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """(what the model is given, targets) of these rows, an array or in a graph a tensor; augmented in training."""
        rows = tf.convert_to_tensor(rows)
        return self.inputs.batch(rows, tf.gather(self._targets, rows), training=training)

    def latency(self, rows: NDArray[np.int32]) -> float:
        """Milliseconds an image, by the graph that has predicted these rows before; see `milliseconds_an_image`.

        The first batch of them is predicted a few times.
        """
        few = tf.constant(next(_slices(rows)))

        def once() -> None:
            self._predict(few)[0].numpy()  # waits for it

        return self.inputs.latency + milliseconds_an_image(once, len(few))

    @contextmanager
    def judged_weights(self) -> Iterator[None]:
        """Within, the weights are replaced by their moving averages, if the recipe judges by these."""
        if not self.recipe.averaged:
            yield
            return
        weights = self.model.trainable_variables
        kept = [tf.identity(weight.value) for weight in weights]
        for weight, average in zip(weights, averages(self.model.optimizer), strict=True):
            weight.assign(average.value)
        yield
        for weight, value in zip(weights, kept, strict=True):
            weight.assign(value)

    def _weighted(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if not self.recipe.balanced:
            return x, y
        weights = self.class_weights
        if compiling.takes_indices(self.model.loss):
            return x, y, tf.gather(weights, tf.cast(y[:, 0], tf.int32))
        shares = tf.concat([1 - y, y], axis=1) if y.shape[-1] == 1 else y
        return x, y, tf.linalg.matvec(shares, weights)

    def _traced(self) -> tuple[Any, Any]:
        """`_graphs`, as concrete functions: calling these, TensorFlow need not look up the trace each time."""
        own = self.context.model is not None
        if own and self.model.run_eagerly:
            raise UntraceableError("it is compiled with run_eagerly")
        try:
            train_epoch, predict = (graph.get_concrete_function() for graph in self._graphs())
        except Exception as error:  # the user's code may raise anything
            if not own or isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
                raise
            raise UntraceableError(first_line(error)) from error
        return train_epoch, predict

    def _graphs(self) -> tuple[Any, Any]:
        """(train one epoch, predict and measure the loss) as TensorFlow functions over row numbers."""
        rows_of, model = tf.TensorSpec([None], tf.int32), self.model
        # As Keras's own `fit` has it: one step, so that augmentation, which XLA cannot compile, stays outside.
        learn = (
            tf.function(model.train_step, autograph=False, jit_compile=True) if self.context.xla else model.train_step
        )

        @tf.function(input_signature=[rows_of, rows_of, tf.TensorSpec([None], tf.float32)], autograph=False)
        def train_epoch(order: tf.Tensor, ends: tf.Tensor, rates: tf.Tensor) -> Any:
            def step(index: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                self.learn(order[start : ends[index]], rates[index], learn)
                return index + 1, ends[index]

            if self._reset_in_graph:
                model.reset_metrics()
            tf.while_loop(lambda index, _: index < tf.size(ends), step, (0, 0), parallel_iterations=1)
            return model.get_metrics_result()

        return train_epoch, tf.function(self._forward, input_signature=[rows_of], autograph=False)

    def learn(self, rows: tf.Tensor, rate: tf.Tensor, step: Callable[[Any], Any]) -> None:
        """In a graph: a step of training on these rows at this learning rate; `step` is the model's `train_step`."""
        model = self.model
        if isinstance(model.optimizer.learning_rate, keras.Variable):
            model.optimizer.learning_rate.assign(rate)
        with scalars_as_variables(model, self.numbers), without_replica_sums(model.optimizer):
            step(self._weighted(*self.batch(rows, training=True)))

    def answer(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """(what the model is given, targets, output [rows, units]) of these rows, as the model is now."""
        (x, y), model = self.batch(rows), self.model
        y_pred = tf.cast(model(x, training=False), tf.float32)
        if self.recipe.flip_average:
            y_pred = (y_pred + tf.cast(model(self.inputs.mirrored(rows, x), training=False), tf.float32)) / 2
        return x, y, y_pred

    def _forward(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(output, mean loss) on these rows, as the model is now."""
        x, y, y_pred = self.answer(rows)
        with scalars_as_variables(self.model, self.numbers):
            return y_pred, self.model.compute_loss(x=x, y=y, y_pred=y_pred, training=False)

    def _fit_epoch(self, order: tf.Tensor, ends: tf.Tensor, rates: tf.Tensor) -> Any:  # noqa: ARG002 - none is steered
        """An epoch of Keras's own `fit`. At its end an optimizer would copy averages to the model: that is patched."""
        parts = [
            self._weighted(*self.batch(order[start:end], training=True)) for start, end in pairwise([0, *ends.numpy()])
        ]
        optimizer = self.model.optimizer
        with (
            patched(optimizer, "finalize_variable_values", lambda _: None),
            without_replica_sums(optimizer),
        ):
            self.model.fit((batch for batch in parts), steps_per_epoch=len(parts), verbose=0)
        return self.model.get_metrics_result()


def _inputs(inputs: Any, model: keras.Model, recipe: Recipe) -> Inputs:
    if isinstance(inputs, Maps):
        inputs.open()
        return inputs
    return Pixels(inputs, model, recipe) if tf.as_dtype(inputs.dtype) in (tf.uint8, tf.float16) else Features(inputs)


def _check(model: keras.Model, recipe: Recipe) -> None:
    if recipe.augmentation in ("mixup", "cutmix") and compiling.takes_indices(model.loss):
        raise ValueError(f"augmentation {recipe.augmentation} mixes labels, which the loss takes as class numbers")
    if recipe.schedule != "constant" and not has_rate(model.optimizer):
        raise ValueError(f"schedule {recipe.schedule}: the optimizer has its own schedule of learning rates")


def set_averages(model: keras.Model, recipe: Recipe, images: int) -> None:
    """Make the optimizer average weights, if the recipe judges by averages. Call it before its variables are made."""
    if recipe.averaged:
        steps = steps_of(images, recipe)
        optimizer = inner(model.optimizer)
        optimizer.use_ema, optimizer.ema_momentum = True, 1 - 1 / (EMA_EPOCHS * steps)


def single_numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Of a model's metrics those that are one number, without the loss."""
    return {name: float(value) for name, value in logs.items() if name != "loss" and np.ndim(value) == 0}


def _slices(rows: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    for start in range(0, len(rows), VALIDATION_BATCH):
        yield rows[start : start + VALIDATION_BATCH]
