"""One fold run on Keras and TensorFlow: for workers only.

An epoch is one TensorFlow function around the model's own `train_step`: on small images a Python loop over
batches, as in `model.fit`, costs several times the arithmetic. Stopping is decided in Python after each epoch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from search.diagnosis.evidence import Diagnosis
from search.diagnosis.rules import inspect_after
from search.jobs import FitOptions, FoldJob, FoldResult, WorkerContext, first_line
from search.stats.chance import majority
from search.stats.metrics import balanced_accuracy, scores
from search.worker.augmentation import Augmentation
from search.worker.batches import balanced_weights, batches, class_probabilities, targets_for
from search.worker.fast_adam import fused_update
from search.worker.fold_run import Curve
from search.worker.graph_sharing import scalars, scalars_as_variables, set_scalars
from search.worker.inspection import MAX_IMAGES, Inspector, before_training
from search.worker.keras_internals import averages, has_rate, inner, patched
from search.worker.latency import milliseconds_an_image
from spaces import compiling
from spaces.recipe import EMA_EPOCHS, Recipe, plateau_factor

VALIDATION_BATCH = 256  # images a step when only predicting; results do not depend on it


class UntraceableError(Exception):
    """A model that cannot be trained in a graph. The message says why."""


class Trainer:
    """A compiled model with the graphs that train it and ask it; for one fold run after another.

    Tracing a graph takes as long as many epochs. Before the next fold run, `load_state_of` gives the model, its
    optimizer, its numbers and its random generators the state of another one of the same architecture that is new: so a
    fold run's result does not depend on what was trained before.
    """

    def __init__(
        self, model: keras.Model, inputs: Any, context: WorkerContext, recipe: Recipe, *, graphs: bool = True
    ) -> None:
        """`inputs` is uint8 pixels [images, height, width, channels], or float32 features [images, width].

        Without `graphs` each epoch is Keras's own `fit`, slower, for models that cannot be traced. Raises ValueError
        where the recipe does not fit the model, UntraceableError where a model of the user's cannot be traced: it is of
        no use any more then.
        """
        self.model, self.recipe, self._context = model, recipe, context
        # Features are standardised for each fold; pixels are the same for all, as a tensor one copy for all graphs.
        pixels = inputs.dtype == np.uint8
        self._inputs = tf.convert_to_tensor(inputs) if pixels else tf.Variable(inputs, trainable=False)
        self._targets = tf.constant(targets_for(model, context.labels))
        self._class_weights = tf.Variable(tf.ones([context.facts.classes]), trainable=False)
        self._augmentation = Augmentation(recipe) if recipe.augmentation != "none" else None
        _check(model, recipe)
        set_averages(model, recipe, len(context.labels))
        if not model.optimizer.built:  # before a graph is traced; the one that scales losses would make them anew
            model.optimizer.build(model.trainable_variables)
        # What its variables begin with: nearly all with zeros, and an array of those for each would take memory.
        values = [variable.numpy() for variable in model.optimizer.variables]
        self._beginning = [value if value.any() else None for value in values]
        self._numbers = [tf.Variable(number, trainable=False, dtype=tf.float64) for number in scalars(model)]
        # Keras makes the variables of metrics at first use: before a graph is traced, not in it.
        model.test_step(self._batch(tf.constant([0])))
        # On the host it is a step of a small network's time. A metric of the user's may do there what no graph can.
        self._reset_in_graph = graphs and context.model is None
        self._train_epoch: Any  # one epoch, see `_graphs`
        self._predict: Any
        self._train_epoch, self._predict = self._traced() if graphs else (self._fit_epoch, self._forward)

    @property
    def variables(self) -> list[Any]:
        """All that training changes."""
        chance = self._augmentation.variables if self._augmentation else []
        return [*self.model.variables, *self.model.optimizer.variables, *chance]

    def load_state_of(self, model: keras.Model, inputs: Any, recipe: Recipe) -> None:
        """Begin anew with the state of `model`, just built and compiled, of the same architecture.

        Its optimizer need not have made its variables, which takes longer than all else here.
        """
        augmentation = Augmentation(recipe) if self._augmentation else None
        new = [*model.variables, *(augmentation.variables if augmentation else [])]
        ours = [*self.model.variables, *(self._augmentation.variables if self._augmentation else [])]
        for variable, value in zip(ours, new, strict=True):
            variable.assign(value.value)
        for variable, began in zip(self.model.optimizer.variables, self._beginning, strict=True):
            variable.assign(np.zeros(variable.shape, variable.dtype) if began is None else began)
        if has_rate(model.optimizer):
            self.model.optimizer.learning_rate.assign(model.optimizer.learning_rate)
        for number, found in zip(self._numbers, scalars(model), strict=True):
            number.assign(found)
        set_scalars(self.model, scalars(model))  # what looks at it outside of graphs sees these too
        if isinstance(self._inputs, tf.Variable):
            self._inputs.assign(inputs)
        self.recipe = recipe

    def train(self, job: FoldJob, started: float, callbacks: Sequence[keras.callbacks.Callback] = ()) -> FoldResult:
        """Train the model and judge it; `started` is the `time.perf_counter` from which seconds count.

        Early stopping watches the validation log loss without penalties, and the scores are those of its best
        epoch; under a cosine all epochs are trained and the last one counts. Where the network is stuck at chance
        the result says why, and training ends (unless the job wants it all the same); it does where a loss is NaN.
        Callbacks are told of the beginnings and ends of training and of epochs, not of batches.
        """
        labels, metric, rules = self._context.labels, self._context.metric, job.training
        watched = ("log_loss", "balanced_accuracy", metric, *(["accuracy"] if callbacks else []))
        order, truth, curve = np.random.default_rng(job.seed), labels[job.validate], Curve()
        if self.recipe.balanced:
            self._class_weights.assign(balanced_weights(labels[job.train], self._context.facts.classes))
        epochs = rules.max_epochs
        whole = rules.use_last_epoch or self.recipe.judged_at_the_end
        base = float(self.model.optimizer.learning_rate)
        told = keras.callbacks.CallbackList(list(callbacks), model=self.model, epochs=epochs)
        self.model.stop_training = False
        told.on_train_begin()
        epoch, behind = 0, False
        watch = Inspector(
            self.model,
            labels,
            job,
            self.recipe.batch_size,
            lambda rows: self._batch(tf.constant(rows)),
            self._probabilities,
        )
        diagnosis: Diagnosis | None = None
        for epoch in range(1, epochs + 1):
            told.on_epoch_begin(epoch - 1)
            if not self._reset_in_graph:
                self.model.reset_metrics()
            rows, ends = batches(order, job.train, self.recipe)
            if callbacks:  # which may have changed it
                base = float(self.model.optimizer.learning_rate)
            rates = base * self._factors(rules, epoch, epochs, len(ends), curve)
            logs = self._train_epoch(tf.constant(rows), tf.constant(ends), tf.constant(rates, tf.float32))
            raw, val_loss = self._ask(job.validate)
            probabilities = self._as_probabilities(raw)
            measured = scores(truth, probabilities, watched)
            loss = float(_of(logs, "loss"))
            if not (np.isfinite(loss) and np.isfinite(measured["log_loss"])):
                diagnosis = watch.inspect(epoch, curve.values, loss, broken=True, ended=True)
                lost = majority(labels[job.train], len(truth), probabilities.shape[1])
                curve.improved(epoch - 1, np.inf, 0.0, lost, always=True)
                break
            row = {"loss": loss, "val_loss": val_loss, **_training_scores(logs)}
            row |= {f"val_{name}": value for name, value in measured.items()}
            curve.add(**row)
            curve.improved(epoch, measured["log_loss"], rules.min_delta, probabilities, always=whole)
            told.on_epoch_end(epoch - 1, row)
            impatient = not whole and rules.patience > 0 and epoch - curve.best_epoch >= rules.patience
            ended = impatient or self.model.stop_training or epoch == epochs
            if inspect_after(epoch, ended=ended):
                diagnosis = watch.inspect(epoch, curve.values, loss, ended=ended)
            if diagnosis and diagnosis.collapsed and rules.stop_collapsed:
                break
            behind = epoch in rules.min_score_at and curve.below(rules.min_score_at[epoch], metric)
            if behind or ended:
                break
        told.on_train_end()
        assert curve.best_probabilities is not None  # noqa: S101 - there is at least one epoch
        return FoldResult(
            scores=scores(truth, curve.best_probabilities),
            epochs=len(curve.values.get("loss", ())),
            best_epoch=curve.best_epoch,
            curve={name: tuple(values) for name, values in curve.values.items()},
            probabilities=curve.best_probabilities,
            parameters=self.model.count_params(),
            seconds=time.perf_counter() - started,
            latency=self._latency(job.validate) if self._context.latency else None,
            behind=behind,
            diagnosis=diagnosis,
            notes=_notes(callbacks),
            evidence=watch.evidence() if rules.collect_evidence else None,
        )

    def remarks(self, rows: NDArray[np.int32]) -> tuple[str, ...]:
        """What speaks against the model as it is, where it is trained on these rows: a sentence each."""
        x, _ = self._batch(tf.constant(rows[:MAX_IMAGES]))
        return before_training(self.model, x, images=len(rows), batch_size=self.recipe.batch_size)

    def _factors(self, rules: FitOptions, epoch: int, epochs: int, steps: int, curve: Curve) -> NDArray[np.float64]:
        """Of the learning rate, one a step of this epoch."""
        if self.recipe.schedule == "plateau":
            if rules.lr_factors:
                return np.full(steps, rules.lr_factors[min(epoch, len(rules.lr_factors)) - 1])
            return np.full(steps, plateau_factor(epoch - 1 - curve.best_epoch))
        done = (epoch - 1) * steps
        return np.array([self.recipe.rate(done + step, epochs * steps) for step in range(steps)])

    def _ask(self, rows: NDArray[np.int32]) -> tuple[NDArray[np.float32], float]:
        """(output [images, units], mean loss) on these rows."""
        with self.judged_weights():
            said = [self._predict(tf.constant(some)) for some in _slices(rows)]
        outputs, losses = zip(*((output.numpy(), float(loss) * len(output)) for output, loss in said), strict=True)
        return np.concatenate(outputs), sum(losses) / len(rows)

    def _probabilities(self, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """[images, classes] on these rows."""
        return self._as_probabilities(self._ask(rows)[0])

    def _as_probabilities(self, raw: NDArray[np.float32]) -> NDArray[np.float32]:
        return class_probabilities(raw, logits=compiling.takes_logits(self.model.loss))

    def _latency(self, rows: NDArray[np.int32]) -> float:
        """Milliseconds an image, by the graph that has predicted these rows before; see `milliseconds_an_image`."""
        slices = [tf.constant(some) for some in _slices(rows)]

        def once() -> None:
            for some in slices:
                self._predict(some)[0].numpy()  # waits for it

        return milliseconds_an_image(once, len(rows))

    @contextmanager
    def judged_weights(self) -> Iterator[None]:
        """The moving averages in the place of the weights, where they are judged by."""
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

    def _batch(self, rows: tf.Tensor, *, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """(what the model is given, targets) of these rows."""
        x, y = tf.cast(tf.gather(self._inputs, rows), tf.float32), tf.gather(self._targets, rows)
        if training and self._augmentation:
            x, y = self._augmentation(x, y)
        if self._inputs.dtype == tf.uint8 and not compiling.takes_bytes(self.model):
            x = x / 255
        grey_as_colour = x.shape[-1] == 1 and self.model.input_shape[-1] == 3
        return tf.image.grayscale_to_rgb(x) if grey_as_colour else x, y

    def _weighted(self, x: tf.Tensor, y: tf.Tensor) -> tuple[tf.Tensor, ...]:
        if not self.recipe.balanced:
            return x, y
        weights = self._class_weights
        if compiling.takes_indices(self.model.loss):
            return x, y, tf.gather(weights, tf.cast(y[:, 0], tf.int32))
        shares = tf.concat([1 - y, y], axis=1) if y.shape[-1] == 1 else y
        return x, y, tf.linalg.matvec(shares, weights)

    def _traced(self) -> tuple[Any, Any]:
        """`_graphs`, traced: called as they are, TensorFlow need not find out each time which trace is meant."""
        own = self._context.model is not None
        if own and self.model.run_eagerly:
            raise UntraceableError("it is compiled with run_eagerly")
        try:
            train_epoch, predict = (graph.get_concrete_function() for graph in self._graphs())
        except Exception as error:  # whatever the user's code raises
            if not own or isinstance(error, MemoryError | tf.errors.ResourceExhaustedError):
                raise
            raise UntraceableError(first_line(error)) from error
        return train_epoch, predict

    def _graphs(self) -> tuple[Any, Any]:
        """(train one epoch, predict and measure the loss) as TensorFlow functions over row numbers."""
        rows_of, model = tf.TensorSpec([None], tf.int32), self.model
        steered = isinstance(model.optimizer.learning_rate, keras.Variable)
        # As Keras's own `fit` has it: one step, so that augmentation, which XLA cannot compile, stays outside.
        learn = (
            tf.function(model.train_step, autograph=False, jit_compile=True) if self._context.xla else model.train_step
        )

        @tf.function(input_signature=[rows_of, rows_of, tf.TensorSpec([None], tf.float32)], autograph=False)
        def train_epoch(order: tf.Tensor, ends: tf.Tensor, rates: tf.Tensor) -> Any:
            def step(index: tf.Tensor, start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                if steered:
                    model.optimizer.learning_rate.assign(rates[index])
                optimizer = inner(model.optimizer)
                with scalars_as_variables(model, self._numbers), patched(optimizer, *fused_update(optimizer)):
                    learn(self._weighted(*self._batch(order[start : ends[index]], training=True)))
                return index + 1, ends[index]

            if self._reset_in_graph:
                model.reset_metrics()
            tf.while_loop(lambda index, _: index < tf.size(ends), step, (0, 0), parallel_iterations=1)
            return model.get_metrics_result()

        return train_epoch, tf.function(self._forward, input_signature=[rows_of], autograph=False)

    def _forward(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """(output, mean loss) on these rows, as the model is now."""
        (x, y), model = self._batch(rows), self.model
        y_pred = tf.cast(model(x, training=False), tf.float32)
        if self.recipe.flip_average:
            y_pred = (y_pred + tf.cast(model(tf.reverse(x, [2]), training=False), tf.float32)) / 2
        with scalars_as_variables(model, self._numbers):
            return y_pred, model.compute_loss(x=x, y=y, y_pred=y_pred, training=False)

    def _fit_epoch(self, order: tf.Tensor, ends: tf.Tensor, rates: tf.Tensor) -> Any:  # noqa: ARG002 - none is steered
        """An epoch of Keras's own `fit`, at whose end an optimizer with averages would give them to the model."""
        shown = [
            self._weighted(*self._batch(order[start:end], training=True)) for start, end in pairwise([0, *ends.numpy()])
        ]
        optimizer = self.model.optimizer
        with (
            patched(optimizer, "finalize_variable_values", lambda _: None),
            # A custom gradient, which keeps the graph for ever; see `worker/fast_adam.py`.
            patched(inner(optimizer), "_all_reduce_sum_gradients", list),
        ):
            self.model.fit((batch for batch in shown), steps_per_epoch=len(shown), verbose=0)
        return self.model.get_metrics_result()


