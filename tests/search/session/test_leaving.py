"""Signals that come before a command begins, while it ends, twice, and where no exception can be raised."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from search.__main__ import INTERRUPTED
from search.native import STOPPING
from search.session.signals import RESUMABLE
from tests.warm import ROOT

STOPPED = "search: stopped; nothing that was stored is lost, and the same command can be run again\n"
LEFT = "search: left at once; what was stored stays, and the same command can be run again\n"
SAY = 'print("here", flush=True)'


def program(body: str) -> subprocess.Popen[str]:
    """A command that does this; `here` is its first line."""
    indented = body.strip("\n").replace("\n", "\n    ")
    code = (
        f"import os, signal, sys, time\nfrom search.session.signals import *\nwith leave_on_signals():\n    {indented}"
    )
    return started(sys.executable, "-c", code)


@pytest.fixture(autouse=True)
def not_ignored() -> Iterator[None]:
    """Under nohup a signal is ignored, by what a process starts too."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, before)


def started(*line: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        line,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
    )


def ended(process: subprocess.Popen[str], *signals: signal.Signals) -> tuple[int, str]:
    """(exit code, standard error) after these signals, each sent when it has printed a line."""
    assert process.stdout is not None
    for number in signals:
        assert process.stdout.readline()
        process.send_signal(number)
    _, err = process.communicate(timeout=30)
    return process.returncode, err


@pytest.mark.parametrize("number", STOPPING)
def test_every_request_to_stop_ends_a_command_with_a_word(number: signal.Signals) -> None:
    assert ended(program(f"{SAY}; time.sleep(60)"), number) == (RESUMABLE, STOPPED)


def test_a_second_ctrl_c_while_it_ends_leaves_at_once() -> None:
    body = f"""
try:
    {SAY}
    time.sleep(60)
finally:
    {SAY}
    time.sleep(60)
"""
    for first in (signal.SIGINT, signal.SIGUSR1):
        assert ended(program(body), first, signal.SIGINT) == (RESUMABLE, LEFT)


def test_a_ctrl_c_while_a_connection_is_closed_prints_no_traceback() -> None:
    body = f"""
import sqlite3
from sqlalchemy import NullPool, create_engine
class Connection(sqlite3.Connection):
    def close(self):
        {SAY}
        time.sleep(60)
made = lambda: sqlite3.connect(":memory:", factory=Connection)
create_engine("sqlite://", creator=made, poolclass=NullPool).connect().close()
"""
    assert ended(program(body), signal.SIGINT) == (RESUMABLE, STOPPED)


def test_signals_that_come_again_by_themselves_do_not_hurry_it() -> None:
    body = f"""
try:
    {SAY}
    time.sleep(60)
finally:
    {SAY}
    time.sleep(0.5)
    os.write(2, b"cleaned\\n")
"""
    assert ended(program(body), signal.SIGXCPU, signal.SIGXCPU) == (RESUMABLE, f"cleaned\n{STOPPED}")


@pytest.mark.parametrize(
    "body",
    [
        f"try:\n    {SAY}\n    time.sleep(60)\nexcept BaseException:\n    pass",
        f"try:\n    {SAY}\n    time.sleep(60)\nexcept BaseException:\n    sys.exit(0)",
        f"try:\n    {SAY}\n    time.sleep(60)\nexcept BaseException:\n    raise ValueError('of a library')",
        f"class Callback:\n    def __del__(self):\n        {SAY}\n        time.sleep(60)\nCallback()\ntime.sleep(60)",
    ],
    ids=["swallowed", "exit", "another exception", "where none can be raised"],
)
def test_a_signal_is_not_lost_and_shows_no_traceback(body: str) -> None:
    assert ended(program(body), signal.SIGINT) == (RESUMABLE, STOPPED)


def test_a_program_that_was_told_to_outlive_its_terminal_does() -> None:
    code = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
    code += "from search.session.signals import *\nimport time\n"
    code += f"with leave_on_signals():\n    {SAY}\n    time.sleep(1)\n    {SAY}"
    assert ended(started(sys.executable, "-c", code), signal.SIGHUP) == (0, "")


def test_ctrl_c_while_the_command_is_imported_ends_it_without_a_word() -> None:
    """Python prints each module that it has imported, so the moment is known."""
    process = started(sys.executable, "-X", "importtime", "-m", "search", "--help")
    assert process.stderr is not None
    for line in process.stderr:
        if line.endswith(" search.errors\n"):
            break
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (INTERRUPTED, "")
    assert "Traceback" not in err
