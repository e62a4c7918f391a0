"""A saved model says of pixels what the fold run that trained it said; everything around the network is inside."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.jobs import ComposeJob, FoldJob, FoldResult, Pixels, RefitJob, SavedModel
from search.manifest import ABOUT
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces import Value
from tests.search.worker.test_frozen import HEADS, needs_weights
from tests.search.worker.test_trainer import fold_job


def saved_and_asked(worker: Worker, job: FoldJob, pixels: Any, path: Path) -> Any:
    """What the saved model says of the rows that the job validates on."""
    outcome = worker.do(RefitJob(job, path))
    assert isinstance(outcome, SavedModel), outcome
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return model.predict(pixels[job.validate].astype(np.float32), verbose=0)


@pytest.mark.first(2)
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"output": "sigmoid"},
        {"ema": True, "schedule": "cosine"},
        {"normalization": "batch", "augmentation": "geometric"},
        {"block": "residual", "head": "flatten", "dropout": 0.3},
    ],
    ids=str,
)
def test_a_network_from_pixels(worker: Worker, prepared: Prepared, tmp_path: Path, changes: dict[str, Value]) -> None:
    job = fold_job(prepared, prepared.space.defaults(**changes), use_last_epoch=True)
    result = worker.do(job)
    assert isinstance(result, FoldResult), result
    said = saved_and_asked(worker, job, prepared.images.pixels, tmp_path / "model.keras")
    np.testing.assert_allclose(said, result.probabilities, atol=1e-5)


@pytest.mark.first(1)
@needs_weights
@pytest.mark.parametrize("head", HEADS, ids=str)
def test_a_head_on_frozen_features(
    frozen_study: tuple[Prepared, Worker], tmp_path: Path, head: dict[str, Value]
) -> None:
    prepared, worker = frozen_study
    job = fold_job(prepared, prepared.space.defaults(**{"input_size": 64, **head}), use_last_epoch=True)
    result = worker.do(job)
    assert isinstance(result, FoldResult), result
    said = saved_and_asked(worker, job, prepared.images.pixels, tmp_path / "model.keras")
    np.testing.assert_allclose(said, result.probabilities, atol=1e-4)


def test_several_in_one_file_are_their_weighted_mean_and_it_says_what_using_it_needs(
    worker: Worker, prepared: Prepared, tmp_path: Path
) -> None:
    said, jobs = [], []
    for number, changes in enumerate(({}, {"head": "flatten"})):
        job = fold_job(prepared, prepared.space.defaults(**changes), seed=number + 1, use_last_epoch=True)
        said.append(saved_and_asked(worker, job, prepared.images.pixels, tmp_path / f"{number}.keras"))
        jobs.append(job)
    about = {"classes": ["left", "top"], "image_shape": [8, 8, 1]}
    parts = ((tmp_path / "0.keras", 0.75), (tmp_path / "1.keras", 0.25))
    outcome = worker.do(ComposeJob(parts, tmp_path / "both.keras", about, jobs[0].validate))
    assert isinstance(outcome, SavedModel) and outcome.probabilities is not None, outcome
    np.testing.assert_allclose(outcome.probabilities, 0.75 * said[0] + 0.25 * said[1], atol=1e-6)
    of_files = worker.do(ComposeJob(parts, tmp_path / "both.keras", about, jobs[0].validate))  # as if others saved them
    assert isinstance(of_files, SavedModel) and of_files.probabilities is not None, of_files
    np.testing.assert_array_equal(of_files.probabilities, outcome.probabilities)
    with zipfile.ZipFile(tmp_path / "both.keras") as archive:
        assert json.loads(archive.read(ABOUT)) == about
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["0.keras", "1.keras", "both.keras"]


MEMBERS: list[dict[str, Value]] = [
    {},
    {"c": 1.0, "stages": "last"},
    {"input_size": 96, "flip_average": False},
]


@needs_weights
@pytest.mark.slow
def test_heads_on_one_backbone_share_its_weights_and_the_passes_of_equal_views(
    frozen_study: tuple[Prepared, Worker], tmp_path: Path
) -> None:
    prepared, worker = frozen_study
    said, parts, weight = [], [], 1 / len(MEMBERS)
    for number, changes in enumerate(MEMBERS):
        params = prepared.space.defaults(**{"input_size": 64, **changes})
        job = fold_job(prepared, params, seed=number, use_last_epoch=True, max_epochs=2)
        path = tmp_path / f"{number}.keras"
        said.append(saved_and_asked(worker, job, prepared.images.pixels, path))
        parts.append((path, weight))
    outcome = worker.do(ComposeJob(tuple(parts), tmp_path / "all.keras", {}, job.validate))
    assert isinstance(outcome, SavedModel) and outcome.probabilities is not None, outcome
    np.testing.assert_allclose(outcome.probabilities, np.mean(said, axis=0), atol=1e-6)
    assert passes(tmp_path / "0.keras") == 2
    assert passes(tmp_path / "all.keras") == 3, "the image and its mirror image at 64, the image at 96"
    largest = max(path.stat().st_size for path, _ in parts)
    assert (tmp_path / "all.keras").stat().st_size < 1.5 * largest


def passes(path: Path) -> int:
    """How often a model runs Lite0, by a layer that is in it once."""
    import keras
    import tensorflow as tf

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    graph = tf.function(model).get_concrete_function(tf.TensorSpec([1, *model.input_shape[1:]], tf.float32)).graph
    return sum(operation.type == "Conv2D" and "conv_stem" in operation.name for operation in graph.get_operations())


@pytest.fixture(scope="module")
def frozen_study(pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    from search.jobs import WorkerContext
    from search.session.prepare import prepare
    from search.study.config import Config

    prepared = prepare(Config(images=str(pictures), preset="frozen", folds=3), pictures.parent)
    with StudyFolder(tmp_path_factory.mktemp("frozen")).pixels_on_disk(prepared.images.pixels) as pixels:
        context = WorkerContext(Pixels(pixels), prepared.images.labels, prepared.facts, "frozen", "balanced_accuracy")
        yield prepared, Worker(replace(context))
