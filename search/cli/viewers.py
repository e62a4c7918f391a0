"""Commands that show a study: the report, trackers, the dashboard."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from search.cli import examples
from search.cli.common import complain
from search.commands import options as opt
from search.errors import UsageError, writing

if TYPE_CHECKING:
    from search.commands.report import Report

app = typer.Typer()


@app.command(epilog=examples.of("report"))
def report(
    study: opt.Where = None,
    as_json: opt.Json = False,
    labels: opt.Labels = None,
    tables: opt.Tables = False,
    watch_it: opt.Watch = False,
    open_it: opt.Open = False,
) -> None:
    """Say how good the model is and what to do next; write report.html and report.md into the study folder."""
    from reports import labels_csv, show, tables_csv
    from search.commands.report import report

    if watch_it:
        if as_json or tables or labels is not None:
            raise UsageError("--watch writes the page alone; leave out --json, --csv and --labels, or --watch")
        _watch(study, open_it=open_it)
        return
    result = report(study)
    if labels is not None:
        with writing(f"--labels: {labels}", "name a file that can"):
            labels_csv.write(result.summary, labels)
    if tables:
        with writing(f"--csv: {result.folder}", "copy the study to where you may write: `search backup --to FOLDER`"):
            written = tables_csv.write(result.summary, result.folder.path)
    if as_json:
        show.study_as_json(result.summary)
        return
    _write_page(result)
    show.study(result.summary, result.folder.report, open_it=open_it)
    if labels is not None:
        show.lines(f"labels that look wrong: {labels}")
    if tables:
        show.lines(f"tables: {' and '.join(map(str, written))}")


def _watch(study: Path | None, *, open_it: bool) -> None:
    """Write the page whenever there is something new, until the search ends or a signal comes."""
    from reports import show
    from search.commands.report import watch

    for number, result in enumerate(watch(study)):
        page = result.folder.report
        _write_page(result)
        if number == 0:
            show.watching(page, open_it=open_it, last=result.last)
    show.study(result.summary, page, open_it=False)


def _write_page(result: Report) -> None:
    from datetime import datetime

    from reports.pages import write_both

    page = result.folder.report
    watched = "" if result.last else datetime.now().astimezone().strftime("%H:%M:%S")
    with writing(page, "--json needs no file"):
        write_both(result.summary, page, result.pictures(), watched)


@app.command(epilog=examples.of("log"))
def log(to: opt.Tracker, study: opt.Where = None, watch_it: opt.Follow = False, as_json: opt.Json = False) -> None:
    """Write a study into an experiment tracker: trials, folds, curves, parameters, report and model. Nothing twice."""
    from reports import show
    from search.commands.log import follow, log

    if not watch_it:
        show.logged(log(study, to), as_json=as_json)
        return
    if as_json:
        raise UsageError("--watch tells of each writing in a line; leave out --json, or --watch")
    for logged in follow(study, to, complain):
        show.logged(logged, as_json=False)


@app.command(epilog=examples.of("dashboard"))
def dashboard(study: opt.Where = None, port: opt.Port = None, open_it: opt.Open = False) -> None:
    """Show a study in optuna-dashboard, also while it is searched. Read-only, on this machine alone. Ctrl-C ends."""
    from reports import show
    from search.commands.dashboard import serving

    with serving(study, port) as served:
        show.lines(f"dashboard; Ctrl-C ends: {served.address}")
        if open_it:
            typer.launch(served.address)
        served.until_stopped()
