"""What every command uses: how progress is shown, how a session is asked for, and how an error is told."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import typer

from search.text import printable, without_passwords

if TYPE_CHECKING:
    from collections.abc import Sequence

    from reports.terminal.display import TerminalDisplay
    from search.commands.session import Session


def display(*, quiet: bool = False) -> TerminalDisplay:
    from reports.terminal.display import TerminalDisplay

    return TerminalDisplay(quiet)


def session_of(
    workers: int | None,
    *,
    quiet: bool,
    started: float,
    fold_limit: float | None = None,
    log: Sequence[str] | None = None,
) -> Session:
    from search.commands.session import Session

    typed = without_passwords(shlex.join(["search", *sys.argv[1:]]))
    return Session(display(quiet=quiet), typed, workers, fold_limit, started, tuple(log or ()))


def complain(message: str) -> None:
    """Print a message on stderr, with control characters escaped: it may contain the name of any file.

    A password in a URL is masked, wherever it comes from.
    """
    typer.echo("search: " + "\n".join(map(printable, without_passwords(message).split("\n"))), err=True)
