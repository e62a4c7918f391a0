"""What every command uses: how progress is shown, how a session is asked for, and how an error is told."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from search.commands.notify import without_addresses
from search.commands.place import Place
from search.text import printable, without_passwords

if TYPE_CHECKING:
    from reports.terminal.display import OnBest, TerminalDisplay
    from search.commands.session import Session


STARTED = 19  # place in /proc/PID/stat after the name: clock ticks since boot, see proc_pid_stat(5)
MAX_IMPORTING = 60.0  # seconds; a process that seems older is on a system that does not tell

process_began: float | None = None


def display(*, quiet: bool = False, on_best: OnBest | None = None) -> TerminalDisplay:
    from reports.terminal.display import TerminalDisplay

    return TerminalDisplay(quiet, on_best)


def began() -> float:
    """When this command began, on the monotonic clock: with its process, where that is this command alone."""
    return time.monotonic() if process_began is None else process_began


def note_process() -> None:
    """Note that this process is one command, so that importing it counts too."""
    global process_began  # noqa: PLW0603 - there is one process
    try:
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[STARTED]) / os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, LookupError, ValueError):
        age = 0.0
    process_began = time.monotonic() - (age if 0 <= age <= MAX_IMPORTING else 0.0)


def session_of(
    workers: int | Place | None,
    *,
    quiet: bool,
    started: float,
    fold_limit: float | None = None,
    takeover: bool | None = None,
    log: Sequence[str] | None = None,
    on_best: OnBest | None = None,
) -> Session:
    """`workers`: a number on this machine, or where they are; `on_best`: see `News.on_best`."""
    from search.commands.session import Session

    here, cluster = workers.chosen if isinstance(workers, Place) else (workers, None)
    typed = without_passwords(shlex.join(["search", *without_addresses(sys.argv[1:])]))
    return Session(
        display(quiet=quiet, on_best=on_best),
        typed,
        here,
        fold_limit,
        started,
        takeover=takeover,
        log=tuple(log or ()),
        cluster=cluster,
    )


def complain(message: str) -> None:
    """Print a message on stderr, with control characters escaped: it may contain the name of any file.

    A password in a URL is masked, wherever it comes from.
    """
    typer.echo("search: " + "\n".join(map(printable, without_passwords(message).split("\n"))), err=True)
