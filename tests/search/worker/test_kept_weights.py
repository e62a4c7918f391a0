"""Weights that a fold run keeps are those that it was judged by, and a file made of them says what it said."""

from __future__ import annotations

import importlib.util
import io
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from search.jobs import Failure, FoldJob, FoldResult, Pixels, RefitJob, SavedModel, WorkerContext
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces import Value
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from spaces.presets import FAMILIES
from tests.search.worker.test_trainer import fold_job, trained

needs_weights = pytest.mark.skipif(importlib.util.find_spec(LITE0.package) is None, reason="needs its weights")


def packed(worker: Worker, job: FoldJob, pixels: NDArray[np.uint8], path: Path) -> NDArray[np.float32]:
    """[validation images, classes] by the model made of the kept weights, in plain Keras."""
    import keras

    outcome = worker.do(RefitJob(replace(job, keep=None), path, job.keep))
    assert isinstance(outcome, SavedModel), outcome
    model: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    return np.asarray(model.predict(pixels[job.validate].astype(np.float32), verbose=0))


def assert_made_of_what_was_judged(
    worker: Worker, job: FoldJob, pixels: NDArray[np.uint8], tmp_path: Path
) -> FoldResult:
    job = replace(job, keep=tmp_path / "refits" / "fold.npz")
    result = trained(worker, job)
    np.testing.assert_allclose(packed(worker, job, pixels, tmp_path / "fold.keras"), result.probabilities, atol=1e-5)
    return result


def test_where_a_network_is_judged_by_its_best_epoch_these_are_its_weights(
    worker: Worker, prepared: Prepared, tmp_path: Path
) -> None:
    params = prepared.space.defaults(schedule="constant", learning_rate=0.02, conv_depth=2, dense_depth=1)
    job = fold_job(prepared, params, max_epochs=30, patience=6)
    result = assert_made_of_what_was_judged(worker, job, prepared.images.pixels, tmp_path)
    assert result.best_epoch < result.epochs


@pytest.mark.first(2)
@pytest.mark.parametrize(
    "changes",
    [{"schedule": "cosine"}, {"ema": True}, {"output": "sigmoid"}, {"augmentation": "geometric"}],
    ids=lambda changes: "-".join(map(str, *changes.items())),
)
def test_a_network_as_it_was_judged_is_packed(
    worker: Worker, prepared: Prepared, tmp_path: Path, changes: dict[str, Value]
) -> None:
    params = prepared.space.defaults(**changes)
    assert params.items() >= changes.items()
    assert_made_of_what_was_judged(worker, fold_job(prepared, params, max_epochs=4), prepared.images.pixels, tmp_path)


@pytest.fixture(scope="module")
def tuner(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    facts = Facts(8, 8, 1, 2, 27, (LITE0,))
    with StudyFolder(tmp_path_factory.mktemp("tuned")).pixels_on_disk(prepared.images.pixels) as pixels:
        yield Worker(WorkerContext(Pixels(pixels), prepared.images.labels, facts, "fine-tune", "balanced_accuracy"))


@needs_weights
@pytest.mark.slow
def test_a_fine_tuned_network_is_packed_with_its_mirrored_mean(
    tuner: Worker, prepared: Prepared, tmp_path: Path
) -> None:
    space = FAMILIES["fine-tune"].space(Facts(8, 8, 1, 2, 27, (LITE0,)))
    params = space.defaults(input_size=64, epochs=2, batch_size=8)
    assert_made_of_what_was_judged(tuner, fold_job(prepared, params), prepared.images.pixels, tmp_path)


def test_a_network_that_was_given_up_keeps_nothing(worker: Worker, prepared: Prepared, tmp_path: Path) -> None:
    keep = tmp_path / "fold.npz"
    behind = fold_job(prepared, max_epochs=4, min_score_at={1: 1.01})
    assert trained(worker, replace(behind, keep=keep)).behind
    assert not keep.exists()


def test_a_disk_that_cannot_be_written_does_not_matter(worker: Worker, prepared: Prepared, tmp_path: Path) -> None:
    (tmp_path / "refits").write_text("a file where the folder should be")
    job = fold_job(prepared, max_epochs=2)
    result = trained(worker, replace(job, keep=tmp_path / "refits" / "fold.npz"))
    np.testing.assert_array_equal(result.probabilities, trained(worker, job).probabilities)


def test_keeping_changes_nothing_of_the_result(worker: Worker, prepared: Prepared, tmp_path: Path) -> None:
    job = fold_job(prepared, max_epochs=3)
    kept, without = trained(worker, replace(job, keep=tmp_path / "fold.npz")), trained(worker, job)
    np.testing.assert_array_equal(kept.probabilities, without.probabilities)
    assert kept.curve == without.curve


@pytest.mark.parametrize("arrays", [[], [np.ones(3)], [np.array(["a"])]], ids=["none", "another form", "text"])
def test_weights_of_another_network_are_a_failure_of_the_job(
    worker: Worker, prepared: Prepared, tmp_path: Path, arrays: list[NDArray[Any]]
) -> None:
    np.savez(tmp_path / "fold.npz", *arrays)
    outcome = worker.do(RefitJob(fold_job(prepared), tmp_path / "fold.keras", tmp_path / "fold.npz"))
    assert isinstance(outcome, Failure)
    assert not (tmp_path / "fold.keras").exists()


def test_weights_that_claim_more_than_memory_are_a_failure_of_the_job(
    worker: Worker, prepared: Prepared, tmp_path: Path
) -> None:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (2**50,)})
    with zipfile.ZipFile(tmp_path / "fold.npz", "w") as archive:
        archive.writestr("arr_0.npy", header.getvalue())
    outcome = worker.do(RefitJob(fold_job(prepared), tmp_path / "fold.keras", tmp_path / "fold.npz"))
    assert isinstance(outcome, Failure)
