"""Commands as forks of a process that has imported everything: they begin in milliseconds instead of ten seconds.

A fork runs the command that a user runs, and its workers are the real worker behind the real keeper, in sessions of
their own, with the pipes, signals and process tree of fresh ones. Left out are `exec` and the imports alone. The
process that is forked never uses TensorFlow, which therefore has no threads and no state in it. `fresh=True` starts
new interpreters instead, to see that this makes no difference.
"""

from __future__ import annotations

import gc
import os
import pty
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from search.native import ENVIRONMENT
from tests.commands import ROOT
from tests.faults.moments import arrange

Hook = Callable[[], object]
"""Called in a forked process before its program begins, to arrange a fault."""

_NOTHING: Hook = lambda: None  # noqa: E731 - a default


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
    os.environ |= {**ENVIRONMENT, "TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "COLUMNS": "120"}
    import optuna.samplers  # noqa: F401
    import sklearn.linear_model
    import sklearn.metrics  # noqa: F401

    import cli  # noqa: F401
    import reports.html.study
    import reports.show  # noqa: F401
    import search.commands.backup
    import search.commands.report
    import search.commands.run
    import search.session.explain
    import search.worker.__main__
    import search.worker.packaging
    import search.worker.trainer_cache  # noqa: F401

    without_packages_of_weights()
    gc.collect()
    gc.freeze()


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
    command_hook: Hook = _NOTHING,
    worker_hook: Hook = _NOTHING,
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
            _redirect(*(output.fileno() for output in outputs))
        os.environ.update({"PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **environment})
        words = [str(argument) for argument in arguments]
        if fresh:
            os.execv(sys.executable, [sys.executable, "-m", "tests.faults.fresh", *words])  # noqa: S606 - no shell
        vars(_keeping())["subprocess"] = _Forking(worker_hook)
        command_hook()
        _command(words)
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(70)


def _keeping() -> Any:
    from search.executors import child

    return child


def _redirect(out: int, err: int) -> None:
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, target in enumerate((nothing, out, err)):
        os.dup2(target, number)


def _streams() -> None:
    """New objects for standard output and error, which may be other files than those of the parent."""
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - as long as the process
    sys.stdout = open(1, "w", buffering=1, closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115


def _ending(run: Callable[[], object]) -> None:
    """Run a program to its end, and end this process as the interpreter would."""
    code: Any = 0
    try:
        run()
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - as the interpreter does
        traceback.print_exc()
        code = 1
    if code is not None and not isinstance(code, int):
        print(code, file=sys.stderr)
        code = 1
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code or 0)


def _command(arguments: list[str]) -> None:
    from search.__main__ import main

    _streams()
    arrange()
    sys.argv = ["search", *arguments]
    _ending(main)


class _Forking(SimpleNamespace):
    """What `search.executors.child` uses of `subprocess`, with keepers that are forks of this process."""

    def __init__(self, worker_hook: Hook) -> None:
        super().__init__(PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired)
        self.Popen = lambda command, **options: _Keeper(command, worker_hook, **options)


class _Keeper:
    """What `search.executors.child` uses of `subprocess.Popen`, for a keeper."""

    def __init__(
        self,
        command: Sequence[str],
        worker_hook: Hook,
        *,
        pass_fds: Sequence[int],
        stdout: IO[bytes],
        env: Any,
        **_: Any,
    ) -> None:
        theirs, ours = os.pipe()
        self.returncode: int | None = None
        self.pid = os.fork()
        if self.pid:
            os.close(theirs)
            self.stdin = open(ours, "wb", buffering=0)  # noqa: SIM115, PTH123 - as long as the process
            return
        try:
            os.setsid()
            _redirect(stdout.fileno(), stdout.fileno())
            os.dup2(theirs, 0)
            _close_all_but(*pass_fds)
            os.environ.clear()
            os.environ.update(env)
            _keep(command, worker_hook)
        except BaseException:  # noqa: BLE001 - see `start`
            traceback.print_exc()
        finally:
            os._exit(127)

    def poll(self) -> int | None:
        """As of Popen."""
        if self.returncode is None:
            with suppress(ChildProcessError):
                ended, status = os.waitpid(self.pid, os.WNOHANG)
                if ended:
                    self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """As of Popen."""
        latest = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if latest is not None and time.monotonic() >= latest:
                raise subprocess.TimeoutExpired("keeper", timeout or 0)
            time.sleep(0.002)
        return code


def _close_all_but(*kept: int) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


def _keep(command: Sequence[str], worker_hook: Hook) -> None:
    """The keeper's program, whose worker does not `exec`."""
    from search.executors import keeper

    execute = os.execv

    def worker(_path: str, arguments: Sequence[str]) -> None:
        os.execv = execute
        _streams()
        worker_hook()
        from search.worker.__main__ import main

        _ending(lambda: main(int(arguments[-1])))

    os.execv = worker  # type: ignore[assignment]
    program = command.index(keeper.PROGRAM)
    keeper.main(int(command[program + 1]), command[program + 2 :])
