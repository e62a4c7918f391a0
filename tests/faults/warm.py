"""Commands as forks of this process, see `tests.warm`, with hooks in which faults are arranged.

`fresh=True` starts new interpreters instead, to see that this makes no difference.
"""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import IO

from tests import warm
from tests.faults.moments import arrange
from tests.warm import ROOT, Hook


class Ended(subprocess.TimeoutExpired):
    """A command did not end in time; it was killed."""


class Started:
    """A command that runs. Its output goes to files, so nobody has to read it meanwhile."""

    def __init__(self, pid: int, outputs: Sequence[IO[bytes]], terminal: int = -1) -> None:
        self.pid, self.terminal, self.shown = pid, terminal, b""
        self.returncode: int | None = None
        self._outputs = outputs

    def poll(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        if self.returncode is None:
            ended, status = os.waitpid(self.pid, os.WNOHANG)
            if ended:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, seconds: float) -> int:
        """Wait for its end. Raises TimeoutExpired."""
        latest = time.monotonic() + seconds
        while (code := self.poll()) is None:
            if time.monotonic() > latest:
                raise subprocess.TimeoutExpired("search", seconds)
            self.look()
            time.sleep(0.005)
        return code

    def ended(self, seconds: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Wait for its end, kill it after `seconds`; its exit code and output."""
        try:
            self.wait(seconds)
        except subprocess.TimeoutExpired:
            self.send(signal.SIGKILL)
            self.wait(30)
            raise Ended("search", seconds) from None
        self.look()
        texts = []
        for output in self._outputs:
            output.seek(0)
            texts.append(output.read())
            output.close()
        out, err = (text.decode(errors="replace") for text in texts or (self.shown, b""))
        return subprocess.CompletedProcess((), self.returncode or 0, out, err)

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def look(self) -> None:
        """Take what it shows on its terminal, so that it never waits for that."""
        with suppress(OSError):
            while self.terminal >= 0 and (shown := os.read(self.terminal, 65536)):
                self.shown += shown

    def close_terminal(self) -> None:
        """As who closes its window."""
        os.close(self.terminal)
        self.terminal = -1


def preload() -> None:
    """Import all that a command and a worker import. Call it before the first `start`."""
    warm.preload()
    without_packages_of_weights()


def without_packages_of_weights() -> None:
    """As where the extra `backbone` is not installed: its network would take most of the time of small searches."""
    from spaces.backbones import lite

    gone = [replace(packaged, package=f"no_{packaged.name}_anywhere") for packaged in lite.PACKAGED]
    vars(lite)["PACKAGED"] = tuple(gone)


def start(
    *arguments: str | Path,
    cwd: Path,
    fresh: bool = False,
    terminal: bool = False,
    environment: Mapping[str, str] = {},
    command_hook: Hook = warm.nothing,
    worker_hook: Hook = warm.nothing,
) -> Started:
    """Start `search …` in `cwd`; with `terminal` on one of its own. Hooks are for forks."""
    outputs = () if terminal else (tempfile.TemporaryFile(), tempfile.TemporaryFile())  # noqa: SIM115 - `ended` closes
    sys.stdout.flush()
    sys.stderr.flush()
    pid, ours = pty.fork() if terminal else (os.fork(), -1)
    if pid:
        if terminal:
            os.set_blocking(ours, False)
        return Started(pid, outputs, ours)
    try:
        os.chdir(cwd)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        if outputs:
            warm.redirect(*(output.fileno() for output in outputs))
        os.environ.update({"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment})
        words = [str(argument) for argument in arguments]
        if fresh:
            os.execv(sys.executable, [sys.executable, "-m", "tests.faults.fresh", *words])  # noqa: S606 - no shell
        warm.forks_reapers(worker_hook)
        command_hook()
        warm.command(words, arrange)
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(70)
