"""Long fold runs in worker processes: a new worker goes on where the last one was, and a stop stores what there is."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from search.executors.limits import Limits
from search.executors.local import LocalProcesses
from search.jobs import Failure, FailureCause, FoldJob, FoldResult, Saving, WorkerContext
from search.study.prepared import Prepared
from tests.commands import wait_until, workers_of
from tests.search.executors.test_contract import outcome
from tests.search.worker.test_trainer import fold_job

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are found on Linux")


@pytest.fixture
def saving(tmp_path: Path) -> Saving:
    """States are stored five times a second."""
    return Saving(tmp_path / "folds", "these images", 0.2)


@pytest.fixture
def executor(context: WorkerContext, saving: Saving, tmp_path: Path) -> Iterator[LocalProcesses]:
    made = LocalProcesses(1)
    made.prepare(replace(context, saving=saving), tmp_path / "logs")
    yield made
    made.close(kill=True)


@pytest.fixture
def endless(prepared: Prepared) -> FoldJob:
    return fold_job(prepared, max_epochs=100_000, stop_collapsed=False)


def epoch(executor: LocalProcesses) -> int:
    """That is trained now; 0: none yet."""
    return next((doing.step.number for doing in executor.doing if doing.step), 0)


@pytest.mark.slow
def test_after_the_death_of_its_worker_it_goes_on_and_a_stop_stores_it(
    executor: LocalProcesses, saving: Saving, endless: FoldJob, prepared: Prepared, tmp_path: Path
) -> None:
    future = executor.submit(endless)
    wait_until(lambda: len(saving.files(endless)) == 2)
    for worker in workers_of(tmp_path):
        os.kill(worker, signal.SIGKILL)
    wait_until(lambda: bool(executor.replaced()))
    wait_until(lambda: epoch(executor) > 0)
    assert epoch(executor) > 1
    assert "trial 0, repeat 0, fold 0: goes on after epoch " in (tmp_path / "logs" / "worker-0.log").read_text()

    executor.save(1.0)
    stopped = outcome(future)
    assert isinstance(stopped, Failure)
    assert stopped.cause == FailureCause.STOPPED
    assert stopped.detail.startswith("its state after epoch ")
    executor.save(1.0)  # to a worker without a job
    assert isinstance(outcome(executor.submit(fold_job(prepared))), FoldResult)


@pytest.mark.slow
def test_one_that_takes_longer_than_its_limit_gets_the_same_time_once_more_not_more(
    context: WorkerContext, saving: Saving, endless: FoldJob, tmp_path: Path
) -> None:
    executor = LocalProcesses(1, limits=Limits(whole=2.0))
    executor.prepare(replace(context, saving=saving), tmp_path / "logs")
    failed = outcome(executor.submit(endless))
    executor.close(kill=True)
    assert isinstance(failed, Failure) and failed.cause == FailureCause.TOO_LONG
    assert "goes on" not in (tmp_path / "logs" / "worker-0.log").read_text()
