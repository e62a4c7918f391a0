"""Mixed precision and XLA: meant for GPUs, held to the same rules on a processor, where the same code runs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from search.jobs import FoldJob, RefitJob, SavedModel, WorkerContext
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces import Value
from spaces.custom.file import ModelFile
from spaces.presets import FAMILIES
from spaces.recipe import recipe_of
from tests.search.worker.nets import BUILD
from tests.search.worker.test_trainer import fold_job, trained

MIXED = ("mixed_float16", "mixed_bfloat16")
mixed = pytest.mark.parametrize("precision", MIXED)


@pytest.fixture
def small(context: WorkerContext, tmp_path: Path) -> WorkerContext:
    """A network of the user's own, quick to compile; its last layer is in half precision. XLA draws other dropout."""
    path = tmp_path / "net.py"
    path.write_text(BUILD.replace("keras.layers.Dropout(0.3),", ""))
    return replace(context, model=ModelFile(str(path), "build", hashlib.sha256(path.read_bytes()).hexdigest()))


@pytest.mark.first(1)
@mixed
def test_in_mixed_precision_it_learns_and_the_same_job_gives_the_same_result(
    context: WorkerContext, prepared: Prepared, precision: str
) -> None:
    """The second time on graphs that another fold was trained on."""
    job = fold_job(prepared, prepared.space.defaults(learning_rate=0.01), max_epochs=20, patience=0)
    worker = Worker(replace(context, precision=precision))
    first = trained(worker, job)
    assert first.scores["balanced_accuracy"] > 0.9
    assert first.probabilities.dtype == np.float32
    trained(worker, replace(job, seed=99))
    again = trained(worker, job)
    assert first.curve == again.curve
    np.testing.assert_array_equal(first.probabilities, again.probabilities)


def test_steps_by_xla_are_those_without_it_but_for_the_order_of_sums_and_the_same_again(
    small: WorkerContext, prepared: Prepared
) -> None:
    job = fold_job(prepared, {"rate": 0.01}, max_epochs=15)
    worker = Worker(replace(small, xla=True))
    compiled, again = trained(worker, job), trained(worker, job)
    assert compiled.curve == again.curve
    assert compiled.scores["balanced_accuracy"] > 0.9
    plain = trained(Worker(small), job)
    np.testing.assert_allclose(compiled.curve["loss"][:3], plain.curve["loss"][:3], rtol=1e-3)


@pytest.mark.first(1)
@mixed
@pytest.mark.parametrize(
    "changes", [{}, {"normalization": "none", "dropout": 0.5, "optimizer": "sgd", "label_smoothing": 0.1}], ids=str
)
def test_an_epoch_in_mixed_precision_equals_keras_own_fit(
    context: WorkerContext, prepared: Prepared, precision: str, changes: dict[str, Value]
) -> None:
    """Under the same global policy, with the optimizer that `compile` puts around: same weights, same order."""
    params = prepared.space.defaults(**changes)
    job = fold_job(prepared, params, max_epochs=2, use_last_epoch=True)
    result = trained(Worker(replace(context, precision=precision)), job)
    losses, predicted = fitted(prepared, job, precision)
    np.testing.assert_allclose(result.curve["loss"], losses, rtol=1e-3)
    np.testing.assert_allclose(result.probabilities, predicted, atol=1e-3)


def fitted(prepared: Prepared, job: FoldJob, precision: str) -> tuple[list[float], NDArray[np.float32]]:
    """(training loss of each epoch, probabilities) by `model.fit` under a policy."""
    from search.worker.batches import batches

    keras.backend.clear_session()
    keras.utils.set_random_seed(job.seed)
    keras.config.set_dtype_policy(precision)
    try:
        model = FAMILIES["cnn"].build(job.params, prepared.facts)
    finally:
        keras.config.set_dtype_policy("float32")
    scales = isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scales == (precision == "mixed_float16")
    rng, losses = np.random.default_rng(job.seed), []
    pixels = prepared.images.pixels.astype(np.float32)
    one_hot = np.eye(2, dtype=np.float32)[prepared.images.labels]
    for _ in range(job.training.max_epochs):
        order, _ends = batches(rng, job.train, recipe_of(job.params, prepared.facts))
        size = int(job.params["batch_size"])
        history = model.fit(pixels[order], one_hot[order], batch_size=size, shuffle=False, verbose=0)
        losses.append(history.history["loss"][0])
    return losses, model.predict(pixels[job.validate], verbose=0)