def _check(model: keras.Model, recipe: Recipe) -> None:
    if recipe.augmentation in ("mixup", "cutmix") and compiling.takes_indices(model.loss):
        raise ValueError(f"augmentation {recipe.augmentation} mixes labels, which the loss takes as class numbers")
    if recipe.schedule != "constant" and not has_rate(model.optimizer):
        raise ValueError(f"schedule {recipe.schedule}: the optimizer has a schedule of its own")


def set_averages(model: keras.Model, recipe: Recipe, images: int) -> None:
    """Have the optimizer average weights, where the recipe judges by averages. Before its variables are made."""
    if recipe.averaged:
        steps = recipe.steps or -(-images // recipe.batch_size)
        optimizer = inner(model.optimizer)
        optimizer.use_ema, optimizer.ema_momentum = True, 1 - 1 / (EMA_EPOCHS * steps)


def _slices(rows: NDArray[np.int32]) -> Iterator[NDArray[np.int32]]:
    for start in range(0, len(rows), VALIDATION_BATCH):
        yield rows[start : start + VALIDATION_BATCH]


def _training_scores(logs: Mapping[str, Any]) -> dict[str, float]:
    """None where a `train_step` of the user's keeps metrics of its own only."""
    if "confusion" not in logs:
        return {}
    counts = logs["confusion"].numpy()
    return {
        "balanced_accuracy": balanced_accuracy(counts),
        "accuracy": float(counts.trace() / max(counts.sum(), 1)),
    }


def _of(logs: Mapping[str, Any], name: str) -> Any:
    if name not in logs:
        raise ValueError(f"the model's train_step keeps no metric named {name!r}, only {', '.join(logs) or 'none'}")
    return logs[name]


def _notes(callbacks: Sequence[keras.callbacks.Callback]) -> tuple[str, ...]:
    """What a person should know of them: Keras's own need no batches, so what they do there is not missed."""
    hooks = ("on_batch_begin", "on_batch_end", "on_train_batch_begin", "on_train_batch_end")
    deaf = {
        type(callback).__name__
        for callback in callbacks
        if any(not str(getattr(callback, hook).__module__).startswith("keras.") for hook in hooks)
    }
    return tuple(
        f"the callback {name} is called at epochs only, not at batches: an epoch is one graph" for name in sorted(deaf)
    )
