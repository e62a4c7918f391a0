"""The executor with local worker processes, which stay alive between jobs."""

from __future__ import annotations

import contextlib
import math
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from multiprocessing.connection import Connection
from pathlib import Path

from search.executors.devices import pinned, resident
from search.files import no_links
from search.jobs import Failure, FailureCause, Job, Outcome, WorkerContext
from search.native import ENVIRONMENT
from search.worker.worker import READY

ENDING_SECONDS = 1.0  # for a worker whose pipe is closed to end by itself


class LocalProcesses:
    """Worker processes on this machine, one per slot, each with its own pipe and log file.

    They start importing TensorFlow at once, so create this before the images are read. If a process dies, its one job
    is tried once more in a new process, then it fails. A process that uses too much memory after a job is replaced.
    """

    def __init__(self, slots: int, gpus: Sequence[str] = (), most_bytes: float = math.inf) -> None:
        """`gpus`: names for CUDA_VISIBLE_DEVICES, given to the slots in turn; empty: no pinning.

        `most_bytes`: memory that a worker may keep from one job to the next.
        """
        self.slots, self._gpus, self._most_bytes = slots, gpus, most_bytes
        self._start()

    def _start(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Job, Future[Outcome]] | None] = queue.SimpleQueue()
        self._children = [_Child(pinned(number, self._gpus)) for number in range(self.slots)]
        self._threads: list[threading.Thread] = []
        self._closing = False

    @property
    def ready(self) -> bool:
        """See Executor."""
        return any(child.ready for child in self._children)

    def prepare(self, context: WorkerContext, logs: Path) -> None:
        """See Executor."""
        if self._threads:
            self.close(kill=True)
            self._start()
        logs.mkdir(parents=True, exist_ok=True)
        for number, child in enumerate(self._children):
            child.configure(context, logs / f"worker-{number}.log")
            thread = threading.Thread(target=self._serve, args=(child,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        future: Future[Outcome] = Future()
        self._waiting.put((job, future))
        return future

    def close(self, *, kill: bool = False) -> None:
        """See Executor."""
        self._closing = True
        with contextlib.suppress(queue.Empty):
            while item := self._waiting.get_nowait():
                item[1].cancel()
        for _ in self._threads:
            self._waiting.put(None)
        if kill:
            for child in self._children:
                child.kill()
        for thread in self._threads:
            thread.join()
        for child in self._children:
            child.kill()

    def _serve(self, child: _Child) -> None:
        while item := self._waiting.get():
            job, future = item
            if future.set_running_or_notify_cancel():
                future.set_result(self._attempt(child, job))
                if resident(child.pid) > self._most_bytes:
                    child.reap()

    def _attempt(self, child: _Child, job: Job) -> Outcome:
        ended = ""
        for _ in range(2):
            try:
                return child.do(job)
            except (EOFError, OSError):
                ended = child.reap(ENDING_SECONDS)  # it is ending by itself: wait for its exit code
                if self._closing:
                    return Failure(FailureCause.STOPPED, "the search was stopped")
        return Failure(FailureCause.WORKER_DIED, f"the worker {ended} twice in this job; its log is {child.log}")


class _Child:
    """One worker process and the pipe to it. Started at once, and again when it is needed after it died.

    It gets its log file together with its context. Its output before that goes to an unnamed file, which it then
    copies to its log; if it dies before, `reap` copies it.
    """

    log: Path
    ready = False  # whether this process, or one before it in this slot, has imported its libraries

    def __init__(self, pinned: Mapping[str, str]) -> None:
        """`pinned`: additional environment variables."""
        self._pinned = pinned
        self._context: WorkerContext | None = None
        self._lock = threading.Lock()
        self._gone = False
        self._start()

    @property
    def pid(self) -> int:
        """Process id of the current process."""
        return self._process.pid

    def configure(self, context: WorkerContext, log: Path) -> None:
        """Set what every job needs, and the log file. Raises OSError if the log file cannot be written."""
        open(log, "ab", opener=no_links).close()
        self._context, self.log = context, log
        with contextlib.suppress(OSError):  # the process ended already: `do` starts another and sends this again
            self._pipe.send((context, log))

    def do(self, job: Job) -> Outcome:
        """Send the job and wait. Raises EOFError or OSError if the process has ended."""
        if self._process.poll() is not None:
            self.reap()
            self._start()
            self._pipe.send((self._context, self.log))
        self._pipe.send(job)
        while (message := self._pipe.recv()) == READY:
            self.ready = True
        outcome: Outcome = message
        return outcome

    def reap(self, patience: float = 0.0) -> str:
        """Kill the process if it has not ended within `patience` seconds, and return how it ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        self._process.kill()
        code = self._process.wait()
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
        """End the process now and for good."""
        with self._lock:
            self._gone = True
            self._process.kill()
        self._process.wait()

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
        self._first_output = tempfile.TemporaryFile()  # noqa: SIM115 - open as long as the process
        with self._lock:
            if self._gone:
                raise EOFError
            # -P: a keras.py in the current folder must not be imported for Keras.
            # A session of its own: Ctrl-C in the terminal reaches the loop, which decides what becomes of workers.
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-m", "search.worker", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=self._first_output,
                stderr=self._first_output,
                env={**os.environ, **ENVIRONMENT, **self._pinned},
                start_new_session=True,
            )
        theirs.close()
        self._pipe = Connection(ours.detach())
