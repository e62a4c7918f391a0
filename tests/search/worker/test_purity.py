"""A fold run's result follows from its job alone: not from what its worker did before, not from which graphs it has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.jobs import DescribeJob, FoldResult, Job, Outcome, Pixels, ReferenceJob, ReferenceResult, WorkerContext
from search.session.prepare import prepare
from search.study.config import Config
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces import Value
from tests.search.worker.test_trainer import fold_job

POINTS: dict[str, dict[str, Value]] = {
    "batch normalisation": {"family": "cnn", "cnn_dropout": 0.3, "cnn_augmentation": "shift"},
    "on its graphs": {
        "family": "cnn",
        "cnn_dropout": 0.5,
        "cnn_augmentation": "shift",
        "cnn_learning_rate": 0.01,
        "cnn_schedule": "cosine",
    },
    "averaged weights": {
        "family": "cnn",
        "cnn_ema": True,
        "cnn_augmentation": "shift",
    },
    "mixed images": {
        "family": "cnn",
        "cnn_augmentation": "cutmix",
        "cnn_output": "sigmoid",
        "cnn_label_smoothing": 0.1,
    },
    "a cosine": {
        "family": "cnn",
        "cnn_schedule": "cosine",
        "cnn_optimizer": "sgd",
        "cnn_sgd_weight_decay": 0.1,
        "cnn_activation": "swish",
    },
    "groups": {"family": "cnn", "cnn_block": "separable", "cnn_normalization": "group", "cnn_schedule": "plateau"},
    "the question": {"family": "question", "question_epoch": "one pass", "question_initializer": "he_uniform"},
}


@pytest.fixture(scope="module")
def every(pictures: Path) -> Prepared:
    """The pictures, to be searched over several families."""
    return prepare(Config(images=str(pictures), preset="auto"), pictures.parent)


@pytest.fixture(scope="module")
def theirs(every: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerContext]:
    with StudyFolder(tmp_path_factory.mktemp("study")).pixels_on_disk(every.images.pixels) as pixels:
        yield WorkerContext(Pixels(pixels), every.images.labels, every.facts, preset="auto", metric="balanced_accuracy")


def jobs_of(every: Prepared) -> dict[str, Job]:
    jobs: dict[str, Job] = {
        name: fold_job(every, every.space.changed(point), seed=seed, max_epochs=2)
        for seed, (name, point) in enumerate(POINTS.items())
    }
    one = fold_job(every, every.space.changed(POINTS["batch normalisation"]), seed=99, max_epochs=2)
    jobs["another seed"] = one
    jobs["a reference"] = ReferenceJob("logistic_regression", 0, one.train, one.validate, 7)
    jobs["a description"] = DescribeJob(one.params)
    return jobs


@pytest.mark.slow
def test_a_result_does_not_depend_on_what_was_done_before(
    every: Prepared, theirs: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each job in a worker of its own; then all in one, in another order, some twice, as graphs and kernels go."""
    jobs = jobs_of(every)
    cold = {name: Worker(theirs).do(job) for name, job in jobs.items()}
    monkeypatch.setattr("search.worker.trainer_cache.MAX_KEPT", 3)
    monkeypatch.setattr("search.worker.trainer_cache.TRACED_AT_A_TIME", 2)
    warm, rng = Worker(theirs), np.random.default_rng(0)
    for name in (*rng.permutation(list(jobs)), *rng.permutation(list(jobs))[:4]):
        assert_same(warm.do(jobs[name]), cold[name], name)


def assert_same(found: Outcome, expected: Outcome, name: str) -> None:
    """To the last bit, but for seconds and latency, which are the machine's."""
    assert type(found) is type(expected), name
    if isinstance(found, FoldResult | ReferenceResult) and isinstance(expected, FoldResult | ReferenceResult):
        np.testing.assert_array_equal(found.probabilities, expected.probabilities, name)
        none = np.zeros((0, 2), np.float32)
        found, expected = (replace(result, seconds=0.0, probabilities=none) for result in (found, expected))
    if isinstance(found, FoldResult) and isinstance(expected, FoldResult):
        found, expected = replace(found, latency=None), replace(expected, latency=None)
    assert str(found) == str(expected), name


def test_pixels_that_are_read_from_their_file_batch_by_batch_change_no_bit(
    context: WorkerContext, prepared: Prepared
) -> None:
    """As where a copy of them would take too much of the worker's memory."""
    job = fold_job(prepared, prepared.space.defaults(augmentation="shift"))
    copied, mapped = (Worker(replace(context, memory=memory)) for memory in (float("inf"), 0))
    assert_same(mapped.do(job), copied.do(job), "a fold run")
