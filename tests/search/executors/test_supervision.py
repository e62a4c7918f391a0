"""Workers that hang, are stopped, eat memory or start processes of their own: what it costs, and what is left."""

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
from search.executors.reaper import processes as of_the_system
from search.jobs import DescribeJob, Description, Failure, FailureCause, FoldResult, WorkerContext
from search.study.prepared import Prepared
from spaces.custom.file import named
from tests.commands import wait_until, workers_of
from tests.search.executors.test_contract import outcome
from tests.search.worker.test_trainer import fold_job

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what a process does is seen on Linux")

IDLE = 3.0  # seconds
MEMORY = 1_600_000_000  # bytes, and a quarter more in a job: TensorFlow alone needs a third
NET = '''
import os, signal, subprocess, time
from pathlib import Path
import keras
import numpy as np

HERE = Path(__file__).parent

def once(name):
    """Whether this is the first call with this name, by whichever process."""
    try:
        (HERE / name).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True

class Waiting(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1 and once("waited"):
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
            time.sleep(10_000)

def callbacks(hp):
    return [Waiting()] if hp.Choice("what", ["nothing"], default="nothing") == "callback" else []

def build(hp):
    what = hp.Choice("what", ["nothing"], default="nothing")
    if what == "wait":
        time.sleep(10_000)
    if what == "stop" and once("stopped"):
        os.kill(os.getpid(), signal.SIGSTOP)
    if what == "memory" and once("ate"):
        kept = [np.ones(100_000_000, np.uint8) for _ in range(30)]
        time.sleep(10_000)
    if what == "children":
        child = subprocess.Popen(["sleep", "600"])
        fork = os.fork()
        if fork == 0:
            time.sleep(600)
        (HERE / "children").write_text(f"{child.pid} {fork}")
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.compile("sgd", "categorical_crossentropy")
    return model
'''


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the model and of logs."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "net.py").write_text(NET)
    return folder


@pytest.fixture(scope="module")
def executor(home: Path, context: WorkerContext) -> Iterator[LocalProcesses]:
    made = LocalProcesses(1, limits=Limits(idle=IDLE, memory=MEMORY))
    made.prepare(replace(context, model=named(f"{home / 'net.py'}:build")), home / "logs")
    yield made
    made.close(kill=True)


def asked(what: str) -> DescribeJob:
    return DescribeJob({"what": what})


def log(home: Path) -> str:
    return (home / "logs" / "worker-0.log").read_text()


@pytest.mark.slow
def test_a_build_that_waits_for_ever_is_ended_twice_and_the_log_says_where(
    executor: LocalProcesses, home: Path
) -> None:
    failed = outcome(executor.submit(asked("wait")))
    assert isinstance(failed, Failure)
    assert failed.cause == FailureCause.HUNG
    line = 1 + NET[: NET.index("time.sleep(10_000)\n    if what")].count("\n")
    assert failed.detail.startswith(
        f"the worker did nothing for 3s in net.py, line {line}, twice in this job; its log is "
    )
    assert log(home).count(f'net.py", line {line} in build') == 2
    assert isinstance(outcome(executor.submit(asked("nothing"))), Description)


@pytest.mark.slow
def test_a_callback_that_waits_costs_its_fold_one_more_try(executor: LocalProcesses, prepared: Prepared) -> None:
    job = fold_job(prepared, {"what": "callback"})
    assert isinstance(outcome(executor.submit(job)), FoldResult)


@pytest.mark.slow
def test_a_stopped_worker_costs_one_more_try(executor: LocalProcesses, home: Path) -> None:
    assert isinstance(outcome(executor.submit(asked("stop"))), Description)
    assert (home / "stopped").exists()


@pytest.mark.slow
def test_one_that_takes_too_much_memory_in_a_job_costs_one_more_try(executor: LocalProcesses, home: Path) -> None:
    assert isinstance(outcome(executor.submit(asked("memory"))), Description)
    assert (home / "ate").exists()


def alive(pid: int) -> bool:
    fields = of_the_system().get(pid)
    return fields is not None and fields[0] != "Z"


def test_what_a_build_started_ends_with_its_worker(executor: LocalProcesses, home: Path) -> None:
    assert isinstance(outcome(executor.submit(asked("children"))), Description)
    children = [int(pid) for pid in (home / "children").read_text().split()]
    assert all(map(alive, children))
    (worker,) = set(workers_of(home)) - set(children)
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: not any(map(alive, children)), 20)
    assert isinstance(outcome(executor.submit(asked("nothing"))), Description)


def test_signals_to_all_processes_of_a_job_do_not_end_a_worker(executor: LocalProcesses, home: Path) -> None:
    assert isinstance(outcome(executor.submit(asked("nothing"))), Description)
    (worker,) = workers_of(home)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        os.kill(worker, number)
    assert isinstance(outcome(executor.submit(asked("nothing"))), Description)
    assert workers_of(home) == [worker]


def test_closed_nothing_is_left(executor: LocalProcesses, home: Path) -> None:
    """The last: it closes the executor of the others."""
    assert isinstance(outcome(executor.submit(asked("children"))), Description)
    children = [int(pid) for pid in (home / "children").read_text().split()]
    executor.close(kill=True)
    assert not any(map(alive, children))
    assert workers_of(home) == []
