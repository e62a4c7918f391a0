"""Commands about studies, spaces and this machine; `cli.py` makes a study, `using.py` uses its model."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import typer

from search.cli import examples
from search.cli.common import complain, display, session_of
from search.commands import options as opt
from search.session.signals import RESUMABLE
from search.text import command_line

app = typer.Typer()


@app.command(epilog=examples.of("explain"))
def explain(  # noqa: PLR0913, PLR0917 - Typer makes an option of each
    study: opt.Where = None,
    start: opt.From = None,
    goal: opt.Goal = None,
    trials: opt.Points = None,
    time: opt.ExplainTime = None,
    workers: opt.Workers = None,
    model: opt.Model = None,
    takeover: opt.Takeover = False,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
    open_it: opt.Open = False,
) -> None:
    """Which changes made the difference? Trains what lies between your starting point and the saved model."""
    started = monotonic()
    from reports import show
    from reports.pages import write_both
    from search.commands.explain import explain
    from search.commands.report import pictures_of, summary_of
    from search.results.progress import Ending

    session = session_of(workers, quiet=quiet or as_json, started=started, takeover=takeover)
    result = explain(study, session, start=start, goal=goal, trials=trials, seconds=time, model=model)
    summary = summary_of(result.folder)
    write_both(summary, result.folder.report, pictures_of(result.folder, summary))
    show.explanation(result.explanation, result.folder.report, as_json=as_json, open_it=open_it)
    if result.ending is Ending.STOPPED:
        complain(f"stopped; what was stored stays. Go on with: {result.resume_command}")
        raise typer.Exit(RESUMABLE)


@app.command(epilog=examples.of("backup"))
def backup(study: opt.Where = None, to: opt.BackupTo = None, as_json: opt.Json = False) -> None:
    """Copy a study, even while it is searched: settings, results and model. The copy is a study itself."""
    from reports import show
    from search.commands.backup import backup

    copy = backup(study, to, tell=complain if as_json else show.lines)
    show.backed_up(copy.path, copy.command("report"), copy.command("resume"), as_json=as_json)


@app.command(epilog=examples.of("copy"))
def copy(source: opt.CopyFrom, target: opt.CopyTo, quiet: opt.Quiet = False) -> None:
    """Copy a study between folders and PostgreSQL servers, and compare both sides. Again, it finishes a copy."""
    from reports import show
    from search.commands.copy import copy

    with display(quiet=quiet).copying() as tell:
        copied = copy(source, target, tell=tell, note=show.lines)
    show.copied(copied)


@app.command(epilog=examples.of("verify"))
def verify(study: opt.Where = None, as_json: opt.Json = False) -> None:
    """Check all that a study stores: every page, array, number and seed, and the model's file. Exit code 1 if not."""
    from reports import show
    from search.commands.backup import verify

    folder, checks = verify(study)
    show.verified(str(folder), checks, as_json=as_json)
    if any(check.problems for check in checks):
        raise typer.Exit(1)


@app.command(epilog=examples.of("compare"))
def compare(studies: opt.Studies, as_json: opt.Json = False) -> None:
    """Show studies side by side, and whether the choice of each is better than that of the first."""
    from reports import show
    from search.commands.compare import compare

    show.comparison(compare(studies), as_json=as_json)


@app.command("list", epilog=examples.of("list"))
def list_(below: opt.Below = ".", as_json: opt.Json = False) -> None:
    """List the studies below a folder, or on a server: pictures, trials, best score, time, and which are running."""
    from reports import show
    from search.commands.list_studies import list_studies

    show.studies(list_studies(below), as_json=as_json)


@app.command(epilog=examples.of("sweep"))
def sweep(
    file: opt.SweepPath, workers: opt.Workers = None, as_json: opt.Json = False, quiet: opt.Quiet = False
) -> None:
    """Search data sets x presets x seeds one after another, and show one table of them. Again, it goes on."""
    started = monotonic()
    from reports import show
    from reports.pages import write_both
    from search.commands.report import pictures_of
    from search.commands.sweep import sweep

    result = sweep(
        file,
        session_of(workers, quiet=quiet or as_json, started=started),
        each=lambda folder, summary: write_both(summary, folder.report, pictures_of(folder, summary)),
    )
    show.swept(result.sweep, as_json=as_json)
    if result.stopped:
        complain(f"stopped; what was stored stays. Go on with: {command_line('sweep', file)}")
        raise typer.Exit(RESUMABLE)
    if result.failed:
        raise typer.Exit(1)


@app.command(epilog=examples.of("env"))
def env(as_json: opt.Json = False) -> None:
    """Say what is here: versions, processors, GPUs and why one is not used, pre-trained networks, extras."""
    from reports import show
    from search.commands.env import env

    show.environment(env(), as_json=as_json)


@app.command(epilog=examples.of("space"))
def space(
    which: opt.PresetOrStudy = None, as_json: opt.Json = False, preview: opt.Preview = None, no_flip: opt.NoFlip = False
) -> None:
    """Show a space as a table: each parameter, its range, default and condition."""
    from reports import show
    from search.commands import space

    if preview is not None:
        space.preview(preview, Path(opt.PREVIEW), flip=not no_flip, display=display())
        show.lines(f"wrote {opt.PREVIEW}")
    else:
        show.space(*space.space_of(which, display=display()), as_json=as_json)


@app.command(epilog=examples.of("backbones"))
def backbones(as_json: opt.Json = False) -> None:
    """List the pre-trained networks that are at hand, how long an image takes, and how to get the others."""
    from reports import show
    from search.commands.backbones import backbones

    show.backbones(backbones(display=display(quiet=as_json)), as_json=as_json)
