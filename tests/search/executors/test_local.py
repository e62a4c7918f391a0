"""Worker processes: what becomes of jobs when they die, and of them when jobs end."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path

import pytest

from search.executors import child
from search.executors.devices import kept
from search.executors.in_process import InProcess
from search.executors.limits import Limits
from search.executors.local import LocalProcesses
from search.jobs import BundleJob, DescribeJob, Failure, FailureCause, FoldJob, FoldResult, Outcome, WorkerContext
from search.study.prepared import Prepared
from tests.commands import wait_until
from tests.search.executors.test_contract import outcome
from tests.search.worker.test_trainer import fold_job


def test_it_is_ready_before_its_first_job_is_done(context: WorkerContext, prepared: Prepared, tmp_path: Path) -> None:
    for made in (InProcess(), LocalProcesses(1)):
        assert not made.ready
        made.prepare(context, tmp_path / "logs")
        endless = isinstance(made, LocalProcesses)
        future = made.submit(fold_job(prepared, max_epochs=100_000 if endless else 1))
        while not made.ready:
            time.sleep(0.05)
        assert future.done() != endless
        made.close(kill=True)


@pytest.fixture
def processes(context: WorkerContext, tmp_path: Path) -> Iterator[LocalProcesses]:
    made = LocalProcesses(1)
    made.prepare(context, tmp_path / "logs")
    yield made
    made.close(kill=True)


def worker_pids(logs: Path) -> list[int]:
    """Processes whose output goes to this folder: the workers, found as the system shows them."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "fd" / "2").resolve().parent == logs.resolve():
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def wait_for_worker(logs: Path) -> int:
    for _ in range(300):
        if pids := worker_pids(logs):
            return pids[0]
        time.sleep(0.1)
    raise AssertionError("no worker came up")


def endless(prepared: Prepared) -> Future[Outcome] | object:
    return fold_job(prepared, max_epochs=100_000)


def test_a_killed_worker_costs_its_job_one_more_try_and_nothing_else(
    processes: LocalProcesses, prepared: Prepared, tmp_path: Path
) -> None:
    pid = wait_for_worker(tmp_path / "logs")
    future = processes.submit(fold_job(prepared))
    os.kill(pid, signal.SIGKILL)
    assert isinstance(outcome(future), FoldResult)


def test_fold_runs_side_by_side_whose_worker_is_killed_fail_at_once(
    processes: LocalProcesses, prepared: Prepared, tmp_path: Path
) -> None:
    """The search tries each of them once more."""
    pid, job = wait_for_worker(tmp_path / "logs"), fold_job(prepared)
    future = processes.submit(BundleJob((job, replace(job, fold=1))))
    os.kill(pid, signal.SIGKILL)
    failed = outcome(future)
    assert isinstance(failed, Failure) and failed.cause == FailureCause.WORKER_DIED
    assert failed.detail.startswith("the worker was killed by SIGKILL; its log is ")
    assert [*processes.replaced()] == []


@pytest.mark.slow
def test_a_worker_that_keeps_too_much_memory_is_replaced_and_no_result_differs(
    context: WorkerContext, prepared: Prepared, tmp_path: Path
) -> None:
    measured = LocalProcesses(1)
    measured.prepare(context, tmp_path / "logs")
    outcome(measured.submit(fold_job(prepared)))
    held = kept(wait_for_worker(tmp_path / "logs"))
    measured.close(kill=True)

    processes = LocalProcesses(1, limits=Limits(memory=0.9 * held))  # in a job it may take a quarter more
    processes.prepare(context, tmp_path / "logs")
    first = wait_for_worker(tmp_path / "logs")
    results = [outcome(processes.submit(fold_job(prepared))) for _ in range(2)]
    assert first not in worker_pids(tmp_path / "logs")
    processes.close()
    one, other = (result for result in results if isinstance(result, FoldResult))
    assert one.curve == other.curve


def test_prepared_again_running_jobs_are_ended_and_waiting_ones_cancelled(
    processes: LocalProcesses, context: WorkerContext, prepared: Prepared, tmp_path: Path
) -> None:
    running = processes.submit(fold_job(prepared, max_epochs=100_000))
    waiting = processes.submit(fold_job(prepared))
    while not running.running():
        time.sleep(0.05)
    processes.prepare(context, tmp_path / "logs")
    stopped = outcome(running)
    assert isinstance(stopped, Failure) and stopped.cause == FailureCause.STOPPED
    assert waiting.cancelled()
    assert isinstance(outcome(processes.submit(fold_job(prepared, max_epochs=1))), FoldResult)


