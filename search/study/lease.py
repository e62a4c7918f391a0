"""At most one `run` per study: a lock on a file beside the database. The system frees it when its holder dies."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

from search.errors import UsageError
from search.files import no_links

STOP_SECONDS = 60.0  # for a holder to end in order: its grace for fold runs, its workers, its report
KILL_SECONDS = 10.0  # and after SIGKILL, which a process that waits for a broken disk does not heed
POLL_SECONDS = 0.1
MAX_BYTES = 1000  # that are read of a lock file


@dataclass(frozen=True)
class _Holder:
    """What a lock file says of the process that locked it last."""

    pid: int
    host: str
    started: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host} since {self.started}"


@contextlib.contextmanager
def leased(
    lock: Path, *, takeover: bool | None = None, tell: Callable[[str], object] = lambda _: None
) -> Iterator[bool]:
    """Lock the study; yields whether that was waited for. Raises UsageError, which names another process that has it.

    `takeover`: whether that process is asked to stop, and ended if it does not within STOP_SECONDS; None: the command
    has no such option. It must run on this machine as the same user, and it must really have the lock: a process that
    only has the number that the file names is left alone. `tell` is called before a wait. A lock file that was not
    there before is removed if the block raises.
    """
    with contextlib.ExitStack() as stack:
        handle, waited = stack.enter_context(_opened(lock)), False
        while True:
            waited |= _acquire(handle, lock, takeover, tell)
            if os.fstat(handle.fileno()).st_nlink:
                break
            handle = stack.enter_context(_opened(lock))  # its holder has removed it: another process may have a new one
        is_new = not handle.read(1)
        handle.seek(0)
        handle.truncate()
        started = datetime.now(UTC).isoformat(timespec="seconds")
        json.dump({"pid": os.getpid(), "host": socket.gethostname(), "started": started}, handle)
        handle.flush()
        try:
            yield waited
        except BaseException:
            if is_new:
                _remove(handle, lock)
            raise


def _opened(lock: Path) -> TextIO:
    try:
        return os.fdopen(no_links(lock, os.O_RDWR | os.O_CREAT), "r+", encoding="utf-8")
    except OSError as error:
        raise UsageError(
            f"{lock.parent} cannot be written: {error.strerror}; a study needs a folder it may write"
        ) from None


def _acquire(handle: TextIO, lock: Path, takeover: bool | None, tell: Callable[[str], object]) -> bool:
    """Take the lock; whether that was waited for. Raises UsageError."""
    import fcntl  # POSIX only, like the local executor

    if _locked(handle, fcntl.LOCK_EX):
        return False
    if not (takeover and _taken_over(handle, lock, tell)):
        wait = "wait for it, or stop it first"
        step = wait if takeover is None else f"{wait}: the same command with --takeover does so, and goes on"
        raise UsageError(f"{lock.parent} is in use by {_holder(lock) or 'another process'}; {step}") from None
    return True


def _remove(handle: TextIO, lock: Path) -> None:
    """Remove the lock file while it is held, if it is still there and no other has its name."""
    with contextlib.suppress(OSError):
        if os.path.samestat(os.fstat(handle.fileno()), lock.stat()):
            lock.unlink()


def holder(lock: Path) -> str | None:
    """The process that holds the lock, in words; None if no process does. Changes nothing in the folder."""
    import fcntl

    try:
        with os.fdopen(no_links(lock, os.O_RDONLY), encoding="utf-8") as handle:
            return None if _locked(handle, fcntl.LOCK_SH) else str(_holder(lock) or "another process")
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


def _holder(path: Path) -> _Holder | None:
    try:
        with os.fdopen(no_links(path, os.O_RDONLY), encoding="utf-8") as handle:
            known = json.loads(handle.read(MAX_BYTES))
        return _Holder(int(known["pid"]), str(known["host"]), str(known["started"]))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _taken_over(handle: TextIO, lock: Path, tell: Callable[[str], object]) -> bool:
    """Have the holder end, and take the lock; False if another process took it first. Raises UsageError."""
    who = _holder(lock)
    if who is None:
        raise UsageError(f"--takeover: {lock} does not say which process holds it; find it, for example with `fuser`")
    if who.host != socket.gethostname():
        raise UsageError(
            f"--takeover: {lock.parent} is in use by {who}, and a process can be ended on its own machine alone; "
            f"there, `kill {who.pid}` asks it to stop"
        )
    with _process(who.pid, f"--takeover: {lock.parent} is in use by {who}") as process:
        if not _has_locked(who.pid, handle):
            raise UsageError(
                f"--takeover: {lock.parent} is in use, but process {who.pid}, which {lock.name} names, does not hold "
                "it; nothing was ended: find the process that does, for example with `fuser`"
            )
        tell(f"asking {who} to stop; it has {STOP_SECONDS:.0f} s to end in order")
        _send(process, signal.SIGTERM)
        _send(process, signal.SIGCONT)  # it may be stopped
        if _freed(handle, STOP_SECONDS):
            return True
        if not _has_locked(who.pid, handle):  # another process was quicker
            return False
        tell(f"process {who.pid} did not end, and is killed: what it committed stays")
        _send(process, signal.SIGKILL)
        return _freed(handle, KILL_SECONDS)


@contextlib.contextmanager
def _process(pid: int, sentence: str) -> Iterator[int]:
    """A file descriptor of a process of this user: it names that process even if its number is given to another.

    Raises UsageError, which begins with `sentence`, where that is not possible.
    """
    by_hand = f"stop it yourself: `kill {pid}`"
    if pid == os.getpid():
        raise UsageError(f"{sentence}, which is this process")
    if not hasattr(os, "pidfd_open"):
        raise UsageError(f"{sentence}; taking over needs Linux: {by_hand}")
    try:
        descriptor = os.pidfd_open(pid)
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"{sentence}, which cannot be reached from here ({error}); it may run in a container"
        ) from None
    try:
        if Path(f"/proc/{pid}").stat().st_uid != os.geteuid():
            raise UsageError(f"{sentence}, which is another user's: ask them to stop it")
        yield descriptor
    except FileNotFoundError:
        raise UsageError(f"{sentence}, which has just ended; run the command again") from None
    except PermissionError:
        raise UsageError(f"{sentence}, which may not be looked at: {by_hand}") from None
    finally:
        os.close(descriptor)


def _has_locked(pid: int, handle: TextIO) -> bool:
    """Whether a process has the lock on the very file of this handle. Raises FileNotFoundError where it has ended.

    To have the file open is not enough: so has who only looks at it. Source: proc_pid_fdinfo(5), "lock".
    """
    mine = os.fstat(handle.fileno())
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile
            if os.path.samestat(entry.stat(), mine):
                about = Path(f"/proc/{pid}/fdinfo/{entry.name}").read_text(encoding="utf-8")
                if any(line.startswith("lock:") and " FLOCK " in line for line in about.splitlines()):
                    return True
    return False


def _send(process: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        signal.pidfd_send_signal(process, number)


def _freed(handle: TextIO, seconds: float) -> bool:
    """Wait for the lock, at most so long, and take it."""
    import fcntl

    deadline = time.monotonic() + seconds
    while not _locked(handle, fcntl.LOCK_EX):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True
