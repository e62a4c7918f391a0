"""A fold run's state: what it has come to by an epoch, from which another one goes on as if it had never stopped."""

from __future__ import annotations

import pickle
import random
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from search.jobs import FoldJob, FoldResult, WorkerContext
from search.study.prepared import Prepared
from spaces import Value
from spaces.presets import FAMILIES
from tests.search.worker.test_trainer import fold_job

if TYPE_CHECKING:
    from search.worker.fold_run import FoldRun

EPOCHS = 8

POINTS: dict[str, dict[str, Value]] = {
    "a cosine, dropout, shifts, averages": {
        "dropout": 0.3,
        "augmentation": "shift",
        "ema": True,
        "schedule": "cosine",
        "normalization": "batch",
    },
    "a plateau, dropout, mixed images, averages": {
        "dropout": 0.3,
        "augmentation": "mixup",
        "ema": True,
        "schedule": "plateau",
        "learning_rate": 0.01,
    },
    "momentum, a constant rate": {"optimizer": "sgd", "schedule": "constant"},
}


def begun(job: FoldJob, context: WorkerContext, prepared: Prepared, *, seed: int | None = None) -> FoldRun:
    """A fold run of a new model and a new trainer; `seed` of the model, where it is not the job's."""
    import keras

    from search.worker.fold_run import FoldRun
    from search.worker.trainer import Trainer
    from spaces.recipe import recipe_of

    keras.utils.clear_session(free_memory=False)
    random.seed(job.seed if seed is None else seed)
    model = FAMILIES["cnn"].build(job.params, prepared.facts)
    return FoldRun(Trainer(model, prepared.images.pixels, context, recipe_of(job.params, prepared.facts)), job, 0.0)


def ended(run: FoldRun) -> FoldResult:
    while not run.finished:
        run.epoch()
    return replace(run.result(), seconds=0.0, latency=None)


def assert_same(found: FoldResult, expected: FoldResult) -> None:
    np.testing.assert_array_equal(found.probabilities, expected.probabilities)
    none: Any = np.zeros((0, 2), np.float32)
    assert str(replace(found, probabilities=none)) == str(replace(expected, probabilities=none))


@pytest.mark.first(1)
@pytest.mark.usefixtures("worker")  # TensorFlow is set up as in a worker
@pytest.mark.parametrize("changes", POINTS.values(), ids=POINTS)
def test_one_that_goes_on_from_a_state_ends_as_one_that_was_never_left(
    context: WorkerContext, prepared: Prepared, changes: dict[str, Value]
) -> None:
    """To the last bit, in a new trainer of a model that began with other weights; the state is what a file can hold."""
    params = prepared.space.changed(changes)
    job = fold_job(prepared, params, max_epochs=EPOCHS, stop_collapsed=False, collect_evidence=True)
    undisturbed = ended(begun(job, context, prepared))
    left = begun(job, context, prepared)
    for _ in range(3):
        left.epoch()
    kept = pickle.dumps(left.state())
    assert_same(ended(left), undisturbed)  # asking changes nothing
    resumed = begun(job, context, prepared, seed=job.seed + 1)
    resumed.restore(pickle.loads(kept))  # noqa: S301 - written above
    assert_same(ended(resumed), undisturbed)
    assert undisturbed.epochs == EPOCHS


@pytest.mark.usefixtures("worker")
def test_a_state_stays_as_it_was_while_its_run_goes_on(context: WorkerContext, prepared: Prepared) -> None:
    job = fold_job(prepared, max_epochs=3)
    run = begun(job, context, prepared)
    run.epoch()
    state = run.state()
    result = ended(run)
    for _ in range(2):
        again = begun(job, context, prepared)
        again.restore(state)
        assert_same(ended(again), result)


@pytest.mark.usefixtures("worker")
def test_what_a_finished_run_came_to_is_in_its_state(context: WorkerContext, prepared: Prepared) -> None:
    job = fold_job(prepared, max_epochs=4, min_score_at={2: 1.1})
    behind = begun(job, context, prepared)
    result = ended(behind)
    again = begun(job, context, prepared)
    again.restore(behind.state())
    assert again.finished
    assert_same(ended(again), result)
    assert (result.epochs, result.behind) == (2, True)
