"""What every command uses: how progress is shown, how a session is asked for, and how an error is told."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from search.commands.notify import without_addresses
from search.commands.place import Place
from search.text import printable, without_passwords

if TYPE_CHECKING:
    from reports.terminal.display import OnBest, TerminalDisplay
    from search.commands.session import Session


def display(*, quiet: bool = False, on_best: OnBest | None = None) -> TerminalDisplay:
    from reports.terminal.display import TerminalDisplay

    return TerminalDisplay(quiet, on_best)


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