def test_what_a_worker_says_before_it_knows_its_log_is_in_its_log(
    context: WorkerContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "broken" / "tensorflow"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no such library')\n")
    monkeypatch.setenv("PYTHONPATH", str(broken.parent))
    processes = LocalProcesses(1)
    processes.prepare(context, tmp_path / "logs")
    failed = outcome(processes.submit(DescribeJob({})))
    processes.close(kill=True)
    assert isinstance(failed, Failure) and "worker-0.log" in failed.detail
    assert "no such library" in (tmp_path / "logs" / "worker-0.log").read_text()


def test_logs_are_not_written_through_a_link(context: WorkerContext, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "worker-0.log").symlink_to(tmp_path / "elsewhere")
    processes = LocalProcesses(1)
    with pytest.raises(OSError, match="worker-0"):
        processes.prepare(context, tmp_path / "logs")
    processes.close(kill=True)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.slow
def test_a_job_whose_worker_dies_twice_fails_with_how_it_ended_and_the_next_job_runs(
    processes: LocalProcesses, prepared: Prepared, tmp_path: Path
) -> None:
    future = processes.submit(fold_job(prepared, max_epochs=100_000))
    killed: set[int] = set()
    while not future.done():
        fresh = set(worker_pids(tmp_path / "logs")) - killed
        for pid in fresh:
            os.kill(pid, signal.SIGKILL)
        killed |= fresh
        time.sleep(0.05)
    failed = outcome(future)
    assert isinstance(failed, Failure)
    assert failed.cause == FailureCause.WORKER_DIED
    assert "SIGKILL" in failed.detail
    assert "worker-0.log" in failed.detail
    assert isinstance(outcome(processes.submit(fold_job(prepared, max_epochs=1))), FoldResult)


def test_closing_with_kill_ends_a_running_job_at_once_and_cancels_those_that_wait(
    processes: LocalProcesses, prepared: Prepared, tmp_path: Path
) -> None:
    running = processes.submit(fold_job(prepared, max_epochs=100_000))
    waiting = processes.submit(fold_job(prepared))
    while not running.running():
        time.sleep(0.05)
    processes.close(kill=True)
    wait([running], timeout=20)
    stopped = outcome(running)
    assert isinstance(stopped, Failure)
    assert stopped.cause == FailureCause.STOPPED
    assert waiting.cancelled()
    assert worker_pids(tmp_path / "logs") == []


def test_it_tells_how_far_a_fold_is_and_once_that_its_worker_was_replaced(
    processes: LocalProcesses, prepared: Prepared, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "subprocess", subprocess)  # a worker that takes a moment to import TensorFlow
    job = fold_job(prepared, max_epochs=100_000)
    assert [*processes.doing] == []
    future = processes.submit(job)
    wait_until(lambda: any(one.step for one in processes.doing))
    (doing,) = processes.doing
    assert doing.step is not None and doing.step.what == "epoch" and 0 < doing.step.number < doing.step.of == 100_000
    assert isinstance(doing.job, FoldJob) and (doing.job.trial, doing.job.fold) == (job.trial, job.fold)
    first = worker_pids(tmp_path / "logs")
    os.kill(first[0], signal.SIGKILL)
    wait_until(lambda: any(one.importing for one in processes.doing))
    (replaced,) = processes.replaced()
    assert replaced.how == "was killed by SIGKILL"
    assert [*processes.replaced()] == []
    wait_until(lambda: any(one.step for one in processes.doing))  # it begins anew
    processes.close(kill=True)
    assert isinstance(outcome(future), Failure)
    assert [*processes.doing] == []


def test_other_workers_are_there_from_the_next_prepare_on(context: WorkerContext, tmp_path: Path) -> None:
    processes = LocalProcesses(2)
    try:
        processes.fit(1, 2, Limits())
        assert processes.slots == len(processes._children) == 1
        processes.prepare(context, tmp_path)
        processes.fit(2, 1, Limits())
        processes.prepare(context, tmp_path)
        assert processes.slots == len(processes._children) == 2
    finally:
        processes.close(kill=True)