@pytest.mark.first(1)
@pytest.mark.parametrize(
    ("precision", "changes"),
    [("mixed_float16", {"ema": True, "schedule": "cosine", "output": "sigmoid"}), ("mixed_bfloat16", {})],
)
def test_what_is_shipped_computes_in_float32_and_is_as_good(
    context: WorkerContext, prepared: Prepared, tmp_path: Path, precision: str, changes: dict[str, Value]
) -> None:
    worker = Worker(replace(context, precision=precision))
    params = prepared.space.defaults(**changes, learning_rate=0.01)
    job = fold_job(prepared, params, max_epochs=25, use_last_epoch=True)
    result = trained(worker, job)
    model, said = saved_and_asked(worker, job, prepared, tmp_path)
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    np.testing.assert_allclose(said, result.probabilities, atol=0.02)
    np.testing.assert_array_equal(said.argmax(axis=1), result.probabilities.argmax(axis=1))


@pytest.mark.first(1)
@pytest.mark.parametrize("precision", ["mixed_float16", "float32"])
def test_a_model_of_the_users_own_too(small: WorkerContext, prepared: Prepared, tmp_path: Path, precision: str) -> None:
    worker = Worker(replace(small, precision=precision))
    job = fold_job(prepared, {"rate": 0.01}, max_epochs=10, use_last_epoch=True)
    result = trained(worker, job)
    assert result.probabilities.dtype == np.float32
    model, said = saved_and_asked(worker, job, prepared, tmp_path)
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    np.testing.assert_allclose(said, result.probabilities, atol=1e-5 if precision == "float32" else 0.02)


def saved_and_asked(
    worker: Worker, job: FoldJob, prepared: Prepared, folder: Path
) -> tuple[keras.Model, NDArray[np.float32]]:
    """The model of this job as plain Keras loads it, and what it says of the rows that the job validates on."""
    outcome = worker.do(RefitJob(job, folder / "model.keras"))
    assert isinstance(outcome, SavedModel), outcome
    model = keras.saving.load_model(folder / "model.keras", compile=False, safe_mode=True)
    return model, model.predict(prepared.images.pixels[job.validate].astype(np.float32), verbose=0)


def test_gradients_that_half_precision_would_lose_are_seen_when_a_network_is_looked_at() -> None:
    """About as large as in float32; half precision itself has nothing below 6e-8."""
    from search.worker.inspection import evidence_of, start_of

    found = []
    for policy in ("float32", "mixed_float16"):
        model = a_faint_network(policy)
        x, y = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8), np.eye(2, dtype=np.float32)[np.arange(8) % 2]
        evidence = evidence_of(model, tf.constant(x), tf.constant(y), start_of(model), floor=0.69)
        found.append([float(layer.gradient or 0.0) for layer in evidence.layers])
    assert 0 < found[0][0] < 6e-8
    np.testing.assert_allclose(found[1], found[0], rtol=0.1)


def a_faint_network(policy: str) -> keras.Model:
    """Its first layer's gradient is tiny since what comes after multiplies by little."""
    keras.utils.set_random_seed(1)
    layers = [
        keras.layers.Dense(4, dtype=policy),
        keras.layers.Dense(4, dtype=policy, kernel_initializer=keras.initializers.Constant(1e-4)),
        keras.layers.Dense(2, "softmax", dtype="float32", kernel_initializer=keras.initializers.RandomNormal(0, 1e-4)),
    ]
    inputs = keras.Input((8,))
    x = inputs
    for layer in layers:
        x = layer(x)
    model = keras.Model(inputs, x)
    model.dtype_policy = keras.dtype_policies.DTypePolicy(policy)
    model.compile("adam", "categorical_crossentropy")
    return model
