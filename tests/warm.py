"""Commands and workers as forks of a process that has imported everything: they begin in milliseconds, not in seconds.

A fork runs the command that a user runs, and its workers are the real worker behind the real reaper, in sessions of
their own, with the pipes, signals and process tree of fresh ones. Left out are `exec` and the imports alone. The
process that is forked never uses TensorFlow, whose state and threads could not be inherited.

`Warm` is a `subprocess.Popen` for processes that did use it, as pytest's. `forks_reapers` is for a process that may
fork its own reapers, as a command.
"""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

from search.executors import reaper
from search.native import ENVIRONMENT

ROOT = Path(__file__).resolve().parents[1]
MAX_REQUEST = 2**20  # bytes: arguments and an environment
READ_AT_IMPORT = ("TF_", "KERAS", "PYTHON", "OMP_", "OPENBLAS", "LD_", "MPL")  # variables that a fork cannot change

Hook = Callable[[], object]
"""Called in a forked process before its program begins, to arrange something."""


def nothing() -> None:
    """Arranges nothing."""


def preload() -> None:
    """Import all that a command and a worker import. Call it before the first fork."""
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

    gc.collect()
    gc.freeze()


def command(arguments: Sequence[str], arrange: Hook = nothing) -> None:
    """Be `search …`, and end this process with it."""
    from search.__main__ import main

    _streams()
    arrange()
    sys.argv = ["search", *arguments]
    _ending(main)


def forks_reapers(worker_hook: Hook = nothing) -> None:
    """From now on, the reapers of this process are its forks; `worker_hook` is called in their workers."""
    from search.executors import child

    vars(child)["subprocess"] = SimpleNamespace(
        PIPE=subprocess.PIPE,
        TimeoutExpired=subprocess.TimeoutExpired,
        Popen=lambda program, **options: _Reaper(program, worker_hook, **options),
    )


def redirect(out: int, err: int, into: int | None = None) -> None:
    """Have standard output, error and input (else: nothing to read) be these file descriptors."""
    entrance = os.open(os.devnull, os.O_RDONLY) if into is None else into
    for number, target in enumerate((entrance, out, err)):
        os.dup2(target, number)


class Warm(subprocess.Popen[Any]):
    """A command or a reaper as a fork of a warm process, but a child of this one; other programs as Popen does.

    A program whose environment differs in what libraries read when they are imported is started afresh too.
    """

    def _execute_child(self, args: Any, executable: Any, *options: Any) -> None:
        _, _, pass_fds, cwd, env, _, _, _, *pipes = options
        streams, (*_, new_session, _group) = pipes[:6], pipes[6:]
        environment = dict(os.environ if env is None else env)
        server = _server() if _kind(args) else None
        if server is None or not server.suits(environment):
            super()._execute_child(args, executable, *options)  # type: ignore[misc]
            return
        try:
            theirs = [own if given == -1 else given for own, given in enumerate((streams[0], streams[3], streams[5]))]
            request = Request(
                tuple(args), os.fspath(cwd or Path.cwd()), environment, tuple(sorted(pass_fds)), new_session
            )
            self.pid = server.fork(request, [*theirs, *sorted(pass_fds)])
            self._child_created = True
        finally:
            self._close_pipe_fds(*streams)  # type: ignore[attr-defined]


def reapers_are_warm() -> None:
    """From now on, the reapers of this process are forks of the warm process."""
    from search.executors import child

    vars(child)["subprocess"] = SimpleNamespace(
        PIPE=subprocess.PIPE, TimeoutExpired=subprocess.TimeoutExpired, Popen=Warm
    )


@dataclass(frozen=True)
class Request:
    """A program to fork. Three file descriptors for its standard streams, and those of `descriptors`, go with it."""

    arguments: tuple[str, ...]
    folder: str
    environment: Mapping[str, str]
    descriptors: tuple[int, ...]  # the numbers that the program knows them by
    new_session: bool


class _Server:
    """The warm process, as its parent sees it."""

    def __init__(self) -> None:
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self._pipe, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.warm", str(theirs.fileno())],
            cwd=ROOT,
            env=self._environment,
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        theirs.close()

    def suits(self, environment: Mapping[str, str]) -> bool:
        """Whether a program with this environment can be a fork."""
        mine = {**self._environment, **ENVIRONMENT, "TF_NUM_INTRAOP_THREADS": "1"}
        asked = {"PYTHONPATH": str(ROOT), **ENVIRONMENT, **environment}
        names = {name for name in {*asked, *mine} if name.startswith(READ_AT_IMPORT)} - {"TF_NUM_INTRAOP_THREADS"}
        return all(asked.get(name) == mine.get(name) for name in names)

    def fork(self, request: Request, descriptors: Sequence[int]) -> int:
        """The process ID of a new child of this process."""
        with self._lock:
            _adopt_orphans(True)  # a fork of a fork, whose parent ends, becomes a child of this process
            try:
                socket.send_fds(self._pipe, [pickle.dumps(request)], list(descriptors))
                return int.from_bytes(self._pipe.recv(8), "little")
            finally:
                _adopt_orphans(False)

    def close(self) -> None:
        """End it."""
        self._pipe.close()
        self._process.wait()


