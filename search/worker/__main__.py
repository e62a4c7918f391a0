"""The worker as a program, `python -m search.worker FD`: a child of the executor, behind one pipe."""

from __future__ import annotations

import faulthandler
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

from search.files import no_links
from search.jobs import SaveRequest, Step
from search.native import ENVIRONMENT, STOPPING
from search.worker.worker import Sign, Worker

SIGN_SECONDS = 0.5  # between two signs of progress, at least


def preload() -> None:
    """Import everything heavy, and exclude it from garbage collection.

    The collector runs for each new architecture, and would traverse the 300,000 objects of these imports every time:
    0.15 s.
    """
    os.environ.update(ENVIRONMENT)
    import search.worker.trainer_cache  # noqa: F401 - brings Keras and TensorFlow

    gc.collect()
    gc.freeze()


def main(descriptor: int) -> None:
    """Serve one pipe: receive the context, send a sign, receive jobs, send an outcome for each, until it closes.

    In the midst of a job it may receive a SaveRequest.
    """
    _heed_signals()
    preload()  # while the parent reads the images

    with Connection(descriptor) as pipe:
        try:
            context, log = pipe.recv()
            _write_to(log)
            process = os.getpid()

            def tell(step: Step) -> None:
                if os.getpid() == process:  # a process that the user's code forked must not write into the pipe
                    pipe.send(Sign(process, step))

            def asked() -> SaveRequest | None:
                if os.getpid() != process or not pipe.poll():
                    return None
                request: SaveRequest = pipe.recv()  # nothing else comes before there is an outcome
                return request

            worker = Worker(context, seldom(tell), asked)
            pipe.send(Sign(process))
            while True:
                job = pipe.recv()
                if isinstance(job, SaveRequest):  # it came too late for the job that it was meant for
                    continue
                outcome = worker.do(job)
                if os.getpid() != process:  # a user's builder forked, and its child came back: one answer is enough
                    os._exit(0)
                pipe.send(outcome)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def seldom(tell: Callable[[Step], object]) -> Callable[[Step], None]:
    """Pass on a step of another kind, and others at most once in SIGN_SECONDS: an epoch can take a millisecond."""
    last, kind = time.monotonic(), ""

    def when_due(step: Step) -> None:
        nonlocal last, kind
        if step.what != kind or time.monotonic() - last >= SIGN_SECONDS:
            last, kind = time.monotonic(), step.what
            tell(step)

    return when_due


def _heed_signals() -> None:
    """Write into the log where this process is upon SIGTERM, and go on; other requests to stop are the search's.

    They are handled, not ignored: a program that the user's code starts would inherit that.
    """
    for number in STOPPING:
        signal.signal(number, lambda *_: None)
    faulthandler.register(signal.SIGTERM, file=2, all_threads=True)


def _write_to(log: Path) -> None:
    """Redirect all output to this file, with what was written to stderr so far."""
    file = no_links(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, os.pread(2, os.fstat(2).st_size, 0))
    os.ftruncate(2, 0)
    for output in (1, 2):
        os.dup2(file, output)
    os.close(file)


if __name__ == "__main__":
    main(int(sys.argv[1]))
