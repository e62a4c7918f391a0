"""Fold runs of one point, trained side by side as one program of XLA. For workers only.

Several small networks take a GPU hardly longer than one. Their weights are stacked; seeds, order, augmentation and
validation images are each network's own, and so is every decision: a `FoldRun` for each judges its epochs, stops it and
inspects it, as if it were trained alone. A network that is done is trained on and no longer looked at. Where a fold run
ends its trial, those after it are left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from search.jobs import FoldJob, FoldResult, Step
from search.worker.batches import Epoch
from search.worker.epoch_program import EpochProgram, Shapes, filled, row_losses
from search.worker.fold_run import FoldRun
from search.worker.graph_sharing import scalars_as_variables
from search.worker.keras_internals import averages, inner
from search.worker.outputs import probabilities
from search.worker.stacked_layers import Stack, as_stack, stackable
from search.worker.trainer import Trained, Trainer
from search.worker.xla_kernels import compilable
from spaces.compiling import confusions

JUDGED = 256  # validation images at a time, of all networks together


def alike(jobs: Sequence[FoldJob]) -> bool:
    """Whether these fold runs are of one point, equally long but for the race, with equally many training images."""

    def kind(job: FoldJob) -> tuple[Any, ...]:
        return job.trial, job.params, replace(job.training, min_score_at={}), len(job.train)

    return all(kind(job) == kind(jobs[0]) and job.edit is None for job in jobs)


class Stacked:
    """The graphs that train several networks with the architecture, optimizer and numbers of a trainer's."""

    def __init__(self, trainer: Trainer, networks: int) -> None:
        self._trainer, self._networks = trainer, networks
        model = trainer.model
        self._of: dict[int, Any] = {
            id(variable): _stacked(variable, networks) for variable in (*model.variables, *trainer.inputs.variables)
        }
        self._trained = [self._of[id(variable)] for variable in model.trainable_variables]
        optimizer = inner(model.optimizer)
        self._optimizer = type(optimizer).from_config(optimizer.get_config())
        self._optimizer.build(self._trained)
        self._variables = [
            *(self._of[id(variable)] for variable in model.variables),
            *self._optimizer.variables,
            *(self._of[id(variable)] for variable in trainer.inputs.variables),
        ]
        self._class_weights = tf.Variable(tf.ones([networks, *trainer.class_weights.shape]), trainable=False)
        self._loss = tf.Variable(tf.zeros([networks]), trainable=False)  # summed over the images of an epoch
        self._pairs = tf.Variable(tf.zeros([networks, trainer.context.facts.classes**2]), trainable=False)
        self._programs: dict[Shapes, Any] = {}

    @staticmethod
    def fits(trainer: Trainer) -> bool:
        """Whether networks like that of this trainer can be trained side by side."""
        model = trainer.model
        penalties = [variable.regularizer for variable in model.trainable_variables if variable.regularizer]
        return (
            EpochProgram.fits(trainer)
            and stackable(model)
            and inner(model.optimizer) is model.optimizer
            and all(type(penalty) is keras.regularizers.L2 for penalty in penalties)
            and len(confusions(model)) == 1
        )

    def begin(self, states: Sequence[Sequence[Any]], class_weights: Sequence[Any]) -> None:
        """Begin with the states of trainers, see `Trainer.state`, one for each network."""
        for variable, values in zip(self._variables, zip(*states, strict=True), strict=True):
            one_for_all = tuple(variable.shape) == values[0].shape
            variable.assign(values[0] if one_for_all else np.stack(values))
        self._class_weights.assign(np.stack(class_weights))

    def show(self, network: int) -> None:
        """Give the trainer the state of one of the networks."""
        for one, stacked in zip(self._trainer.variables, self._variables, strict=True):
            value = tf.convert_to_tensor(stacked)
            one.assign(value if value.shape == one.shape else value[network])

    def epoch(self, epochs: Sequence[Epoch], validate: Sequence[NDArray[np.int32]]) -> list[Trained]:
        """Train an epoch of each network, of batches of the same sizes, and judge it on its validation rows."""
        images = [len(rows) for rows in validate]
        shapes = Shapes.of(epochs[0], max(images))
        assert shapes is not None  # noqa: S101 - batches of a pass are equal but for the last one
        if shapes not in self._programs:
            self._programs[shapes] = self._traced(shapes)
        orders, starts, smaller = zip(*(shapes.arguments(epoch) for epoch in epochs), strict=True)
        logs, outputs, losses = self._programs[shapes](
            tf.constant(np.stack(orders)),
            tf.constant(starts[0]),
            tf.constant(smaller[0]),
            tf.constant(np.stack([epoch.rates for epoch in epochs]), tf.float32),
            tf.constant(np.stack([filled(rows, shapes.judged) for rows in validate])),
            tf.constant(images),
        )
        meaning, answers = self._trainer.output.meaning, outputs.numpy()
        return [
            Trained(
                {name: values[network] for name, values in logs.items()},
                probabilities(answers[network, : images[network]], meaning),
                float(losses[network]),
                None,
            )
            for network in range(self._networks)
        ]

    def _traced(self, shapes: Shapes) -> Any:
        steps, networks = shapes.steps, self._networks
        signature = [
            tf.TensorSpec([networks, steps * shapes.batch], tf.int32),
            tf.TensorSpec([steps], tf.int32),
            tf.TensorSpec([steps], tf.bool),
            tf.TensorSpec([networks, steps], tf.float32),
            tf.TensorSpec([networks, shapes.judged], tf.int32),
            tf.TensorSpec([networks], tf.int32),
        ]

        @tf.function(input_signature=signature, autograph=False, jit_compile=True)
        def program(
            order: tf.Tensor,
            starts: tf.Tensor,
            smaller: tf.Tensor,
            rates: tf.Tensor,
            validate: tf.Tensor,
            images: tf.Tensor,
        ) -> Any:
            def learn(step: tf.Tensor, size: int) -> tf.Tensor:
                rows = tf.ensure_shape(tf.slice(order, [0, starts[step]], [networks, size]), [networks, size])
                self._learn(rows, rates[:, step])
                return step + 1

            def one(step: tf.Tensor) -> tuple[tf.Tensor]:
                if not shapes.last:
                    return (learn(step, shapes.batch),)
                sizes = (lambda: learn(step, shapes.last)), (lambda: learn(step, shapes.batch))
                return (tf.cond(smaller[step], *sizes),)

            self._loss.assign(tf.zeros_like(self._loss))
            self._pairs.assign(tf.zeros_like(self._pairs))
            tf.while_loop(lambda step: step < steps, one, [tf.constant(0)], parallel_iterations=1)
            outputs, losses = self._judge(validate, images)
            return self._logs(), outputs, losses

        with compilable(self._seeds):
            return program.get_concrete_function()

    def _seeds(self, generator: keras.random.SeedGenerator) -> Sequence[tf.Tensor]:
        """The next seed of each network's own generator."""
        state = self._of[id(generator.state)]
        seeds = tf.identity(tf.convert_to_tensor(state))
        state.assign(seeds + tf.constant([0, 1], seeds.dtype))
        return list(tf.unstack(seeds))

    def _learn(self, rows: tf.Tensor, rates: tf.Tensor) -> None:
        """In the graph: a step of each network on its rows [networks, images] at its learning rate."""
        trainer, networks, images = self._trainer, self._networks, int(rows.shape[1])
        model = trainer.model
        x, y = trainer.batch(tf.reshape(rows, [-1]), training=True)
        x = tf.ensure_shape(x, [networks * images, *x.shape[1:]])
        with scalars_as_variables(model, trainer.numbers):
            with tf.GradientTape() as tape:
                with as_stack(model, Stack(networks, lambda variable: self._of[id(variable)])):
                    y_pred = model(x, training=True)
                each = tf.reshape(row_losses(model, y, y_pred) * self._row_weights(y), [networks, images])
                losses = tf.reduce_mean(each, axis=1) + self._penalties(self._of)
                together = tf.reduce_sum(losses)
            gradients = tape.gradient(together, [variable.value for variable in self._trained])
            self._apply(gradients, rates)
        self._loss.assign_add(losses * images)
        pairs = confusions(model)[0].pairs(y, y_pred)
        self._pairs.assign_add(tf.reduce_sum(tf.reshape(pairs, [networks, images, -1]), axis=1))

    def _row_weights(self, y: tf.Tensor) -> tf.Tensor:
        """[networks * images], by the class shares among each network's training images."""
        if not self._trainer.recipe.balanced:
            return tf.ones([])
        shares = tf.concat([1 - y, y], axis=1) if y.shape[-1] == 1 else y
        apart = tf.reshape(shares, [self._networks, -1, shares.shape[-1]])
        return tf.reshape(tf.linalg.matvec(apart, self._class_weights), [-1])

    def _penalties(self, of: Mapping[int, Any]) -> tf.Tensor:
        """[networks]"""
        penalties = [
            variable.regularizer.l2 * tf.reduce_sum(tf.square(tf.reshape(of[id(variable)], [self._networks, -1])), 1)
            for variable in self._trainer.model.trainable_variables
            if variable.regularizer is not None
        ]
        return tf.add_n(penalties) if penalties else tf.zeros([self._networks])

    def _apply(self, gradients: Sequence[tf.Tensor], rates: tf.Tensor) -> None:
        """Update all weights as `keras.Optimizer.apply` does: decay, step, averages; each network at its own rate."""
        template, optimizer = inner(self._trainer.model.optimizer), self._optimizer
        for variable, gradient in zip(self._trained, gradients, strict=True):
            rate = tf.reshape(rates, [self._networks, *[1] * (len(variable.shape) - 1)])
            if template.weight_decay is not None:
                variable.assign(variable - variable * template.weight_decay * rate)
            optimizer.update_step(gradient, variable, rate)
        if template.use_ema:
            momentum = tf.cast(optimizer.iterations != 0, tf.float32) * template.ema_momentum
            for variable, average in zip(self._trained, averages(optimizer), strict=True):
                average.assign(momentum * average + (1 - momentum) * variable)
        optimizer.iterations.assign_add(1)

    def _judge(self, validate: tf.Tensor, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """In the graph: (output [networks, places, units], mean loss of each network on its first `images`)."""
        trainer, networks, places = self._trainer, self._networks, int(validate.shape[1])
        of = dict(self._of)
        if trainer.recipe.averaged:
            trainable = trainer.model.trainable_variables
            of |= {id(one): average for one, average in zip(trainable, averages(self._optimizer), strict=True)}
        outputs, losses, piece = [], [], max(1, JUDGED // networks)
        with scalars_as_variables(trainer.model, trainer.numbers):
            for start in range(0, places, piece):
                rows = validate[:, start : start + piece]
                with as_stack(trainer.model, Stack(networks, lambda variable: of[id(variable)])):
                    _, y, y_pred = trainer.answer(tf.reshape(rows, [-1]))
                losses.append(tf.reshape(row_losses(trainer.model, y, y_pred), rows.shape))
                outputs.append(tf.reshape(y_pred, [*rows.shape, y_pred.shape[-1]]))
            penalties = self._penalties(of)
        real = tf.cast(tf.range(places)[None] < images[:, None], tf.float32)
        means = tf.reduce_sum(tf.concat(losses, axis=1) * real, axis=1) / tf.cast(images, tf.float32)
        return tf.concat(outputs, axis=1), means + penalties

    def _logs(self) -> dict[str, tf.Tensor]:
        """In the graph: what the model's own metrics would be, [networks, …]."""
        classes = self._trainer.context.facts.classes
        counts = tf.reshape(self._pairs, [self._networks, classes, classes])
        return {"loss": self._loss / tf.reduce_sum(counts, axis=[1, 2]), "confusion": counts}


class Bundle:
    """Fold runs that are trained side by side: `add` each, then `train`."""

    def __init__(self, stacked: Stacked, trainer: Trainer, started: float) -> None:
        """`started` is the `time.perf_counter` from which seconds count."""
        self.trainer, self._stacked, self._started = trainer, stacked, started
        self._runs: list[FoldRun] = []
        self._jobs: list[FoldJob] = []
        self._states: list[Any] = []
        self._weights: list[NDArray[np.float32]] = []
        self._shown: tuple[int, int] | None = None  # (network, epochs) whose state the trainer has
        self._epochs = 0

    @classmethod
    def of(cls, trainer: Trainer, networks: int, started: float) -> Bundle | None:
        """Of so many fold runs, on graphs that the trainer keeps; None where such networks are trained alone."""
        if networks not in trainer.stacked:
            if not Stacked.fits(trainer):
                return None
            trainer.stacked[networks] = Stacked(trainer, networks)
        return cls(trainer.stacked[networks], trainer, started)

    def add(self, job: FoldJob, at_best: Callable[[], object] | None = None) -> None:
        """A fold run that begins with the state that the trainer has; `at_best` as in FoldRun."""
        network = len(self._runs)

        def shown() -> None:
            if self._shown != (network, self._epochs):
                self._stacked.show(network)
                self._shown = network, self._epochs

        def best() -> None:
            if at_best is not None:
                shown()
                at_best()

        self._runs.append(FoldRun(_One(self.trainer, shown), job, self._started, at_best=best))
        self._jobs.append(job)
        self._states.append(self.trainer.state())
        self._weights.append(self.trainer.class_weights.numpy())

    def train(
        self,
        progress: Callable[[Step], object] = lambda _: None,
        after_epoch: Callable[[Sequence[FoldRun]], object] = lambda _: None,
    ) -> list[FoldResult]:
        """Results in the order of `add`, up to one that ends its trial; each has its share of the seconds.

        `progress` is called before each epoch, `after_epoch` after each but the last one, with the fold runs whose
        results are still wanted.
        """
        self._stacked.begin(self._states, self._weights)
        wanted: Sequence[FoldRun] = self._runs
        epochs = [run.next_epoch() for run in wanted]
        while True:
            progress(Step("epoch", self._epochs + 1, self._jobs[0].training.max_epochs))
            trained = self._stacked.epoch(epochs, [job.validate for job in self._jobs])
            self._epochs += 1
            for run, outcome in zip(wanted, trained, strict=False):
                if not run.finished:
                    run.judge(outcome)
            wanted = wanted_of(wanted)
            if all(run.finished for run in wanted):
                break
            after_epoch(wanted)
            for network, run in enumerate(wanted):
                if not run.finished:
                    epochs[network] = run.next_epoch()
        results = [run.result() for run in wanted]
        share = (time.perf_counter() - self._started) / len(results)
        return [replace(result, seconds=share) for result in results]


def wanted_of(runs: Sequence[FoldRun]) -> Sequence[FoldRun]:
    """Those up to the first that ends their trial: they are stored in this order, and those after it are not."""
    last = next((number for number, run in enumerate(runs) if run.ends_trial), len(runs) - 1)
    return runs[: last + 1]


class _One(Trainer):
    """The trainer as the fold run of one of the networks sees it: it has that network's state before it is asked."""

    def __init__(self, trainer: Trainer, shown: Callable[[], None]) -> None:
        vars(self).update(vars(trainer))
        self._shown = shown

    def state(self) -> tuple[NDArray[Any], ...]:
        """As of any trainer."""
        self._shown()
        return super().state()

    def predict(self, rows: NDArray[np.int32]) -> tuple[NDArray[np.float32], float]:
        """As of any trainer."""
        self._shown()
        return super().predict(rows)

    def batch(self, rows: Any, *, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """As of any trainer."""
        if tf.executing_eagerly():
            self._shown()
        return super().batch(rows, training=training)


def _stacked(variable: keras.Variable, networks: int) -> keras.Variable:
    """One for all networks of what `variable` is of one; its values are given by `Stacked.begin`."""
    return keras.Variable(
        np.zeros((networks, *variable.shape), variable.dtype), dtype=variable.dtype, trainable=variable.trainable
    )
