"""The worker as a program, `python -m search.worker FD`: a child of the executor, behind one pipe."""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

from search.files import no_links
from search.native import ENVIRONMENT
from search.worker.worker import READY, Worker


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
    """Serve one pipe: receive the context, say READY, receive jobs, send an outcome for each, until it closes."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    preload()  # while the parent reads the images

    with Connection(descriptor) as pipe:
        try:
            context, log = pipe.recv()
            _write_to(log)
            worker = Worker(context)
            pipe.send(READY)
            process = os.getpid()
            while True:
                outcome = worker.do(pipe.recv())
                if os.getpid() != process:  # a user's builder forked, and its child came back: one answer is enough
                    os._exit(0)
                pipe.send(outcome)
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _write_to(log: Path) -> None:
    """Redirect all output to this file, with what was written to stderr so far."""
    file = no_links(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(file, os.pread(2, os.fstat(2).st_size, 0))
    os.ftruncate(2, 0)
    for output in (1, 2):
        os.dup2(file, output)
    os.close(file)


def _end_with_parent(parent: int) -> None:
    """End soon after the parent is killed. The closed pipe is noticed only after the fold, and holds a GPU's memory."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
