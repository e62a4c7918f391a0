"""What a fold run trains is what Keras's own `fit` trains: to 1e-6, the same losses, weights and optimizer states."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from numpy.typing import NDArray

from search.jobs import FoldJob, WorkerContext
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces import Value
from spaces.facts import Facts
from spaces.presets import FAMILIES
from spaces.recipe import Recipe
from tests.search.worker.test_trainer import fold_job, trained

if TYPE_CHECKING:
    import keras

TOLERANCE = 1e-6  # relative, plus as much absolute for what is nearly 0; measured: not a bit but in `val_loss`
FACTS = Facts(8, 8, 1, 2, 18)
BATCHES = Recipe(batch_size=8)  # 18 training images: the last batch is of two

Named = tuple[str, Mapping[str, Any]]  # something of Keras's and its arguments


@dataclass(frozen=True)
class Case:
    """A network of two classes, as a user might compile it."""

    layers: tuple[Named, ...]
    optimizer: Named
    loss: Named = ("CategoricalCrossentropy", {})
    output: tuple[int, str] = (2, "softmax")
    recipe: Recipe = BATCHES

    def compiled(self) -> keras.Model:
        """A new one."""
        import keras

        from spaces import compiling

        (name, options), (loss, its) = self.optimizer, self.loss
        if isinstance(rate := options["learning_rate"], tuple):
            options = {**options, "learning_rate": keras.optimizers.schedules.ExponentialDecay(*rate)}
        made = [getattr(keras.layers, kind)(**how) for kind, how in self.layers]
        units, activation = self.output
        model = keras.Sequential(
            [keras.Input((8, 8, 1)), keras.layers.Rescaling(1 / 255), *made, keras.layers.Dense(units, activation)]
        )
        optimizer = getattr(keras.optimizers, name)(**options)
        return compiling.compiled(model, 2, optimizer, getattr(keras.losses, loss)(**its))


@dataclass(frozen=True)
class Point:
    """A preset's point."""

    preset: str
    changes: Mapping[str, Value]

    @property
    def recipe(self) -> Recipe:
        """How it is trained."""
        return FAMILIES[self.preset].recipe(self.params, FACTS)

    def compiled(self) -> keras.Model:
        """A new network."""
        return FAMILIES[self.preset].build(self.params, FACTS)

    @property
    def params(self) -> dict[str, Value]:
        """Its parameters in full."""
        return FAMILIES[self.preset].space(FACTS).changed(self.changes)


def layer(kind: str, **how: Any) -> Named:
    return kind, how


CONVOLUTION = layer("Conv2D", filters=4, kernel_size=3, activation="relu")
POOLING, FLAT = layer("MaxPooling2D"), layer("Flatten")
LENET = (CONVOLUTION, POOLING, FLAT, layer("Dense", units=8, activation="relu"))
NORMALISED = (
    layer("Conv2D", filters=4, kernel_size=3, use_bias=False),
    layer("BatchNormalization"),
    layer("ReLU"),
    FLAT,
)
DROPPED = (CONVOLUTION, layer("SpatialDropout2D", rate=0.2), FLAT, layer("Dropout", rate=0.5))
PENALISED = (FLAT, layer("Dense", units=8, activation="tanh", kernel_regularizer="l2", bias_regularizer="l1"))
MOVED = (layer("RandomFlip"), layer("RandomTranslation", height_factor=0.2, width_factor=0.2), *DROPPED)

CASES: dict[str, Case | Point] = {
    "the LeNet of the question": Point(
        "question", {"augmentation": "none", "epoch": "one pass", "batch_size": 8, "initializer": "he_uniform"}
    ),
    "epochs of five steps": Case(
        LENET, layer("SGD", learning_rate=0.05, momentum=0.9), recipe=Recipe(batch_size=8, steps=5)
    ),
    "batch normalisation, SGD with momentum, weight decay, smoothing": Case(
        NORMALISED,
        layer("SGD", learning_rate=0.02, momentum=0.9, nesterov=True, weight_decay=0.1),
        layer("CategoricalCrossentropy", label_smoothing=0.1),
    ),
    "dropout, AdamW, norms clipped, class numbers from logits, class weights": Case(
        DROPPED,
        layer("AdamW", learning_rate=0.01, weight_decay=0.2, clipnorm=0.5),
        layer("SparseCategoricalCrossentropy", from_logits=True),
        (2, "linear"),
        Recipe(batch_size=8, balanced=True),
    ),
    "batch normalisation and dropout, RMSprop, one unit, class weights": Case(
        (*NORMALISED, layer("Dropout", rate=0.3)),
        layer("RMSprop", learning_rate=0.002, momentum=0.9, centered=True),
        layer("BinaryCrossentropy", label_smoothing=0.1),
        (1, "sigmoid"),
        Recipe(batch_size=8, balanced=True),
    ),
    "penalties, Adam with amsgrad, a schedule of its own, focal loss": Case(
        PENALISED,
        layer("Adam", learning_rate=(0.02, 2, 0.8), amsgrad=True),
        layer("CategoricalFocalCrossentropy", gamma=1.5),
    ),
    "sparse gradients, Adam": Case(
        (FLAT, layer("Embedding", input_dim=4, output_dim=2), FLAT), layer("Adam", learning_rate=0.01)
    ),
    "averaged weights, class weights": Case(
        NORMALISED, layer("Adam", learning_rate=0.01), recipe=Recipe(batch_size=8, averaged=True, balanced=True)
    ),
    "an average of the optimizer's own, binary focal loss": Case(
        DROPPED,
        layer("SGD", learning_rate=0.05, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=3),
        layer("BinaryFocalCrossentropy", from_logits=True),
        (1, "linear"),
    ),
    "gradients added up over two batches, Nadam, squared error": Case(
        LENET, layer("Nadam", learning_rate=0.01, gradient_accumulation_steps=2), layer("MeanSquaredError")
    ),
    "augmentation within the model, Lion, divergence": Case(
        MOVED, layer("Lion", learning_rate=0.001, global_clipnorm=1.0), layer("KLDivergence")
    ),
    "a cosine": Case(LENET, layer("Adam", learning_rate=0.02), recipe=Recipe(batch_size=8, schedule="cosine")),
    "a network of ours, residual, sigmoid": Point(
        "cnn", {"block": "residual", "output": "sigmoid", "dropout": 0.3, "augmentation": "none"}
    ),
}