_SERVERS: dict[int, _Server] = {}  # of this process, by its ID: a fork has none


def _server() -> _Server:
    if os.getpid() not in _SERVERS:
        _SERVERS[os.getpid()] = _Server()
        atexit.register(_SERVERS[os.getpid()].close)
    return _SERVERS[os.getpid()]


def _adopt_orphans(whether: bool) -> None:
    ctypes.CDLL(None).prctl(reaper.SUBREAPER, int(whether), 0, 0, 0)


def _kind(arguments: Sequence[str]) -> str:
    if list(arguments[1:3]) == ["-m", "search"]:
        return "command"
    return "reaper" if reaper.PROGRAM in arguments else ""


def serve(pipe: socket.socket) -> None:
    """Fork what is asked for, until the other end closes."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(pipe, MAX_REQUEST, 16)
        if not data:
            return
        request = pickle.loads(data)  # noqa: S301 - of our own parent
        reading, writing = os.pipe()
        between = os.fork()
        if not between:
            if pid := os.fork():
                os.write(writing, pid.to_bytes(8, "little"))
                os._exit(0)
            _forked(request, descriptors)
        os.close(writing)
        pid_of = os.read(reading, 8)
        os.waitpid(between, 0)  # it is gone, so its child has its new parent
        for number in (reading, *descriptors):
            os.close(number)
        pipe.send(pid_of)


def _forked(request: Request, descriptors: Sequence[int]) -> None:
    """Be the program of a request."""
    try:
        if request.new_session:
            os.setsid()
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.signal(number, signal.SIG_DFL)
        _place(descriptors, (0, 1, 2, *request.descriptors))
        os.chdir(request.folder)
        os.environ.clear()
        os.environ.update(request.environment)
        if _kind(request.arguments) == "reaper":
            _keep(request.arguments, nothing)
        else:
            sys.path[0] = request.folder
            forks_reapers()
            command(request.arguments[3:])
    except BaseException:  # noqa: BLE001 - whatever it is, this process must not go on as its parent
        traceback.print_exc()
    finally:
        os._exit(70)


def _place(descriptors: Sequence[int], numbers: Sequence[int]) -> None:
    """Have file descriptors these numbers, and close all others."""
    above = max(*descriptors, *numbers) + 1
    for place, descriptor in enumerate(descriptors):
        os.dup2(descriptor, above + place)
    for place, number in enumerate(numbers):
        os.dup2(above + place, number)
    _close_all_but(*numbers)


def _streams() -> None:
    """New objects for the standard streams, which may be other files than those of the parent."""
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
        sys.stderr.write(f"{code}\n")
        code = 1
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(code or 0)


class _Reaper:
    """What `search.executors.child` uses of `subprocess.Popen`, for a reaper that is a fork of this process."""

    def __init__(
        self,
        program: Sequence[str],
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
            redirect(stdout.fileno(), stdout.fileno(), theirs)
            _close_all_but(*pass_fds)
            os.environ.clear()
            os.environ.update(env)
            _keep(program, worker_hook)
        except BaseException:  # noqa: BLE001 - see `_forked`
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
                raise subprocess.TimeoutExpired("reaper", timeout or 0)
            time.sleep(0.002)
        return code


def _close_all_but(*kept: int) -> None:
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers
        if int(name) > 2 and int(name) not in kept:
            with suppress(OSError):
                os.close(int(name))


def _keep(program: Sequence[str], worker_hook: Hook) -> None:
    """The reaper's program, whose worker does not `exec`."""
    execute = os.execv

    def worker(_path: str, arguments: Sequence[str]) -> None:
        os.execv = execute
        _streams()
        worker_hook()
        from search.worker.__main__ import main

        _ending(lambda: main(int(arguments[-1])))

    os.execv = worker  # type: ignore[assignment]
    first = list(program).index(reaper.PROGRAM) + 1
    reaper.main(int(program[first]), list(program[first + 1 :]))


if __name__ == "__main__":
    preload()
    serve(socket.socket(fileno=int(sys.argv[1])))
