"""Networks from the seed of a fold run; where a kept trainer can begin again as a new one, nothing is built."""

from __future__ import annotations

import random
from collections.abc import Callable, Hashable, Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from search.jobs import FoldJob, WorkerContext
from search.seeds import derive
from search.worker.keras_internals import dtype_policy, reset_names
from spaces.custom.model import OwnModel
from spaces.messages import first_line
from spaces.parameters import Value
from spaces.presets import Preset, Tuned

if TYPE_CHECKING:
    import keras

    from search.worker.inputs import Maps, Shown
    from search.worker.trainer import Trainer
    from search.worker.trainer_cache import TrainerCache

Built = TypeVar("Built")
COPIED = 0.25  # of a worker's memory that a copy of the pixels may take; else each batch is read from the file


class RefusedError(Exception):
    """A point of a preset whose model cannot be trained."""


@contextmanager
def refusals() -> Iterator[None]:
    """Within, a ValueError is that of a point which cannot be trained."""
    try:
        yield
    except ValueError as error:
        raise RefusedError(first_line(error)) from error


class Building:
    """Builds the networks of a worker, and knows which trainers need none."""

    def __init__(self, context: WorkerContext, trainers: TrainerCache, pixels: NDArray[np.uint8]) -> None:
        """`pixels`: [images, height, width, channels] of the study."""
        self._context, self._trainers, self._pixels = context, trainers, pixels
        self._widths: dict[Hashable, int] = {}  # numbers of an image below what is trained, of each `Tuned.shape`

    @cached_property
    def constant(self) -> Any:
        """The pixels as a tensor, one copy for all graphs; where that is large, the mapped array itself."""
        from search.worker.inputs import placed

        return placed(self._pixels) if self._pixels.nbytes <= COPIED * self._context.memory else self._pixels

    def drawn(self, family: Preset, job: FoldJob) -> Trainer:
        """A trainer of a network from its first weights, which is built once for all folds of a point."""
        from search.worker.redrawing import Redrawing, noted

        point, facts = ("drawn", *sorted(job.params.items())), self._context.facts
        trainer = self._trainers.again(point)
        if trainer is None or not trainer.draw_again(job.seed):
            with noted() as seeds:
                model = self.new(job, lambda: family.build(job.params, facts))
            redrawing = Redrawing.of(model, seeds, job.seed)
            trainer = self._trainers.trainer(model, self.constant, family.recipe(job.params, facts))
            trainer.remember_drawing(point, redrawing)
        return trainer

    def tuner(self, family: Preset, tuned: Tuned, job: FoldJob) -> Trainer:
        """A trainer of a pre-trained network. To build one takes as long as epochs do, so one is kept.

        It trains all folds of a trial, and those of other trials whose points differ from its own in numbers alone.
        Layers that are not trained are left to `Maps`, where there is room for these.
        """
        from search.worker.inputs import Maps, Shown

        facts, params, rows = self._context.facts, job.params, np.union1d(job.train, job.validate).astype(np.int32)
        recipe, epochs = family.recipe(params, facts), job.training.max_epochs
        point = (job.trial, tuple(sorted(params.items())), epochs, rows.tobytes())
        trainer = self._trainers.again(point)
        if trainer is None:
            shown = Shown(self._pixels, rows, recipe, epochs, derive(self._context.seed, "shown", job.trial))
            head = self.new(job, lambda: family.compiled(tuned.head(params, facts), params, facts))
            kind = self._trainers.kind_of(head, recipe)
            trainer = self._trainers.alike((tuned.shape(params, facts), kind, self._has_maps(tuned, params, shown)))
            if trainer is None:
                trainer = self._new_tuner(family, tuned, job, shown)
                trainer.remember(point)
                if trainer.has_numbers_of(head):  # else layers of the backbone have some too
                    trainer.kind = (tuned.shape(params, facts), kind, isinstance(trainer.inputs, Maps))
            else:
                trainer.become(point, head, recipe)
                if isinstance(trainer.inputs, Maps):
                    trainer.inputs.show(shown)
        trainer.begin_again(job.seed)
        return trainer

    def _new_tuner(self, family: Preset, tuned: Tuned, job: FoldJob, shown: Shown) -> Trainer:
        from search.worker.inputs import Maps

        facts, params = self._context.facts, job.params

        def built() -> tuple[keras.Model, keras.Model, Maps | None]:
            """(the network, compiled what of it is trained, the maps that this is given)."""
            network = family.network(params, facts)
            if parts := tuned.cut(network, params, facts):
                lower, upper = parts
                self._widths[tuned.shape(params, facts)] = int(lower.output_shape[-1])
                if self._has_maps(tuned, params, shown):
                    return network, family.compiled(upper, params, facts), Maps(lower, shown)
            return network, family.compiled(network, params, facts), None

        network, model, maps = self.new(job, built)
        trainer = self._trainers.trainer(
            model, maps or self.constant, shown.recipe, {"shape": str(tuned.shape(params, facts))}
        )
        if trainer.model is model:
            trainer.network = network
        return trainer

    def _has_maps(self, tuned: Tuned, params: Mapping[str, Value], shown: Shown) -> bool:
        """Whether what is not trained of a point's network is left to `Maps`."""
        from search.worker.describe import MAX_NUMBERS

        width = self._widths.get(tuned.shape(params, self._context.facts), 0)
        return 0 < shown.numbers(width) <= MAX_NUMBERS and not shown.recipe.mixes

    def own(self, own: OwnModel, job: FoldJob) -> tuple[keras.Model, list[keras.callbacks.Callback]]:
        """The user's model, compiled, built with the job's seed, its layers named anew; and the user's callbacks."""
        import keras
        import tensorflow as tf

        # A user's builder may use any random generator. Settings that it makes for the whole process end with its fold.
        keras.utils.clear_session(free_memory=False)
        keras.config.set_image_data_format("channels_last")
        keras.config.set_floatx("float32")
        tf.config.run_functions_eagerly(False)
        with dtype_policy(self._context.precision):
            own.reload()
            keras.utils.set_random_seed(job.seed)
            return own.compiled(job.params)

    def new(self, job: FoldJob, build: Callable[[], Built]) -> Built:
        """What `build` makes of a preset with the job's seed, its layers named anew. Raises RefusedError."""
        # Presets draw from Python's generator alone, through Keras's initializers and layers. Keras's own calls, as
        # above, empty TensorFlow's cache of kernels as well, and it would optimise graphs anew that are kept: now and
        # then is enough.
        self._trainers.forget_kernels()
        reset_names()
        random.seed(job.seed)
        with dtype_policy(self._context.precision), refusals():
            return build()
