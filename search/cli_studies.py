"""Commands about studies that have begun; `cli.py` has those that make and use them. Parse, call, print, exit code."""

from __future__ import annotations

from pathlib import Path

import typer

from search.commands import options as opt

app = typer.Typer()


@app.command()
def backup(study: opt.Where = None, to: opt.BackupTo = None) -> None:
    """Copy a study, even while it is searched: settings, results and model. The copy is a study itself."""
    from reports import show
    from search.commands.backup import backup

    copy = backup(study, to)
    show.lines(f"wrote {copy}; `{copy.command('report')}` shows it, and `{copy.command('resume')}` goes on with it")


@app.command()
def verify(study: opt.Where = None, as_json: opt.Json = False) -> None:
    """Check all that a study stores: every page, array, number and seed, and the model's file. Exit code 1 if not."""
    from reports import show
    from search.commands.backup import verify

    folder, checks = verify(study)
    show.verified(str(folder), checks, as_json=as_json)
    if any(check.problems for check in checks):
        raise typer.Exit(1)


@app.command()
def compare(studies: opt.Studies, as_json: opt.Json = False) -> None:
    """Show studies side by side, and whether the choice of each is better than that of the first."""
    from reports import show
    from search.commands.compare import compare

    show.comparison(compare(studies), as_json=as_json)


@app.command("list")
def list_(below: opt.Below = Path(), as_json: opt.Json = False) -> None:
    """List the studies below a folder: pictures, trials, best score, time, and whether one is running."""
    from reports import show
    from search.commands.list_studies import list_studies

    show.studies(list_studies(below), as_json=as_json)


@app.command()
def env(as_json: opt.Json = False) -> None:
    """Say what is here: versions, processors, GPUs and why one is not used, pre-trained networks, extras."""
    from reports import show
    from search.commands.env import env

    show.environment(env(), as_json=as_json)
