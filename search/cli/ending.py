"""How `search run` and `search resume` end: what is printed and told, and the exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer

from search.cli.common import complain
from search.session.signals import RESUMABLE

if TYPE_CHECKING:
    from pathlib import Path

    from search.cli.notices import News
    from search.commands.request import Settings
    from search.commands.run import RunResult
    from search.commands.session import Session


def show_dry_run(
    path: Path | None, settings: Settings, session: Session, named: dict[str, Any], *, as_json: bool
) -> None:
    """Say what `search run` would do."""
    from reports import show
    from search.commands.dry_run import dry_run

    show.dry_run(dry_run(path, settings, session, **named), as_json=as_json)


def finish(ended: RunResult, told: News, session: Session, *, as_json: bool) -> None:
    """Report on a run, and exit with its code."""
    from reports import show
    from reports.pages import write_both
    from search.commands.log import log_all
    from search.commands.report import pictures_of, summary_of
    from search.results.progress import Ending

    folder = ended.folder
    summary = summary_of(folder)
    write_both(summary, folder.report, pictures_of(folder, summary))
    if as_json:
        show.study_as_json(summary)
    else:
        show.lines(*([ended.nothing_left] if ended.nothing_left else []))
        show.run(summary, folder.report, folder.command("report"))
    told.ended(ended, summary)
    log_all(folder.path, session.log, complain)
    if ended.ending is Ending.STOPPED:
        tell = complain if as_json else show.lines
        tell(f"stopped; what was stored stays. Go on with: {ended.resume_command}")
        raise typer.Exit(RESUMABLE)
    if ended.problem:
        complain(ended.problem)
    if ended.problem or ended.ending is Ending.FAILED:
        raise typer.Exit(1)
