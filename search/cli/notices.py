"""Notices of `search run` and `search resume`: at the end, at a failure, and at each new best if that is asked for."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from search.cli.common import complain
from search.commands.notify import OPTION, Notices
from search.errors import UsageError

if TYPE_CHECKING:
    from reports.terminal.display import OnBest
    from search.commands.run import RunResult
    from search.results.summary import StudySummary


class News:
    """What is told of one search."""

    def __init__(self, about: Path | None, notices: Notices, *, best: bool) -> None:
        """`about`: the images or the study, as the command names it."""
        self._name = about.resolve().name if about else Path.cwd().name
        self._notices, self._best = notices, best

    @property
    def on_best(self) -> OnBest | None:
        """What tells of a new best; None if that is not asked for."""
        if not self._best:
            return None
        from reports.wording import notice

        return lambda trial, progress: self._notices.send(*notice.new_best(self._name, trial, progress))

    def ended(self, result: RunResult, summary: StudySummary) -> None:
        """Tell how the search ended."""
        from reports.wording import notice

        report, goes_on = result.folder.command("report"), result.resume_command
        said = notice.ended(summary, result.ending, report=report, goes_on=goes_on, problem=result.problem)
        self._notices.send(*said)

    def failed(self, error: Exception) -> None:
        """Tell that it ended with an error."""
        from reports.wording import notice

        self._notices.send(*notice.failed(self._name, str(error) or type(error).__name__))


@contextlib.contextmanager
def news(about: Path | None, urls: Sequence[str], *, best: bool) -> Iterator[News]:
    """A context for one search: an error that leaves it is told; then all notices are sent, or given up with a word."""
    if best and not urls:
        raise UsageError(f"{OPTION}-best says when a notice is sent; {OPTION} URL says where to, so give both")
    notices = Notices(urls)
    told = News(about, notices, best=best)
    try:
        yield told
    except typer.Exit:
        raise
    except Exception as error:
        told.failed(error)
        raise
    finally:
        if wrong := notices.close():
            complain(wrong)
