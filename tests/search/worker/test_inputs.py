"""Layers that are not trained are passed once for all folds of a trial, and no result shows it."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from search.diagnosis.experiments import Edit
from search.jobs import Pixels, WorkerContext
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.inputs import PIECE, Shown
from search.worker.worker import Worker
from spaces import Value
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from spaces.presets import FAMILIES, fine_tune
from spaces.recipe import Recipe
from tests.search.worker.test_purity import assert_same
from tests.search.worker.test_trainer import fold_job, trained

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(LITE0.package) is None, reason="needs the package of weights"
)
FACTS = Facts(8, 8, 1, 2, 27, (LITE0,))
FAMILY = FAMILIES["fine-tune"]


def point(**changes: Value) -> dict[str, Value]:
    return FAMILY.space(FACTS).defaults(**{"input_size": 64, "epochs": 2, "batch_size": 8, **changes})


@pytest.fixture(scope="module")
def context(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerContext]:
    with StudyFolder(tmp_path_factory.mktemp("maps")).pixels_on_disk(prepared.images.pixels) as pixels:
        yield WorkerContext(Pixels(pixels), prepared.images.labels, FACTS, "fine-tune", "balanced_accuracy")


@pytest.mark.first(2)
@needs_weights
@pytest.mark.parametrize("unfreeze", ["upper", "last"])
@pytest.mark.parametrize("stages", ["all", "last"])
def test_the_two_parts_of_a_network_are_the_network(prepared: Prepared, unfreeze: str, stages: str) -> None:
    params = point(unfreeze=unfreeze, stages=stages)
    network: Any = FAMILY.network(params, FACTS)
    parts = fine_tune.cut(network, params, FACTS)
    assert parts is not None
    lower, upper = parts
    pixels = prepared.images.pixels.astype(np.float32)
    np.testing.assert_allclose(
        upper(lower(pixels, training=False), training=False), network(pixels, training=False), atol=1e-5
    )
    trained_ones = {id(variable) for variable in network.trainable_variables}
    assert {id(variable) for variable in upper.trainable_variables} == trained_ones, "all that is trained is above"


@needs_weights
def test_a_network_that_is_trained_whole_is_not_cut() -> None:
    params = point(unfreeze="all")
    assert fine_tune.cut(FAMILY.network(params, FACTS), params, FACTS) is None


@needs_weights
@pytest.mark.slow
def test_training_on_kept_maps_is_training_the_network(
    context: WorkerContext, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without augmentation and dropout, whose random numbers differ."""
    job = fold_job(prepared, point(augmentation="none", dropout=0.0), max_epochs=2)
    kept = trained(Worker(context), job)
    monkeypatch.setattr("search.worker.describe.MAX_NUMBERS", 0)
    whole = trained(Worker(context), job)
    np.testing.assert_allclose(kept.probabilities, whole.probabilities, atol=1e-4)
    np.testing.assert_allclose(kept.curve["loss"], whole.curve["loss"], atol=1e-4)
    assert kept.parameters == whole.parameters


@pytest.mark.slow
@needs_weights
def test_folds_on_a_kept_network_are_those_on_a_new_one(context: WorkerContext, prepared: Prepared) -> None:
    """Two trials of one architecture and another one take turns in one worker."""
    points = point(), point(learning_rate=1e-4, dropout=0.5), point(unfreeze="all", augmentation="mixup")
    rows = np.arange(len(prepared.images.labels), dtype=np.int32)
    jobs = [
        replace(
            fold_job(prepared, params, seed=10 * trial + fold, max_epochs=2),
            trial=trial,
            fold=fold,
            train=rows[rows % 3 != fold],
            validate=rows[rows % 3 == fold],
        )
        for fold in range(2)
        for trial, params in enumerate(points)
    ]
    used = Worker(context)
    for job in jobs:
        assert_same(used.do(job), Worker(context).do(job), f"trial {job.trial}, fold {job.fold}")


def test_each_epoch_shows_images_anew_and_a_seed_decides_how() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (PIECE + 3, 8, 8, 1), dtype=np.uint8)
    shown = Shown(pixels, np.arange(1, PIECE + 3, dtype=np.int32), Recipe(augmentation="shift"), epochs=2, seed=5)

    def images(shown: Shown, view: int) -> Any:
        return np.concatenate([piece.numpy() for piece in shown.view(view)])

    np.testing.assert_array_equal(images(shown, 0), pixels[1:])
    np.testing.assert_array_equal(images(shown, 1), pixels[1:, :, ::-1])
    first, second = images(shown, 2), images(shown, 3)
    assert shown.views == 4
    assert (first != second).any()
    assert (first != images(replace(shown, seed=6), 2)).any()
    np.testing.assert_array_equal(first, images(replace(shown), 2))


@pytest.mark.slow
@needs_weights
def test_in_half_precision_losses_are_scaled_and_folds_are_the_same(context: WorkerContext, prepared: Prepared) -> None:
    half = replace(context, precision="mixed_float16")
    used = Worker(half)
    for fold in range(2):
        job = replace(fold_job(prepared, point(), seed=fold, max_epochs=1), fold=fold)
        assert_same(used.do(job), Worker(half).do(job), f"fold {fold}")
    (trainer,) = used._trainers._kept.values()
    assert type(trainer.model.optimizer).__name__ == "LossScaleOptimizer"


@needs_weights
@pytest.mark.slow
def test_an_experiment_changes_a_network_whose_head_was_fitted(context: WorkerContext, prepared: Prepared) -> None:
    """To take dropout away where there is none changes nothing."""
    job = fold_job(prepared, point(augmentation="none", dropout=0.0), max_epochs=1)
    plain = trained(Worker(context), job)
    changed = trained(Worker(context), replace(job, edit=Edit("no dropout")))
    np.testing.assert_allclose(changed.probabilities, plain.probabilities, atol=1e-4)
