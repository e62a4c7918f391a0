"""Fold runs side by side: each is the fold run that it would be alone, but for rounding."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.jobs import (
    BundleJob,
    BundleResult,
    Failure,
    FailureCause,
    FoldJob,
    FoldResult,
    SaveRequest,
    Saving,
    WorkerContext,
)
from search.study.prepared import Prepared
from search.worker import checkpoint
from search.worker.stacked import alike
from search.worker.worker import Worker
from spaces import Value
from tests.search.worker.test_epoch_program import POINTS, SMALL, same
from tests.search.worker.test_trainer import fold_job, trained

pytestmark = pytest.mark.slow  # the tests of a search have a quick one

STEEP: dict[str, Value] = {**SMALL, "optimizer": "sgd", "activation": "swish"}
"""Of all points below: they differ in numbers alone, so they are trained on the same graphs."""


def bundle(prepared: Prepared, params: dict[str, Value], **training: Any) -> BundleJob:
    """Three folds, one with fewer validation images."""
    rows = np.arange(len(prepared.images.labels), dtype=np.int32)
    job = fold_job(prepared, params, **training)
    parts = [rows % 3 == fold for fold in range(3)]
    jobs = [
        replace(job, fold=fold, seed=7 + fold, train=rows[~part], validate=rows[part][: 9 - fold])
        for fold, part in enumerate(parts)
    ]
    return BundleJob(tuple(jobs))


def together(worker: Worker, job: BundleJob) -> tuple[FoldResult, ...]:
    result = worker.do(job)
    assert isinstance(result, BundleResult), result
    return result.folds


def stacks(worker: Worker) -> list[int]:
    """Of how many networks, for each trainer that the worker keeps."""
    return [number for trainer in worker._trainers._kept.values() for number in trainer.stacked]


@pytest.mark.slow
@pytest.mark.parametrize("changes", POINTS, ids=str)
def test_each_is_its_own_fold_run_but_for_rounding(
    context: WorkerContext, worker: Worker, prepared: Prepared, changes: dict[str, Value]
) -> None:
    job, side = bundle(prepared, prepared.space.defaults(**changes)), Worker(context)
    found = together(side, job)
    for fold, result in zip(job.folds, found, strict=True):
        same(result, trained(worker, fold))
    assert stacks(side) == [3]
    assert found[0].curve != found[1].curve


@pytest.fixture(scope="module")
def side(context: WorkerContext) -> Worker:
    """A worker whose graphs all that follows shares."""
    return Worker(context)


def test_each_stops_by_itself(side: Worker, worker: Worker, prepared: Prepared) -> None:
    """By patience, by the race's demand, and where it is stuck; graphs do not depend on numbers."""
    params = prepared.space.defaults(**STEEP, sgd_learning_rate=0.001)
    job = bundle(prepared, params, max_epochs=12, patience=2, min_delta=0.02)
    alone = [trained(worker, fold) for fold in job.folds]
    found = together(side, job)
    for result, expected in zip(found, alone, strict=True):
        same(result, expected, 1e-4)
    assert len({result.epochs for result in found}) > 1
    least = sorted(max(result.curve["val_balanced_accuracy"][:1]) for result in alone)[1]
    raced = bundle(prepared, params, max_epochs=4, patience=0, min_score_at={1: least})
    alone = [trained(worker, fold) for fold in raced.folds]
    found = together(side, raced)
    assert len(found) == 1 + [result.behind for result in alone].index(True), "those after it are not wanted"
    for result, expected in zip(found, alone, strict=False):
        same(result, expected, 1e-4)


def test_a_bundle_does_not_depend_on_what_was_trained_before(side: Worker, prepared: Prepared) -> None:
    job = bundle(prepared, prepared.space.defaults(**STEEP))
    first = together(side, job)
    trained(side, replace(job.folds[0], seed=99))
    together(side, BundleJob(tuple(replace(fold, seed=99 + fold.fold) for fold in job.folds)))
    for result, expected in zip(together(side, job), first, strict=True):
        assert result.curve == expected.curve
        np.testing.assert_array_equal(result.probabilities, expected.probabilities)
    assert stacks(side) == [3]


