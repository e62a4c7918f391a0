"""One `run` a study: a lock on a file beside the database, freed by the system when its holder dies."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from search.errors import UsageError

FILE = "study.lock"


@contextlib.contextmanager
def leased(folder: Path) -> Iterator[None]:
    """Hold the study for this process. Raises UsageError, naming the holder, where another has it."""
    import fcntl  # POSIX only, like the local executor

    path = folder / FILE
    try:
        # O_NOFOLLOW: in a study folder from elsewhere a link may lead to any file.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
        handle = os.fdopen(descriptor, "r+", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}; a study needs a folder it may write") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UsageError(f"{folder} is in use by {_holder(path)}; wait for it, or stop it first") from None
        handle.seek(0)
        handle.truncate()
        started = datetime.now(UTC).isoformat(timespec="seconds")
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "started": started}, handle)
        handle.flush()
        yield


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