@dataclass
class Found:
    """What training came to."""

    curve: Mapping[str, NDArray[np.float64]]
    variables: list[NDArray[Any]]  # of the model and of its optimizer


@pytest.mark.first(2)
@pytest.mark.usefixtures("worker")  # TensorFlow is set up as in a worker
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_trains_what_fit_trains(case: Case | Point, context: WorkerContext, prepared: Prepared) -> None:
    job = fold_job(prepared, max_epochs=3, stop_collapsed=False)
    ours, theirs = by_trainer(case, job, context, prepared), by_fit(case, job, prepared)
    for name, expected in theirs.curve.items():
        np.testing.assert_allclose(ours.curve[name][-len(expected) :], expected, TOLERANCE, TOLERANCE, err_msg=name)
    for found, wanted in zip(ours.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(found, wanted, TOLERANCE, TOLERANCE)
    assert np.ptp(theirs.curve["loss"]) > 100 * TOLERANCE


def test_a_worker_trains_a_point_as_its_trainer_does(
    worker: Worker, context: WorkerContext, prepared: Prepared
) -> None:
    point = Point("cnn", {"dropout": 0.5})
    job = fold_job(prepared, point.params)
    found = by_trainer(point, job, context, prepared)
    assert trained(worker, job).curve == {name: tuple(curve) for name, curve in found.curve.items()}


def by_trainer(case: Case | Point, job: FoldJob, context: WorkerContext, prepared: Prepared) -> Found:
    from search.worker.fold_run import train
    from search.worker.trainer import Trainer

    trainer = Trainer(new(case, job), prepared.images.pixels, context, case.recipe)
    result = train(trainer, job, 0.0)
    with trainer.judged_weights():
        found = variables(trainer.model)
    return Found({name: np.array(curve) for name, curve in result.curve.items()}, found)


def by_fit(case: Case | Point, job: FoldJob, prepared: Prepared) -> Found:
    """One call of `fit` over the same batches, kept in their order."""
    import keras
    import tensorflow as tf

    from search.worker.batches import balanced_weights, batches, targets_for

    recipe, model, labels = case.recipe, new(case, job), prepared.images.labels
    x, y = prepared.images.pixels.astype(np.float32), targets_for(model, labels)
    order, epochs = np.random.default_rng(job.seed), job.training.max_epochs
    shown = [
        part
        for rows, ends in (batches(order, job.train, recipe) for _ in range(epochs))
        for part in np.split(rows, ends[:-1])
    ]
    callbacks: list[keras.callbacks.Callback] = []
    if recipe.averaged:  # as `Recipe` says: a horizon of five epochs
        model.optimizer.use_ema, model.optimizer.ema_momentum = True, 1 - 1 / (5 * -(-len(labels) // 8))
    if recipe.schedule == "cosine":
        base = float(model.optimizer.learning_rate)
        rates = iter([base * recipe.rate(step, len(shown)) for step in range(len(shown))])

        def steer(batch: int, logs: object) -> None:  # noqa: ARG001 - as Keras calls it
            model.optimizer.learning_rate = next(rates)

        callbacks.append(keras.callbacks.LambdaCallback(on_train_batch_begin=steer))
    judged = x[job.validate], y[job.validate]
    curve = model.fit(
        tf.data.Dataset.from_generator(
            lambda: ((x[rows], y[rows]) for rows in shown),
            output_signature=tuple(tf.TensorSpec((None, *data.shape[1:])) for data in (x, y)),
        ),
        epochs=epochs,
        steps_per_epoch=len(shown) // epochs,
        validation_data=judged,
        validation_batch_size=len(x),
        class_weight=dict(enumerate(balanced_weights(labels[job.train], 2).tolist())) if recipe.balanced else None,
        callbacks=callbacks,
        verbose=0,
    ).history
    if recipe.averaged:  # `fit` ends with the averages in the place of the weights, but did not judge by them before
        curve["val_loss"] = [model.evaluate(*judged, batch_size=len(x), verbose=0, return_dict=True)["loss"]]
    return Found({name: np.array(curve[name]) for name in ("loss", "val_loss")}, variables(model))


def new(case: Case | Point, job: FoldJob) -> keras.Model:
    """A compiled model with the job's initial weights."""
    import keras

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(job.seed)
    return case.compiled()


def variables(model: keras.Model) -> list[NDArray[Any]]:
    return [np.asarray(variable) for variable in (*model.variables, *model.optimizer.variables)]