def test_a_loss_that_leaves_the_numbers_is_diagnosed(side: Worker, worker: Worker, prepared: Prepared) -> None:
    job = bundle(prepared, {**prepared.space.defaults(**STEEP), "sgd_learning_rate": 1e30})
    (result,), expected = together(side, job), trained(worker, job.folds[0])
    assert result.diagnosis is not None and expected.diagnosis is not None
    assert result.diagnosis.symptom.name == expected.diagnosis.symptom.name
    assert result.epochs == expected.epochs


def test_the_weights_that_each_keeps_are_its_own(
    side: Worker, worker: Worker, prepared: Prepared, tmp_path: Path
) -> None:
    job = bundle(prepared, prepared.space.defaults(**STEEP), max_epochs=5, stop_collapsed=False)
    kept = [replace(fold, keep=tmp_path / f"{fold.fold}.npz") for fold in job.folds]
    together(side, BundleJob(tuple(kept)))
    for fold in job.folds:
        own = replace(fold, keep=tmp_path / "alone.npz")
        trained(worker, own)
        assert (tmp_path / f"{fold.fold}.npz").exists() == (tmp_path / "alone.npz").exists()
        with np.load(tmp_path / f"{fold.fold}.npz") as found, np.load(tmp_path / "alone.npz") as expected:
            assert found.files == expected.files
            for name in found.files:
                np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-6)


def test_what_cannot_be_side_by_side_has_no_result(side: Worker, prepared: Prepared) -> None:
    """Mixed images are not known to compile; folds with other numbers of images have other steps."""
    mixed = bundle(prepared, prepared.space.defaults(**STEEP, augmentation="mixup"), max_epochs=1)
    uneven = bundle(prepared, prepared.space.defaults(**STEEP), max_epochs=1)
    uneven = BundleJob((*uneven.folds[:2], replace(uneven.folds[2], train=uneven.folds[2].train[:-1])))
    assert together(side, mixed) == together(side, uneven) == ()


def test_at_a_stop_each_stores_its_state_and_goes_on_by_itself(
    context: WorkerContext, worker: Worker, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of them is over already: it waits for the others, and is not trained again."""
    monkeypatch.setattr(checkpoint, "LOOK_SECONDS", 0.0)
    saving, steps = Saving(tmp_path / "folds", "these images", 3600.0), list[int]()
    params = prepared.space.defaults(**STEEP, sgd_learning_rate=0.001)
    job = bundle(prepared, params, max_epochs=12, patience=2, min_delta=0.02, stop_collapsed=False)
    expected = [trained(worker, fold) for fold in job.folds]
    most = max(result.epochs for result in expected)
    assert min(result.epochs for result in expected) < most
    stopping = Worker(
        replace(context, saving=saving),
        lambda step: steps.append(step.number),
        lambda: SaveRequest(0.0) if steps[-1] == most - 1 else None,
    )
    stopped = stopping.do(job)
    assert stopped == Failure(FailureCause.STOPPED, f"its state after epoch {most - 1} is stored")
    assert all(len(saving.files(fold)) == 1 for fold in job.folds)
    for fold, result in zip(job.folds, expected, strict=True):
        steps[:] = [0]
        same(trained(stopping, fold), result, 1e-4)
        assert steps[1:] == ([most] if result.epochs == most else [])


def test_only_fold_runs_of_one_point_are_alike(prepared: Prepared) -> None:
    one: FoldJob = fold_job(prepared)
    assert alike([one, replace(one, seed=9, validate=one.validate[:-1])])
    assert alike([one, replace(one, training=replace(one.training, min_score_at={1: 0.5}))])
    assert not alike([one, replace(one, params={**one.params, "dropout": 0.4})])
    assert not alike([one, replace(one, train=one.train[:-1])])
