"""The worker's side: does jobs, one after another, and never sees the database."""

from __future__ import annotations

import contextlib
import gc
import os
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from search.diagnosis.evidence import BROKEN
from search.jobs import (
    BundleJob,
    BundleResult,
    ComposeJob,
    DescribeJob,
    Description,
    DiscoverJob,
    Discovery,
    Failure,
    FailureCause,
    FoldJob,
    FoldResult,
    Job,
    Looked,
    LookJob,
    Outcome,
    ReferenceJob,
    RefitJob,
    SavedModel,
    SaveRequest,
    Step,
    WorkerContext,
)
from search.native import ENVIRONMENT
from search.worker.building import Building, RefusedError, refusals
from search.worker.checkpoint import Checkpoint, SavedError, Turns
from search.worker.describe import describe, describe_frozen
from search.worker.diagnosis_edits import edited
from search.worker.features import Features
from search.worker.heads import fit_head, standardized
from search.worker.inspection import before_training
from search.worker.keras_internals import reset_names, without_values
from search.worker.model_checks import fatal, findings
from search.worker.references import judge
from spaces.custom.errors import BuilderError, place_in_message
from spaces.custom.model import OwnModel
from spaces.messages import first_line, sentence
from spaces.parameters import Value
from spaces.presets import FrozenFeatures, Preset, family_of, preset
from spaces.presets.frozen import UnfitError
from spaces.recipe import USUAL_BATCH, own_recipe

if TYPE_CHECKING:
    import keras

    from search.worker.fold_run import FoldRun
    from search.worker.trainer import Trainer
    from search.worker.trainer_cache import TrainerCache

Built = TypeVar("Built")


@dataclass(frozen=True)
class Sign:
    """What a worker process says once its libraries are imported, and then whenever a job has got on."""

    pid: int
    step: Step | None = None  # how far the job is; None: it has none yet


