"""At most one `run` per study: a lock on a file beside the database. The system frees it when its holder dies."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from search.errors import UsageError
from search.files import no_links


@contextlib.contextmanager
def leased(lock: Path) -> Iterator[None]:
    """Lock the study. Raises UsageError, which names the holder, if another process has the lock."""
    import fcntl  # POSIX only, like the local executor

    folder = lock.parent
    try:
        handle = os.fdopen(no_links(lock, os.O_RDWR | os.O_CREAT), "r+", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{folder} cannot be written: {error.strerror}; a study needs a folder it may write") from None
    with handle:
        if not _locked(handle, fcntl.LOCK_EX):
            raise UsageError(f"{folder} is in use by {_holder(lock)}; wait for it, or stop it first") from None
        handle.seek(0)
        handle.truncate()
        started = datetime.now(UTC).isoformat(timespec="seconds")
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "started": started}, handle)
        handle.flush()
        yield


def holder(lock: Path) -> str | None:
    """The process that holds the lock, in words; None if no process does. Changes nothing in the folder."""
    import fcntl

    try:
        with os.fdopen(no_links(lock, os.O_RDONLY), encoding="utf-8") as handle:
            return None if _locked(handle, fcntl.LOCK_SH) else _holder(lock)
    except OSError:  # no file: the study was never locked; or no permission to read it, then the holder is unknown
        return None


def _locked(handle: TextIO, kind: int) -> bool:
    """Take the lock. Tries twice, because `holder` takes the lock for a moment to see whether it is free."""
    import fcntl

    for wait_seconds in (0.05, 0.0):
        try:
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
        except OSError:
            time.sleep(wait_seconds)
        else:
            return True
    return False


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} on {holder['host']} since {holder['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
