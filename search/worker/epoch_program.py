"""An epoch as one program of XLA: batches, augmentation, steps, metrics and validation. For workers only.

On a GPU the operations of a small network take less time than starting each of them. A compiled program starts a
fraction of them. It has fixed shapes, so it is compiled for each number of steps, size of batches and number of
validation images; numbers of the recipe are variables, as in any graph of a `Trainer`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from search.jobs import WorkerContext
from search.worker.batches import Epoch
from search.worker.graph_sharing import scalars_as_variables
from search.worker.inputs import Inputs
from search.worker.xla_kernels import UnknownKernelError, compilable
from spaces.recipe import Recipe

AUGMENTATIONS = ("none", "shift", "geometric", "question")
"""Those that `xla_kernels` compiles."""
_REFUSALS = (
    tf.errors.InvalidArgumentError,
    tf.errors.UnimplementedError,
    tf.errors.ResourceExhaustedError,  # other graphs need less memory
    tf.errors.InternalError,  # these three: of what is installed beside the driver, as "libdevice not found"
    tf.errors.NotFoundError,
    tf.errors.FailedPreconditionError,
)
"""What a program may raise in its first run, where a graph of single steps may train all the same."""
MAX_KEPT = 4  # programs of a trainer: folds differ in their numbers of images by one or so
PIECE = 32  # validation images are filled up to a multiple of it, so that most folds have the same program
JUDGED = 256  # validation images at a time


@dataclass(frozen=True)
class Shapes:
    """What a program is compiled for, beside the model."""

    steps: int
    batch: int  # images of a step
    last: int  # images of a smaller step, at the end of a pass through the images; 0: there is none
    judged: int  # places for validation images

    @classmethod
    def of(cls, epoch: Epoch, judged: int) -> Shapes | None:
        """None where steps have more than two sizes."""
        sizes = sorted(set(np.diff(epoch.ends, prepend=0).tolist()))
        if len(sizes) > 2:
            return None
        return cls(len(epoch.ends), sizes[-1], sizes[0] if len(sizes) == 2 else 0, -(-judged // PIECE) * PIECE)

    def arguments(self, epoch: Epoch) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.bool_]]:
        """(rows [steps * batch], where each batch begins [steps], whether it is the smaller one [steps])."""
        starts = np.concatenate([[0], epoch.ends[:-1]]).astype(np.int32)
        rows = filled(epoch.rows, self.steps * self.batch)
        return rows, starts, np.diff(epoch.ends, prepend=0) != self.batch


def filled(rows: NDArray[np.int32], length: int) -> NDArray[np.int32]:
    """Rows, and the first of them again until there are `length`."""
    return np.concatenate([rows, np.full(length - len(rows), rows[0], np.int32)])


def row_losses(model: keras.Model, y: tf.Tensor, y_pred: tf.Tensor) -> tf.Tensor:
    """[rows] losses without penalties, of a network of a preset."""
    return tf.reshape(model.loss.call(y, y_pred), [-1])


def _run(
    program: Any, shapes: Shapes, epoch: Epoch, validate: NDArray[np.int32]
) -> tuple[Any, NDArray[np.float32], float]:
    """See `EpochProgram.run`. What XLA or the device refuses is raised here, also by a GPU that answers later."""
    rows, starts, smaller = (tf.constant(each) for each in shapes.arguments(epoch))
    rates, places = tf.constant(epoch.rates, tf.float32), tf.constant(filled(validate, shapes.judged))
    logs, outputs, loss = program(rows, starts, smaller, rates, places, tf.constant(len(validate)))
    return logs, outputs.numpy()[: len(validate)], float(loss)


class Owner(Protocol):
    """What a program needs of its trainer."""

    model: keras.Model
    recipe: Recipe
    context: WorkerContext
    inputs: Inputs
    numbers: Sequence[Any]  # see `graph_sharing.scalars_as_variables`

    def learn(self, rows: tf.Tensor, rate: tf.Tensor, step: Callable[[Any], Any]) -> None:
        """In a graph: a step of training."""

    def answer(self, rows: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """In a graph: (what the model is given, targets, output)."""

    def judged_weights(self) -> AbstractContextManager[None]:
        """Within, the weights are those that are judged."""

    def state(self) -> Sequence[NDArray[Any]]:
        """All that training changes, copied."""

    def restore(self, state: Sequence[NDArray[Any]]) -> None:
        """Go on from such a state."""


class EpochProgram:
    """The compiled epochs of a trainer; a network that XLA cannot compile is trained without."""

    def __init__(self, trainer: Owner) -> None:
        self._trainer = trainer
        self._programs: dict[Shapes, Any] = {}
        self._refused: set[Shapes] = set()  # by XLA or the device, in the first run

    @staticmethod
    def fits(trainer: Owner) -> bool:
        """Whether epochs of this trainer can be programs: of presets on pixels or features, augmented as here."""
        return (
            trainer.context.model is None
            and trainer.inputs.in_program
            and isinstance(trainer.model.loss, keras.losses.Loss)
            and trainer.recipe.augmentation in AUGMENTATIONS
        )

    def run(self, epoch: Epoch, validate: NDArray[np.int32]) -> tuple[Any, NDArray[np.float32], float] | None:
        """(metrics by name, output [validation images, units], mean loss) of an epoch; None: train without."""
        shapes = Shapes.of(epoch, len(validate))
        if shapes is None or shapes in self._refused:
            return None
        known = self._programs.pop(shapes, None)
        if known:
            outcome, program = _run(known, shapes, epoch, validate), known
        else:
            before = self._trainer.state()
            try:
                program = self._traced(shapes)
                outcome = _run(program, shapes, epoch, validate)
            except (UnknownKernelError, *_REFUSALS):
                self._trainer.restore(before)
                self._refused.add(shapes)
                return None
        while len(self._programs) >= MAX_KEPT:
            del self._programs[next(iter(self._programs))]
        self._programs[shapes] = program
        return outcome

    def _traced(self, shapes: Shapes) -> Any:
        trainer, steps = self._trainer, shapes.steps
        model, kinds = trainer.model, [tf.int32, tf.int32, tf.bool, tf.float32, tf.int32]
        lengths = [steps * shapes.batch, steps, steps, steps, shapes.judged]
        signature = [tf.TensorSpec([length], kind) for length, kind in zip(lengths, kinds, strict=True)]

        @tf.function(input_signature=[*signature, tf.TensorSpec([], tf.int32)], autograph=False, jit_compile=True)
        def program(
            order: tf.Tensor,
            starts: tf.Tensor,
            smaller: tf.Tensor,
            rates: tf.Tensor,
            validate: tf.Tensor,
            images: tf.Tensor,
        ) -> Any:
            def learn(step: tf.Tensor, size: int) -> tf.Tensor:
                rows = tf.ensure_shape(tf.slice(order, [starts[step]], [size]), [size])
                trainer.learn(rows, rates[step], model.train_step)
                return step + 1

            def one(step: tf.Tensor) -> tuple[tf.Tensor]:
                if not shapes.last:
                    return (learn(step, shapes.batch),)
                sizes = (lambda: learn(step, shapes.last)), (lambda: learn(step, shapes.batch))
                return (tf.cond(smaller[step], *sizes),)

            model.reset_metrics()
            tf.while_loop(lambda step: step < steps, one, [tf.constant(0)], parallel_iterations=1)
            with trainer.judged_weights():
                outputs, loss = self._judge(validate, images)
            return model.get_metrics_result(), outputs, loss

        with compilable():
            return program.get_concrete_function()

    def _judge(self, validate: tf.Tensor, images: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """In the graph: (output [places, units], mean loss of the first `images`, with penalties)."""
        trainer, places = self._trainer, int(validate.shape[0])
        outputs, losses = [], []
        for start in range(0, places, JUDGED):
            _, y, y_pred = trainer.answer(validate[start : start + JUDGED])
            with scalars_as_variables(trainer.model, trainer.numbers):
                losses.append(row_losses(trainer.model, y, y_pred))
            outputs.append(y_pred)
        with scalars_as_variables(trainer.model, trainer.numbers):
            penalties = [tf.cast(penalty, tf.float32) for penalty in trainer.model.losses]
        real = tf.cast(tf.range(places) < images, tf.float32)
        mean = tf.reduce_sum(tf.concat(losses, axis=0) * real) / tf.cast(images, tf.float32)
        return tf.concat(outputs, axis=0), tf.add_n([mean, *penalties])
