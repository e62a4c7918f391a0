"""Mixed precision and XLA: meant for GPUs, held to the same rules on a processor, where the same code runs."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from search.jobs import FoldJob, Materials, RefitJob, Saved
from search.study import Prepared
from search.worker import Worker
from spaces import Value
from spaces.own import ModelFile
from spaces.presets import FAMILIES
from spaces.recipe import recipe_of
from tests.search.test_own_training import BUILD
from tests.search.test_training import fold_job, trained

MIXED = ("mixed_float16", "mixed_bfloat16")
WAYS: list[dict[str, Any]] = [{"precision": name} for name in MIXED] + [{"xla": True}]
ways = pytest.mark.parametrize("way", WAYS, ids=["float16", "bfloat16", "xla"])


@ways
def test_a_network_learns_and_the_same_job_gives_the_same_result(
    materials: Materials, prepared: Prepared, way: dict[str, Any]
) -> None:
    """The second time on graphs that another fold was trained on."""
    job = fold_job(prepared, max_epochs=25, patience=0)
    worker = Worker(replace(materials, **way))
    first = trained(worker, job)
    assert first.scores["balanced_accuracy"] > 0.9
    assert first.probabilities.dtype == np.float32
    trained(worker, replace(job, seed=99))
    again = trained(worker, job)
    assert first.curve == again.curve
    np.testing.assert_array_equal(first.probabilities, again.probabilities)


@pytest.mark.parametrize("precision", MIXED)
@pytest.mark.parametrize("changes", [{}, {"normalization": "none", "dropout": 0.5, "optimizer": "sgd"}], ids=str)
def test_an_epoch_in_mixed_precision_equals_keras_own_fit(
    materials: Materials, prepared: Prepared, precision: str, changes: dict[str, Value]
) -> None:
    """Under the same global policy, with the optimizer that `compile` puts around: same weights, same order."""
    params = prepared.space.defaults(**changes)
    job = fold_job(prepared, params, max_epochs=2, last=True)
    result = trained(Worker(replace(materials, precision=precision)), job)
    losses, predicted = fitted(prepared, job, precision)
    np.testing.assert_allclose(result.curve["loss"], losses, rtol=1e-3)
    np.testing.assert_allclose(result.probabilities, predicted, atol=1e-3)


def fitted(prepared: Prepared, job: FoldJob, precision: str) -> tuple[list[float], NDArray[np.float32]]:
    """(training loss of each epoch, probabilities) by `model.fit` under a policy."""
    from search.training import batches

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


def test_steps_by_xla_are_those_without_it(materials: Materials, prepared: Prepared) -> None:
    """But for the order of sums. Augmentation, which XLA cannot compile, is the same to the bit."""
    params = prepared.space.defaults(augmentation="geometric", dropout=0.0, optimizer="sgd")
    job = fold_job(prepared, params, max_epochs=2)
    plain, compiled = (trained(Worker(replace(materials, xla=xla)), job) for xla in (False, True))
    np.testing.assert_allclose(compiled.curve["loss"], plain.curve["loss"], rtol=1e-3)
    np.testing.assert_allclose(compiled.probabilities, plain.probabilities, atol=1e-3)


@pytest.mark.parametrize("precision", MIXED)
@pytest.mark.parametrize("changes", [{}, {"ema": True, "schedule": "cosine", "output": "sigmoid"}], ids=str)
def test_what_is_shipped_computes_in_float32_and_is_as_good(
    materials: Materials, prepared: Prepared, tmp_path: Path, precision: str, changes: dict[str, Value]
) -> None:
    worker = Worker(replace(materials, precision=precision))
    job = fold_job(prepared, prepared.space.defaults(**changes), max_epochs=25, last=True)
    result = trained(worker, job)
    model, said = saved_and_asked(worker, job, prepared, tmp_path)
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    np.testing.assert_allclose(said, result.probabilities, atol=0.02)
    np.testing.assert_array_equal(said.argmax(axis=1), result.probabilities.argmax(axis=1))


def test_a_model_of_the_users_own_too(materials: Materials, prepared: Prepared, tmp_path: Path) -> None:
    """Its last layer computes in half precision, since it does not say otherwise."""
    path = tmp_path / "net.py"
    path.write_text(BUILD)
    file = ModelFile(str(path), "build", hashlib.sha256(path.read_bytes()).hexdigest())
    worker = Worker(replace(materials, model=file, precision="mixed_float16"))
    job = fold_job(prepared, {"rate": 0.01}, max_epochs=10, last=True)
    result = trained(worker, job)
    assert result.probabilities.dtype == np.float32
    model, said = saved_and_asked(worker, job, prepared, tmp_path)
    assert {layer.compute_dtype for layer in model._flatten_layers()} == {"float32"}
    np.testing.assert_allclose(said, result.probabilities, atol=0.02)


def saved_and_asked(
    worker: Worker, job: FoldJob, prepared: Prepared, folder: Path
) -> tuple[keras.Model, NDArray[np.float32]]:
    """The model of this job as plain Keras loads it, and what it says of the rows that the job validates on."""
    outcome = worker.do(RefitJob(job, folder / "model.keras"))
    assert isinstance(outcome, Saved), outcome
    model = keras.saving.load_model(folder / "model.keras", compile=False, safe_mode=True)
    return model, model.predict(prepared.images.pixels[job.validate].astype(np.float32), verbose=0)


def test_a_small_gradient_is_not_taken_for_none_in_half_precision(materials: Materials, prepared: Prepared) -> None:
    """A network that is stuck is looked at as in float32: the same cause, from evidence of about the same size."""
    params = prepared.space.defaults(learning_rate=1e-8, normalization="none")
    job = fold_job(prepared, params, max_epochs=12)
    plain, half = (trained(Worker(replace(materials, precision=name)), job) for name in ("float32", "mixed_float16"))
    assert plain.diagnosis is not None and half.diagnosis is not None
    assert plain.diagnosis.causes[0].name == half.diagnosis.causes[0].name
