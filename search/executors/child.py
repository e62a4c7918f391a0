"""One worker process with its reaper, as the executor sees it."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from search.executors import reaper
from search.executors.base import Doing
from search.executors.devices import kept
from search.executors.limits import OVER_SHARE, Watch, use_of
from search.files import no_links
from search.jobs import FailureCause, Job, Outcome, SaveRequest, Step, WorkerContext
from search.native import ENVIRONMENT
from search.worker.worker import Sign

REAPER_SECONDS = reaper.COURTESY + reaper.PATIENCE + 1.0  # in which a reaper has ended all, unless it was stopped
SENDING_SECONDS = 1.0  # to wait until a job is sent
TELLING_SECONDS = 0.3  # for a worker to write into its log where it is
MAX_TOLD = 100_000  # bytes of that


class Child:
    """One worker process and the pipe to it. Started at once, and again when it is needed after it died.

    It gets its log file together with its context. Its output before that goes to an unnamed file, which it then
    copies to its log; if it dies before, `reap` copies it.
    """

    log: Path
    _process: subprocess.Popen[bytes]  # the reaper
    _worker: int | None  # process id of the worker, once it has said so
    _pipe: Connection
    ready = False  # whether this process, or one before it in this slot, has imported its libraries

    def __init__(self, pinned: Mapping[str, str]) -> None:
        """`pinned`: additional environment variables."""
        self._pinned = pinned
        self._context: WorkerContext | None = None
        self._watch: Watch | None = None  # of the job that is running
        self._at: tuple[Job, Step | None] | None = None  # that job, and how far it is
        self._lock = threading.Lock()
        self._sending = threading.Lock()  # jobs and requests to save them come from two threads
        self._gone = False
        self._start()

    def configure(self, context: WorkerContext, log: Path) -> None:
        """Set what every job needs, and the log file. Raises OSError if the log file cannot be written."""
        open(log, "ab", opener=no_links).close()
        self._context, self.log = context, log
        with contextlib.suppress(OSError):  # the process ended already: `do` starts another and sends this again
            self._pipe.send((context, log))

    def do(self, job: Job, watch: Watch) -> Outcome:
        """Send the job and wait. Raises EOFError or OSError if the process has ended, or `watch` gave it up."""
        try:
            fresh = self._process.poll() is not None
            if fresh:
                self.reap()
                self._start()
            with self._sending:
                watch.ready, self._watch, self._at = self._worker is not None, watch, (job, None)
                if fresh:
                    self._pipe.send((self._context, self.log))
                self._pipe.send(job)
            while isinstance(message := self._pipe.recv(), Sign):
                self.ready, self._worker, self._at = True, message.pid, (job, message.step)
                watch.sign(message.step.before if message.step else 0.0)
        finally:
            self._watch = self._at = None
        outcome: Outcome = message
        return outcome

    def save(self, seconds: float) -> None:
        """Pass on a SaveRequest if there is a job. From another thread than `do`."""
        if self._sending.acquire(timeout=SENDING_SECONDS):  # else a new process is still starting: there is no state
            try:
                if self._at is not None:
                    self._pipe.send(SaveRequest(seconds))
            except OSError:  # it has just ended
                pass
            finally:
                self._sending.release()

    def forget(self, job: Job) -> None:
        """Remove what fold runs have stored of themselves."""
        if self._context and self._context.saving:
            self._context.saving.forget(job)

    def look(self, passed: float, among: Mapping[int, Sequence[str]]) -> None:
        """End the process if its job is to be given up. From another thread than `do`, which then raises.

        `passed`: seconds since the last look; `among`: of `reaper.processes`.
        """
        watch = self._watch
        if watch is None or watch.given_up:
            return
        process = self._process  # while this waits below, `do` may start another one, for the next job
        use = use_of(process.pid, among, OVER_SHARE * watch.limits.memory)
        if found := watch.look(passed, use):
            cause, how = found
            if cause in (FailureCause.HUNG, FailureCause.TOO_LONG):
                watch.given_up = cause, how + self._where(process)
            _close(process)

    @property
    def doing(self) -> Doing | None:
        """What this worker does now; None without a job. For another thread than `do`."""
        at = self._at  # `do` may change it meanwhile
        return Doing(*at, importing=self._worker is None) if at else None

    @property
    def memory(self) -> int:
        """Bytes that the worker holds now, without pages of files; 0 if it is not known."""
        return kept(self._worker) if self._worker else 0

    def reap(self, patience: float = 0.0) -> str:
        """End the process, and all it started, if it has not ended within `patience` seconds; returns how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        code = self._end()
        if not self._first_output.closed:
            with (
                contextlib.suppress(OSError),
                self._first_output as output,
                open(self.log, "ab", opener=no_links) as log,
            ):
                output.seek(0)
                log.write(output.read())
        if code >= 0:
            return f"ended with code {code}"
        with contextlib.suppress(ValueError):
            return f"was killed by {signal.Signals(-code).name}"
        return f"was killed by signal {-code}"

    def kill(self) -> None:
        """End the process, and all it started, now and for good."""
        with self._lock:
            self._gone = True
            _close(self._process)
        self._end()

    def _where(self, process: subprocess.Popen[bytes]) -> str:
        """' in net.py, line 12': where the worker is in the user's file, which it writes into its log; '' elsewhere."""
        assert process.stdin is not None and self._context is not None  # noqa: S101 - it has a job
        with contextlib.suppress(OSError, ValueError), open(self.log, "rb", opener=no_links) as log:
            log.seek(0, os.SEEK_END)
            process.stdin.write(b".")
            time.sleep(TELLING_SECONDS)
            told = log.read(MAX_TOLD).decode(errors="replace")
            model = self._context.model
            path = model and model.path.encode("ascii", "backslashreplace").decode()  # as `faulthandler` writes it
            line = path and re.search(rf'File "{re.escape(path)}", line (\d+)', told)
            return f" in {Path(model.path).name}, line {line[1]}" if model and line else ""
        return ""

    def _end(self) -> int:
        """Have the reaper end everything, and wait for it; returns how the worker ended, as in `Popen.returncode`."""
        _close(self._process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(REAPER_SECONDS)
        started = reaper.below(self._process.pid, reaper.processes())
        for number in (self._process.pid, *started):  # the reaper itself was stopped
            with contextlib.suppress(OSError):
                os.kill(number, signal.SIGKILL)
        return self._process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._first_output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        self._worker = None
        with self._lock:
            if self._gone:
                raise EOFError
            # -P: a keras.py in the current folder must not be imported for Keras.
            # Sessions of their own: Ctrl-C in the terminal reaches the loop, which decides what becomes of workers.
            worker = [sys.executable, "-P", "-m", "search.worker", str(theirs.fileno())]
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-I", "-S", reaper.PROGRAM, str(theirs.fileno()), *worker],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.PIPE,
                stdout=self._first_output,
                stderr=self._first_output,
                env={**os.environ, **ENVIRONMENT, **self._pinned},
                start_new_session=True,
                bufsize=0,
            )
        theirs.close()
        self._pipe = Connection(ours.detach())


def _close(process: subprocess.Popen[bytes]) -> None:
    """Have a reaper end everything. Returns at once."""
    assert process.stdin is not None  # noqa: S101 - a pipe
    with contextlib.suppress(OSError):
        process.stdin.close()
