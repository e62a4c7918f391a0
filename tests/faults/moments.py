"""The moments of a command at which something may happen: before and after each commit, and each rename of a file."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection

FAULT = "FAULT"  # the environment variable
BALLAST = "ballast"


class Moments:
    """Counts the moments, and does something at the n-th."""

    def __init__(self, number: int, act: Callable[[], object]) -> None:
        """`number` from 1."""
        self._left, self._act = number, act

    def passed(self, *_: Any) -> None:
        """A moment."""
        self._left -= 1
        if self._left == 0:
            self._act()


def kill() -> None:
    """As `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def fill(folder: str) -> None:
    """Fill the disk that `folder` is alone on, with a file there."""
    with (Path(folder) / BALLAST).open("wb", buffering=0) as ballast:
        for piece in (2**20, 2**12, 1):
            with suppress(OSError):
                while ballast.write(b"\0" * piece) == piece:
                    pass


def limit() -> None:
    """As a full disk, where none can be made: no file can grow any more."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))


def arrange() -> None:
    """What the environment asks for: FAULT is 'kill N', 'limit N' or 'fill N FOLDER', N the number of the moment."""
    words = os.environ.pop(FAULT, "").split(" ", 2)
    if len(words) > 1:
        what, number, *folder = words
        acts: dict[str, Callable[[], object]] = {"kill": kill, "limit": limit, "fill": partial(fill, *folder)}
        watch(int(number), acts[what])


def watch(number: int, act: Callable[[], object]) -> None:
    """From now on, do something at the n-th commit or rename of this process."""
    moments = Moments(number, act)
    commit, rename = Connection._commit_impl, os.replace  # what a transaction and every atomic file end with

    def committing(self: Connection) -> None:
        moments.passed()
        commit(self)
        moments.passed()

    def renaming(*arguments: Any, **named: Any) -> None:
        moments.passed()
        rename(*arguments, **named)
        moments.passed()

    def renaming_path(self: Path, target: Path | str) -> Path:
        renaming(self, target)
        return Path(target)

    Connection._commit_impl = committing  # type: ignore[method-assign]
    os.replace = renaming
    Path.replace = renaming_path  # type: ignore[method-assign, assignment]
