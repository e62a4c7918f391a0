"""Atomic writing of files, and opening them without following links."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

NEW_SECONDS = 60.0  # a temporary folder without a lock may be one that another process makes just now


def write_atomically(path: Path, text: str) -> None:
    """Write a file as UTF-8, whole or not at all. See `replacing`."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path`, with the same suffix, that is to be written and then takes its name.

    A reader sees either the old file or the complete new one, also after a full disk, a kill or a power loss. If the
    block or the disk fails, the old file stays and the partial file is removed. A link at `path` is replaced, not
    followed. The new file has default permissions. Raises OSError.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        partial.unlink(missing_ok=True)  # in a study folder from a stranger it could be a link to any file
        yield partial
        _flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def sweep_partial(path: Path) -> None:
    """Remove the partial files of `replacing(path)` in processes that were killed."""
    for partial in path.parent.glob(f".{path.stem}.*{path.suffix}"):
        number = partial.name.removeprefix(f".{path.stem}.").removesuffix(path.suffix)
        if number.isdecimal() and not _is_alive(int(number)):
            partial.unlink(missing_ok=True)


@contextlib.contextmanager
def temporary_folder(prefix: str) -> Iterator[Path]:
    """A new temporary folder, removed at the end; first those of this prefix that killed processes have left are.

    A lock on it says that it is in use, which the system frees when the process dies. Raises OSError.
    """
    import fcntl  # POSIX only

    _sweep_folders(prefix)
    with tempfile.TemporaryDirectory(prefix=prefix) as name, _opened_folder(Path(name)) as descriptor:
        with contextlib.suppress(OSError):  # a file system without locks, of which nothing is swept either
            fcntl.flock(descriptor, fcntl.LOCK_SH)
        yield Path(name)


def _sweep_folders(prefix: str) -> None:
    import fcntl

    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        with contextlib.suppress(OSError), _opened_folder(folder) as descriptor:  # in use, another's, or just removed
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            known = os.fstat(descriptor)
            if known.st_uid == os.getuid() and time.time() - known.st_mtime > NEW_SECONDS:
                shutil.rmtree(folder)


@contextlib.contextmanager
def _opened_folder(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _flush(path: Path) -> None:
    """Write it to the disk: a file system may otherwise rename first, and a power loss would leave an empty file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def no_links(path: str | Path, flags: int) -> int:
    """An opener that refuses a symbolic link: in a study folder from a stranger it could point to any file."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)
