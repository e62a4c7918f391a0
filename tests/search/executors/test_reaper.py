"""The reaper ends all that came of a worker, whatever ends first. The workers here are small programs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from search.executors import reaper
from search.native import STOPPING
from tests.commands import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="processes that left the session are found on Linux")

FAMILY = """
import os, signal, subprocess, sys, time
subprocess.Popen(["sleep", "600"])
if os.fork() == 0:  # deaf to SIGTERM
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    time.sleep(600)
middle = os.fork()
if middle == 0:  # of a daemon: another session, and its parent ends
    os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(600)
os.waitpid(middle, 0)
open(sys.argv[1], "w").close()
LAST
"""


def kept(*command: str) -> subprocess.Popen[bytes]:
    """A reaper of this command."""
    nothing = os.open(os.devnull, os.O_RDONLY)
    line = [sys.executable, "-I", "-S", reaper.PROGRAM, str(nothing), *command]
    try:
        return subprocess.Popen(line, stdin=subprocess.PIPE, pass_fds=[nothing], start_new_session=True)
    finally:
        os.close(nothing)


def closed(process: subprocess.Popen[bytes]) -> int:
    """How it ends once the pipe is closed."""
    assert process.stdin is not None
    process.stdin.close()
    return process.wait(20)


def alive(numbers: list[int]) -> list[int]:
    among = reaper.processes()
    return [number for number in numbers if number in among and among[number][0] != "Z"]


@pytest.fixture
def started(tmp_path: Path) -> Path:
    """A file that a family makes when all of it has started."""
    return tmp_path / "started"


def family(started: Path, last: str = "time.sleep(600)") -> tuple[subprocess.Popen[bytes], list[int]]:
    """A reaper of a worker with three children, and the process ids of the four, the worker's first."""
    process = kept(sys.executable, "-c", FAMILY.replace("LAST", last), str(started))
    wait_until(started.exists)
    wait_until(lambda: len(reaper.below(process.pid, reaper.processes())) == 4)
    worker = next(n for n, fields in reaper.processes().items() if int(fields[reaper.PARENT]) == process.pid)
    others = [number for number in reaper.below(process.pid, reaper.processes()) if number != worker]
    return process, [worker, *others]


def test_when_the_search_closes_the_pipe(started: Path) -> None:
    process, all_of_it = family(started)
    assert closed(process) == -signal.SIGKILL
    assert alive(all_of_it) == []


def test_when_the_worker_ends_by_itself(started: Path) -> None:
    process, all_of_it = family(started, "time.sleep(1); sys.exit(3)")
    assert process.wait(20) == 3
    assert alive(all_of_it) == []


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_when_the_worker_is_killed_and_it_says_by_what(started: Path, number: signal.Signals) -> None:
    process, all_of_it = family(started)
    os.kill(all_of_it[0], number)
    assert process.wait(20) == -number
    assert alive(all_of_it) == []


def test_when_all_of_it_is_stopped(started: Path) -> None:
    process, all_of_it = family(started)
    for number in all_of_it:
        os.kill(number, signal.SIGSTOP)
    assert closed(process) == -signal.SIGKILL
    assert alive(all_of_it) == []


def test_when_the_search_is_killed(started: Path) -> None:
    worker = [sys.executable, "-c", FAMILY.replace("LAST", "time.sleep(600)"), str(started)]
    line = [sys.executable, "-I", "-S", reaper.PROGRAM, "2", *worker]
    program = "import subprocess as s, sys, time; s.Popen(sys.argv[1:], stdin=s.PIPE); time.sleep(600)"
    search = subprocess.Popen([sys.executable, "-c", program, *line])
    wait_until(started.exists)
    wait_until(lambda: len(reaper.below(search.pid, reaper.processes())) == 5)
    all_of_it = reaper.below(search.pid, reaper.processes())
    search.kill()
    search.wait()
    wait_until(lambda: alive(all_of_it) == [], 20)


def test_when_the_reaper_is_killed_the_worker_ends() -> None:
    process = kept("/bin/sleep", "600")
    wait_until(lambda: len(reaper.below(process.pid, reaper.processes())) == 1)
    (worker,) = reaper.below(process.pid, reaper.processes())
    process.kill()
    process.wait()
    wait_until(lambda: alive([worker]) == [], 20)


def test_signals_to_all_processes_of_a_job_do_not_end_it() -> None:
    process = kept("/bin/sleep", "600")
    wait_until(lambda: len(reaper.below(process.pid, reaper.processes())) == 1)
    for number in STOPPING:
        os.kill(process.pid, number)
    time.sleep(0.2)
    assert process.poll() is None
    assert closed(process) == -signal.SIGKILL


def test_a_byte_on_the_pipe_reaches_the_worker_as_sigterm() -> None:
    process = kept("/bin/sleep", "600")
    wait_until(lambda: len(reaper.below(process.pid, reaper.processes())) == 1)
    assert process.stdin is not None
    process.stdin.write(b".")
    process.stdin.flush()
    assert process.wait(20) == -signal.SIGTERM


def test_it_heeds_the_signals_that_the_search_heeds() -> None:
    """It cannot import the list: it runs without the packages of the project, to start in milliseconds."""
    assert set(reaper.SPARED) == set(STOPPING)
    assert not re.search(r"^(from|import) search", Path(reaper.PROGRAM).read_text(), re.MULTILINE)
