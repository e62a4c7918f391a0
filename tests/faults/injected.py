"""`search …` with a fault at the n-th moment: `python -m tests.faults.injected FAULT N search arguments…`.

A moment is before or after a commit of the database or a rename of a file, in the process of the command. `kill`: this
process gets SIGKILL there. `full`: from there on no file can grow, as on a full disk.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import Connection


class Moments:
    """Counts the moments, and does something at the n-th."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
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


def fill() -> None:
    """From now on no file of this process, or of those that it starts, can grow beyond what it has now."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))


FAULTS = {"kill": kill, "full": fill}


def watch(moments: Moments) -> None:
    """Let `moments` see every commit and every rename."""
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


if __name__ == "__main__":
    fault, number, *command = sys.argv[1:]
    watch(Moments(int(number), FAULTS[fault]))
    sys.argv = ["search", *command]
    import cli

    cli.main()