class Worker:
    """Does jobs, all with the same context."""

    def __init__(
        self,
        context: WorkerContext,
        progress: Callable[[Step], object] = lambda _: None,
        asked: Callable[[], SaveRequest | None] = lambda: None,
    ) -> None:
        """Import TensorFlow (seconds), give it the context's threads, and take the pixels in.

        `progress` is called before each epoch, and before each piece of features; `asked` after epochs, a few times a
        second: whether the search stops.
        """
        os.environ.update(ENVIRONMENT)
        import tensorflow as tf  # seconds, and its settings come first

        # Usually one: on small images more threads only wait for each other, and sums keep their order. TensorFlow
        # refuses to change it once it has run, as in a process that made a worker before.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(context.threads)
            tf.config.threading.set_inter_op_parallelism_threads(1)
            for gpu in tf.config.list_physical_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)
        self._context, self._progress, self._asked = context, progress, asked
        self._preset = None if context.model is not None else preset(context.preset)
        self._last: Trainer | None = None  # that trained a network
        self._saved: dict[Path, keras.Model] = {}  # models of the choice, until they are put together

    @cached_property
    def _trainers(self) -> TrainerCache:
        from search.worker.trainer_cache import TrainerCache

        return TrainerCache(self._context)

    @cached_property
    def _pixels(self) -> NDArray[np.uint8]:
        """[images, height, width, channels], mapped: a process that only describes models has none."""
        assert self._context.pixels is not None  # noqa: S101 - folds come with pixels
        return self._context.pixels.read()

    @cached_property
    def _building(self) -> Building:
        return Building(self._context, self._trainers, self._pixels)

    @cached_property
    def _features(self) -> Features:
        return Features(self._pixels, self._context.features, self._progress)

    def do(self, job: Job) -> Outcome:
        """The job's outcome. Every failure is an outcome too; its traceback goes to stderr, the log."""
        import tensorflow as tf

        try:
            return self._done(job)
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            self._trainers.clear()
            return Failure(FailureCause.OUT_OF_MEMORY, first_line(error))
        except SavedError as saved:
            return Failure(FailureCause.STOPPED, str(saved))
        except (RefusedError, UnfitError) as error:
            return Failure(FailureCause.REFUSED, str(error))
        except BuilderError as error:
            traceback.print_exc()
            return Failure(FailureCause.MODEL, str(error))
        except Exception as error:  # noqa: BLE001 - any failure of a model is an outcome of the search
            traceback.print_exc()
            place = place_in_message(error, self._context.model)
            return Failure(FailureCause.ERROR, f"{place}{sentence(error)}")

    def _done(self, job: Job) -> Outcome:
        match job:
            case DiscoverJob():
                space, whole = self._own.discover()
                return Discovery(space.to_json(), whole)
            case DescribeJob():
                return self._describe(job)
            case FoldJob() | BundleJob():
                return self._train(job) if isinstance(job, FoldJob) else self._train_all(job.folds)
            case ReferenceJob():
                return judge(job, self._pixels, self._features, self._context)
            case RefitJob():
                return self._refit(job)
            case ComposeJob() | LookJob():
                return self._with_saved(job)

    def _with_saved(self, job: ComposeJob | LookJob) -> SavedModel | Looked:
        """What needs files of saved models only."""
        if isinstance(job, ComposeJob):
            from search.worker.packaging import compose

            at_hand, self._saved = self._saved, {}
            return compose(job, self._pixels, self._context.facts, at_hand)
        from search.worker.gradcam import look

        return look(job, self._pixels)

    @cached_property
    def _own(self) -> OwnModel:
        if self._context.model is None:
            raise RuntimeError("there is no custom model")
        return OwnModel(self._context.model, self._context.facts)

    def _family(self, params: Mapping[str, Value]) -> tuple[Preset, Mapping[str, Value]]:
        if self._preset is None:
            raise RuntimeError("there is no preset: the model is a custom one")
        return family_of(self._preset, params)

    def _describe(self, job: DescribeJob) -> Description:
        import keras

        from spaces import compiling

        facts = self._context.facts
        if self._context.model is not None:
            keras.backend.clear_session()  # layers are named anew, whatever was built before
            self._own.reload()
            own, batch = self._own.build(job.params), int(job.params.get("batch_size", USUAL_BATCH))
            loss = compiling.single(own.loss) if own.compiled else None
            if wrong := fatal(findings(own, loss, images=facts.images, batch_size=batch)):
                raise BuilderError(f"{self._context.model.name}: {wrong}")
            return describe(own, batch)
        reset_names()
        family, params = self._family(job.params)
        if family.frozen:
            return describe_frozen(family.frozen, params, facts)
        # Without values for its variables the largest model costs milliseconds and no memory.
        with refusals(), without_values():
            model, batch = family.network(params, facts), family.recipe(params, facts).batch_size
            if wrong := fatal(findings(model, None, images=facts.images, batch_size=batch)):
                raise ValueError(wrong)
        return describe(model, batch)

    def _train(self, job: FoldJob) -> FoldResult:
        started, context = time.perf_counter(), self._context
        if context.model is not None:
            return self._train_own(job, started)
        family, params = self._family(job.params)
        job = replace(job, params=params)
        if family.frozen is None or family.frozen.heads is None:
            return self._train_on_pixels(family, job, started)
        features = standardized(*self._features.of(family.frozen, context.facts, job))
        if not family.frozen.heads.trains(params):
            result = fit_head(family.frozen, features, context, job, started)
        else:
            result = self._train_on_features(family, job, features, started)
        if context.latency:  # beside the backbone's, a fitted head's is nothing
            backbone = self._features.latency(family.frozen, context.facts, job)
            return replace(result, latency=backbone + (result.latency or 0.0))
        return replace(result, latency=self._features.seen_latency(family.frozen, context.facts, job))

    def _train_all(self, jobs: Sequence[FoldJob]) -> BundleResult:
        """Fold runs of one point trained as one program; no result where that is not possible."""
        from search.worker.stacked import Bundle, alike

        alone = BundleResult(())
        if self._preset is None or not alike(jobs):
            return alone
        (family, params), started = self._family(jobs[0].params), time.perf_counter()
        if family.frozen is not None:
            return alone
        bundle = None
        for job in (replace(job, params=params) for job in jobs):
            trainer = self._building.drawn(family, job)
            bundle = bundle or Bundle.of(trainer, len(jobs), started)
            if bundle is None or bundle.trainer is not trainer:
                return alone
            bundle.add(job, partial(_keep, trainer, job.keep) if job.keep else None)
        assert bundle is not None  # noqa: S101 - there are jobs
        results = bundle.train(self._progress, self._storing(bundle.trainer, jobs, params))
        for number, job in enumerate(jobs):
            if job.keep and (number >= len(results) or results[number].behind or results[number].diagnosis):
                _remove(job.keep)
        return BundleResult(tuple(results))

    def _storing(
        self, trainer: Trainer, jobs: Sequence[FoldJob], params: Mapping[str, Value]
    ) -> Callable[[Sequence[FoldRun]], object]:
        """What stores the states of fold runs side by side: each goes on by itself from its own."""
        saving = self._context.saving
        if saving is None:
            return lambda _: None
        turns = Turns(saving, self._asked)
        checkpoints = [Checkpoint(saving, trainer, replace(job, params=params)) for job in jobs]

        def after_epoch(runs: Sequence[FoldRun]) -> None:
            def write() -> bool:
                going_on = [pair for pair in zip(checkpoints, runs, strict=False) if not pair[1].ends_trial]
                written = [checkpoint.write(run, 1 / len(runs)) for checkpoint, run in going_on]
                return all(written)

            turns.after_epoch(max(run.epochs for run in runs), jobs[0].training.max_epochs, write)

        return after_epoch

    def _train_on_pixels(self, family: Preset, job: FoldJob, started: float) -> FoldResult:
        facts, labels = self._context.facts, self._context.labels[job.train]
        begin: Callable[[keras.Model], None] = _as_built
        tuned = family.frozen and family.frozen.tuned
        if family.frozen and tuned:
            features, _ = self._features.of(family.frozen, facts, job)

            def begin(model: keras.Model) -> None:
                tuned.start(model, job.params, features, labels)

        if family.frozen and tuned and not job.edit:
            self._last = None  # it may hold maps that are not needed any more
            trainer = self._building.tuner(family, tuned, job)
            begin(trainer.network)
        elif family.frozen is None and job.edit is None:
            trainer = self._building.drawn(family, job)
        else:

            def built() -> keras.Model:
                model = family.build(job.params, facts)
                begin(model)  # before an edit, which may put layers around it
                return edited(model, job.edit, facts.classes, job.seed)

            trainer = self._trainers.trainer(
                self._building.new(job, built), self._building.constant, family.recipe(job.params, facts)
            )
        if job.keep is None:
            return self._trained_by(trainer, job, started)
        result = self._trained_by(trainer, job, started, at_best=partial(_keep, trainer, job.keep))
        if result.behind or result.diagnosis:
            _remove(job.keep)
        return result

    def _train_on_features(
        self, family: Preset, job: FoldJob, features: tuple[NDArray[Any], NDArray[Any]], started: float
    ) -> FoldResult:
        """Train a network on features [rows, width], those of the job's training rows first."""
        assert family.frozen is not None  # noqa: S101 - it has features
        facts, (train, validate) = self._context.facts, features
        inputs = np.zeros((len(self._context.labels), train.shape[1]), np.float32)
        inputs[job.train], inputs[job.validate] = train, validate
        model = self._building.new(job, lambda: family.build(job.params, facts))
        trainer = self._trainers.trainer(model, inputs, family.recipe(job.params, facts))
        result = self._trained_by(trainer, job, started)
        return replace(result, parameters=describe_frozen(family.frozen, job.params, facts).parameters)

    def _refit(self, job: RefitJob) -> SavedModel:
        """Train as in a fold run, then save what predicts: from pixels as they are in the study to probabilities."""
        from search.worker import packaging
        from search.worker.outputs import output_of
        from search.worker.pixel_range import pixel_range
        from search.worker.remembering import by_layer, by_probe

        started, facts, fold = time.perf_counter(), self._context.facts, job.fold
        remembered = None
        if self._preset is None:
            self._own.reload()
            built = self._own.build(fold.params)  # computes in float32, whatever the precision of training
            if why := packaging.unsaveable_reason(packaging.bare_network(built)):
                raise BuilderError(f"{self._own.name}: {why}")
            _usable(self._train(fold))
            network = packaging.bare_network(packaging.with_trained_weights(self._trained, built))
            model = self._from_pixels(network, self._trained)
        else:
            family, params = self._family(fold.params)
            if family.frozen and family.frozen.heads:
                point = replace(fold, params=params)
                features, head = self._head(family.frozen, family, point)
                model = packaging.features_model(family.frozen, params, facts, features, head)
                layer = packaging.standardizing(model)[0].name
                remembered = by_layer(layer, replace(job, fold=point), self._features, family.frozen, facts)
            elif job.weights:
                network = packaging.with_kept_weights(family.build(params, facts), job.weights)
                flip = family.recipe(params, facts).flip_average
                judged = pixel_range(network), output_of(network).meaning
                model = packaging.pixels_model(network, facts, *judged, flip_average=flip)
            else:
                _usable(self._train(fold))
                network = packaging.with_trained_weights(self._trained, family.network(params, facts))
                model = self._from_pixels(network, self._trained)
        packaging.save(model, job.path, remembered=remembered or by_probe(job, self._features, facts))
        self._saved[job.path] = model
        return SavedModel(time.perf_counter() - started)

    def _from_pixels(self, network: keras.Model, trainer: Trainer) -> keras.Model:
        from search.worker import packaging

        facts, meaning, flip = self._context.facts, trainer.output.meaning, trainer.recipe.flip_average
        return packaging.pixels_model(network, facts, trainer.inputs.pixels, meaning, flip_average=flip)

    def _head(self, frozen: FrozenFeatures, family: Preset, job: FoldJob) -> tuple[NDArray[np.float32], Any]:
        """(training features [rows, width], a head on them: fitted at once, or a network)."""
        from search.worker import packaging

        assert frozen.heads is not None  # noqa: S101 - it learns on features
        features, of_validation = self._features.of(frozen, self._context.facts, job)
        both = standardized(features, of_validation)
        if not frozen.heads.trains(job.params):
            return features, frozen.heads.fit(job.params, both[0], self._context.labels[job.train], job.seed)
        _usable(self._train_on_features(family, job, both, time.perf_counter()))
        return features, packaging.with_trained_weights(self._trained, family.network(job.params, self._context.facts))

    def _trained_by(
        self,
        trainer: Trainer,
        job: FoldJob,
        started: float,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        at_best: Callable[[], object] = lambda: None,
        *,
        pure: bool = True,
    ) -> FoldResult:
        """`pure`: whether all that decides what comes next is in what `FoldRun.state` returns."""
        from search.worker.fold_run import train

        self._last, saving = trainer, self._context.saving
        saver = Checkpoint(saving, trainer, job, self._asked) if saving and pure else None
        return train(trainer, job, started, callbacks, at_best, progress=self._progress, saver=saver)

    @property
    def _trained(self) -> Trainer:
        assert self._last is not None  # noqa: S101 - asked after training
        return self._last

    def _train_own(self, job: FoldJob, started: float) -> FoldResult:
        """Folds of a point share graphs if the model consists of Keras's parts alone; else each fold traces its own."""
        from search.worker import packaging
        from search.worker.graph_sharing import of_keras_alone
        from search.worker.trainer import Trainer, UntraceableError

        recipe, facts = own_recipe(job.params, self._context.facts), self._context.facts

        def built() -> tuple[keras.Model, list[keras.callbacks.Callback]]:
            model, callbacks = self._building.own(self._own, job)
            return edited(model, job.edit, facts.classes, job.seed), callbacks

        model, callbacks = built()
        why = packaging.unsaveable_reason(packaging.bare_network(model))
        notes: tuple[str, ...] = (f"no model of {self._own.name} will be saved: {why}",) if why else ()
        untraceable, pure = "", not (why or callbacks) and of_keras_alone(model)
        try:
            if not pure:
                gc.collect()  # what the fold before traced
                trainer = Trainer(model, self._building.constant, self._context, recipe)
            else:
                trainer = self._trainers.trainer(model, self._building.constant, recipe, job.params)
        except UntraceableError as error:
            untraceable = str(error)
        if untraceable:  # outside of the handler, whose traceback would keep the partial graph
            self._trainers.clear()
            gc.collect()
            model, callbacks = built()  # anew: a failed trace leaves tensors of its graph in layers
            trainer = Trainer(model, self._building.constant, self._context, recipe, graphs=False)
            slow = "the model is trained by Keras's own fit, which is slower: it does not run as a graph"
            notes = (*notes, f"{slow} ({untraceable})")
        if job.trial == job.repeat == job.fold == 0:  # other trials' models differ in their numbers
            notes += before_training(trainer, job.train)
        name, decided = self._own.name, (trainer.inputs.pixels.note, trainer.output.note)
        notes += tuple(f"before training, {name}: {note}" for note in decided if note)
        notes += (self._own.loading_note,) if self._own.loading_note else ()
        result = self._trained_by(trainer, job, started, callbacks, pure=pure and not untraceable)
        return replace(result, notes=(*notes, *result.notes))


def _as_built(_: keras.Model) -> None:
    """Leave a network's first weights as they are."""


def _keep(trainer: Trainer, path: Path) -> None:
    """Keep the weights as they are now; none at all where that fails, as on a full disk: they can be trained again."""
    from search.worker.packaging import keep_weights

    try:
        keep_weights(trainer, path)
    except OSError:
        _remove(path)


def _remove(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink()


def _usable(result: FoldResult) -> None:
    """Raises RefusedError where the weights are not finite, so that there is nothing to save."""
    if result.diagnosis and result.diagnosis.symptom.name == BROKEN:
        raise RefusedError(f"trained on all images, {'; '.join(result.diagnosis.symptom.signs)}")
