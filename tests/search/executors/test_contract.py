"""The contract of executors: a job has the same outcome wherever it is done."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.executors.base import Cluster, Executor
from search.executors.factory import MIN_TO_REPLACE
from search.executors.in_process import InProcess
from search.executors.local import LocalProcesses
from search.executors.ray_cluster import RayCluster
from search.jobs import DescribeJob, Description, Failure, FoldResult, Outcome, WorkerContext
from search.study.prepared import Prepared
from search.worker.worker import Worker
from tests.search.worker.test_trainer import fold_job

WITH_RAY = pytest.param("ray", marks=pytest.mark.slow)


@pytest.fixture(scope="module", params=["in process", "local processes", WITH_RAY])
def executor(
    request: pytest.FixtureRequest, context: WorkerContext, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Executor]:
    made: Executor = InProcess()
    if request.param == "local processes":
        made = LocalProcesses(2)
    if request.param == "ray":
        pytest.importorskip("ray", reason="needs the extra `cluster`")
        made = RayCluster(Cluster(workers=2), math.inf, MIN_TO_REPLACE)
    made.prepare(context, tmp_path_factory.mktemp("logs"))
    yield made
    made.close()
    if isinstance(made, RayCluster):
        made.leave()


def outcome(future: Future[Outcome]) -> Outcome:
    return future.result(timeout=120)


def test_it_has_at_least_one_slot(executor: Executor) -> None:
    assert executor.slots >= 1


def test_it_describes_and_trains(executor: Executor, prepared: Prepared) -> None:
    described = outcome(executor.submit(DescribeJob(prepared.space.defaults())))
    assert isinstance(described, Description)
    trained = outcome(executor.submit(fold_job(prepared)))
    assert isinstance(trained, FoldResult)
    assert trained.parameters == described.parameters


def test_more_jobs_than_slots_all_end(executor: Executor, prepared: Prepared) -> None:
    jobs = [fold_job(prepared, seed=seed, max_epochs=1) for seed in range(1, executor.slots + 3)]
    futures = [executor.submit(job) for job in jobs]
    assert all(isinstance(outcome(future), FoldResult) for future in futures)


def test_a_result_does_not_depend_on_where_it_was_made(executor: Executor, worker: Worker, prepared: Prepared) -> None:
    here, there = worker.do(fold_job(prepared)), outcome(executor.submit(fold_job(prepared)))
    assert isinstance(here, FoldResult)
    assert isinstance(there, FoldResult)
    assert here.curve == there.curve
    np.testing.assert_array_equal(here.probabilities, there.probabilities)


def test_a_failure_is_an_outcome_and_the_next_job_runs(executor: Executor, prepared: Prepared) -> None:
    job = fold_job(prepared)
    broken = outcome(executor.submit(replace(job, params={**job.params, "activation": "no such thing"})))
    assert isinstance(broken, Failure)
    assert isinstance(outcome(executor.submit(fold_job(prepared, max_epochs=1))), FoldResult)


@pytest.mark.slow
def test_prepared_again_it_begins_anew(
    executor: Executor, context: WorkerContext, prepared: Prepared, tmp_path: Path
) -> None:
    executor.prepare(replace(context, latency=True), tmp_path / "logs")
    measured = outcome(executor.submit(fold_job(prepared, max_epochs=1)))
    assert isinstance(measured, FoldResult) and measured.latency is not None
    executor.prepare(context, tmp_path / "other-logs")
    plain = outcome(executor.submit(fold_job(prepared, max_epochs=1)))
    assert isinstance(plain, FoldResult) and plain.latency is None
