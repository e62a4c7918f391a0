"""What runs on a node of a Ray cluster: one worker, supervised there as it would be on the machine of the search."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from search.executors.devices import memory_for_each, visible_gpus
from search.executors.limits import Limits
from search.executors.local import LocalProcesses
from search.executors.parcel import Item, moved, moved_context, writes
from search.jobs import Job, Outcome, WorkerContext
from search.native import installed

COMPARED = ("smallsearch", "tensorflow", "keras", "numpy", "scikit-learn", "pillow")
"""Packages of which a node must have the version of the search, as results depend on them."""
MAX_LOG = 1_000_000  # bytes of a log that come back with a job, the last ones
SWEEPING_SECONDS = 5.0  # for workers that were ended to be gone


@dataclass(frozen=True)
class Answer:
    """What comes back from a node with the outcome of a job."""

    outcome: Outcome
    written: bytes | None  # the content of the file that the job writes; None if it wrote none
    log: bytes  # what was written into the log since the last job
    replaced: tuple[str, ...]  # how workers ended that were replaced there, see `Replaced`


def versions() -> dict[str, str]:
    """What is installed here, of what results depend on."""
    return installed(COMPARED)


class Slot:
    """One worker of a node. Its process imports no TensorFlow: the worker is another one, as everywhere."""

    def __init__(self, session: str, slots: int, fold_limit: float, least: int) -> None:
        """`session`: a name for what all slots of a node share; `slots`: on this node.

        `fold_limit`: see `Limits.whole`; `least`: bytes that a worker may always keep.
        """
        import ray

        self._fetch: Callable[[Any], bytes] = ray.get
        limits = Limits(whole=fold_limit, memory=max(least, memory_for_each(slots)))
        self._executor = LocalProcesses(1, visible_gpus(), limits)
        self._home = Home(session)
        self._own = Path(tempfile.mkdtemp(dir=self._home.path, prefix="slot-"))
        self._log, self._read = self._own / "worker-0.log", 0

    def versions(self) -> dict[str, str]:
        """See the function."""
        return versions()

    def prepare(self, context: WorkerContext, items: Sequence[Item]) -> None:
        """See Executor. `items`: what the context reads."""
        places = {item.path: item.place(self._home.path, self._fetch) for item in items}
        self._executor.prepare(moved_context(context, places, self._home.path / "features"), self._own)

    def do(self, job: Job, items: Sequence[Item], log: str) -> Answer:
        """Do a job. `items`: what it reads; `log`: the name of this slot's log on the machine of the search."""
        places = {item.path: item.place(self._home.path, self._fetch) for item in items}
        target = writes(job)
        out = self._own / f"written{target.suffix if target else ''}"
        outcome = self._executor.submit(moved(job, places, out)).result()
        written = out.read_bytes() if target and out.is_file() else None
        out.unlink(missing_ok=True)
        replaced = tuple(one.how for one in self._executor.replaced())
        return Answer(_renamed(outcome, str(self._log), log), written, self._new_lines(), replaced)

    def _new_lines(self) -> bytes:
        with contextlib.suppress(OSError), self._log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(self._read, size - MAX_LOG))
            self._read = size
            return file.read(MAX_LOG)
        return b""


def _renamed(outcome: Outcome, here: str, there: str) -> Outcome:
    """A failure that names the log of its worker names the one on the machine of the search."""
    from dataclasses import replace

    from search.jobs import Failure

    return replace(outcome, detail=outcome.detail.replace(here, there)) if isinstance(outcome, Failure) else outcome


class Home:
    """The folder of one session on a node, which all its slots share. It is removed once none of them is left."""

    def __init__(self, session: str) -> None:
        self.path = _private() / session
        self._lock = _locked(_lock_of(self.path), fcntl.LOCK_SH)
        self.path.mkdir(exist_ok=True)
        sweep()


def sweep(wait_for: str | None = None) -> None:
    """Remove the folders of sessions of which no slot is left here. `wait_for`: a session that is just ending."""
    root, until = _private(), time.monotonic() + SWEEPING_SECONDS
    while True:
        for lock in root.glob("*.lock"):
            with contextlib.suppress(OSError), _locked(lock, fcntl.LOCK_EX | fcntl.LOCK_NB):
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
        if wait_for is None or not _lock_of(root / wait_for).exists() or time.monotonic() > until:
            return
        time.sleep(0.1)


def _private() -> Path:
    """A folder of this user alone, for temporary files. Raises PermissionError if it is somebody else's."""
    root = Path(tempfile.gettempdir()) / f"smallsearch-{os.getuid()}"
    root.mkdir(mode=0o700, exist_ok=True)
    found = root.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise PermissionError(f"{root} is not a folder of this user alone; remove it, or set TMPDIR")
    return root


def _lock_of(home: Path) -> Path:
    return home.with_name(f"{home.name}.lock")


def _locked(path: Path, how: int) -> IO[bytes]:
    """The lock file, open and locked, as it is under its name. Raises OSError where it is locked otherwise."""
    while True:
        file = path.open("ab")
        try:
            fcntl.flock(file, how)
        except OSError:
            file.close()
            raise
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                return file
        file.close()  # it was removed between the two
