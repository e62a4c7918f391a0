"""Files: written whole or not at all, opened without following links."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def write_atomically(path: Path, text: str) -> None:
    """Write a file as UTF-8, whole or not at all. See `replacing`."""
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8", newline="\n")


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path`, with the same suffix, that is to be written and then takes its name.

    Whoever reads sees the old file or the new one, whole, after a full disk, a kill or a power loss too. Where the
    block or the disk fails, the old file stays and nothing is left beside it. A link at `path` is replaced, not
    followed. The new file has the permissions that any new file has. Raises OSError.
    """
    partial = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        partial.unlink(missing_ok=True)  # in a study folder from elsewhere it may be a link to any file
        yield partial
        _flush(partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Onto the disk: a file system may else rename first, and a power loss then leaves an empty file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def no_links(path: str | Path, flags: int) -> int:
    """An opener that refuses a symbolic link: in a study folder from elsewhere it may lead to any file."""
    return os.open(path, flags | os.O_NOFOLLOW, 0o666)
