"""The command `search`: parse, call, print, exit code. Everything heavy is imported inside the commands."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer

from search.cli import examples
from search.cli.about import app as about
from search.cli.common import began, complain, display, session_of
from search.cli.ending import finish, show_dry_run
from search.cli.notices import news
from search.cli.using import app as using
from search.cli.viewers import app as viewers
from search.commands import options as opt
from search.commands.notify import taken_from_environment
from search.commands.place import Place
from search.errors import RunError, UsageError, of_the_system
from search.session.signals import leave_on_signals

if TYPE_CHECKING:
    from typing import Any


app = typer.Typer(
    help="Find the best image classifier that a small data set can support.",
    epilog="Start with: search run PICTURES (a folder with one folder of images a class). Then: search report.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(viewers)
app.add_typer(using)
app.add_typer(about)


@app.callback()
def _common(context: typer.Context, version: opt.Version = False) -> None:  # noqa: ARG001 - it ends the command
    context.obj = taken_from_environment()  # whatever the command is


@app.command(epilog=examples.of("init"))
def init(  # noqa: PLR0913, PLR0917 - Typer makes an option of each
    images: opt.Images,
    directory: opt.Dir = None,
    preset: opt.PresetName = None,
    backbone: opt.Backbones = None,
    warm_start: opt.WarmStart = None,
    image_size: opt.ImageSize = None,
    no_flip: opt.NoFlip = False,
    labels: opt.LabelTable = None,
    label_columns: opt.LabelColumns = None,
    label_pattern: opt.LabelPattern = None,
    classes: opt.Classes = None,
    merge: opt.Merge = None,
    groups: opt.Groups = None,
    no_lock_box: opt.NoLockBox = False,
    as_json: opt.Json = False,
) -> None:
    """Check the images and write a commented study.toml to edit before `search run`."""
    given = dict(locals())
    from reports import show
    from search.commands.request import Settings
    from search.commands.run import init

    shown = display(quiet=as_json)
    folder = init(images[0], Settings.of(given), directory=directory, warm_start=warm_start, display=shown)
    show.made(folder.path, folder.toml, folder.command("run"), as_json=as_json)


@app.command(epilog=examples.of("run"))
def run(  # noqa: PLR0913, PLR0917 - Typer makes an option of each
    context: typer.Context,
    path: opt.StudyOrImages = None,
    trials: opt.Trials = None,
    hours: opt.Hours = None,
    time: opt.Time = None,
    folds: opt.Folds = None,
    epochs: opt.Epochs = None,
    seed: opt.Seed = None,
    workers: opt.Workers = None,
    workers_per_gpu: opt.PerGpu = None,
    fold_limit: opt.FoldLimit = None,
    executor: opt.Executor = None,
    address: opt.Address = None,
    precision: opt.Precision = None,
    xla: opt.Xla = False,
    engine: opt.Engine = None,
    sampler: opt.Sampler = None,
    second_objective: opt.Second = None,
    preset: opt.PresetName = None,
    backbone: opt.Backbones = None,
    model: opt.Model = None,
    warm_start: opt.WarmStart = None,
    image_size: opt.ImageSize = None,
    no_flip: opt.NoFlip = False,
    labels: opt.LabelTable = None,
    label_columns: opt.LabelColumns = None,
    label_pattern: opt.LabelPattern = None,
    classes: opt.Classes = None,
    merge: opt.Merge = None,
    groups: opt.Groups = None,
    no_lock_box: opt.NoLockBox = False,
    nested: opt.Nested = False,
    storage: opt.Storage = None,
    until_flat: opt.UntilFlat = False,
    prefer: opt.Prefer = None,
    max_latency: opt.MaxLatency = None,
    directory: opt.Dir = None,
    log: opt.Log = None,
    dry_run: opt.DryRun = False,
    as_json: opt.Json = False,
    takeover: opt.Takeover = False,
    notify: opt.Notify = None,
    notify_best: opt.NotifyBest = False,
    quiet: opt.Quiet = False,
) -> None:
    """Search: start a study, or continue it. Budgets are totals; Ctrl-C stops, and what was stored stays."""
    given, started = dict(locals()), began()
    from search.commands.request import Settings
    from search.commands.run import run

    first, settings = path[0] if path else None, Settings.of(given)
    named: dict[str, Any] = {"directory": directory, "model": model, "warm_start": warm_start}
    with news(first, (*(notify or ()), *context.obj), best=notify_best) as told:
        session = session_of(
            Place(workers, workers_per_gpu, executor, address),
            quiet=quiet or as_json or dry_run,
            started=started,
            fold_limit=fold_limit,
            takeover=takeover,
            log=log,
            on_best=told.on_best,
        )
        if dry_run:
            show_dry_run(first, settings, session, named, as_json=as_json)
        else:
            finish(run(first, settings, session, **named), told, session, as_json=as_json)


@app.command(epilog=examples.of("resume"))
def resume(  # noqa: PLR0913, PLR0917 - Typer makes an option of each
    context: typer.Context,
    study: opt.Where = None,
    trials: opt.MoreTrials = None,
    hours: opt.MoreHours = None,
    time: opt.Time = None,
    until_flat: opt.UntilFlat = False,
    workers: opt.Workers = None,
    workers_per_gpu: opt.PerGpu = None,
    fold_limit: opt.FoldLimit = None,
    executor: opt.Executor = None,
    address: opt.Address = None,
    model: opt.Model = None,
    log: opt.Log = None,
    as_json: opt.Json = False,
    takeover: opt.Takeover = False,
    notify: opt.Notify = None,
    notify_best: opt.NotifyBest = False,
    quiet: opt.Quiet = False,
) -> None:
    """Continue a study. Refuses if nothing is left to do."""
    given, started = dict(locals()), began()
    from search.commands.request import Settings
    from search.commands.run import resume

    with news(study, (*(notify or ()), *context.obj), best=notify_best) as told:
        session = session_of(
            Place(workers, workers_per_gpu, executor, address),
            quiet=quiet or as_json,
            started=started,
            fold_limit=fold_limit,
            takeover=takeover,
            log=log,
            on_best=told.on_best,
        )
        finish(resume(study, Settings.of(given), session, model=model), told, session, as_json=as_json)


@app.command(epilog=examples.of("check"))
def check(  # noqa: PLR0913, PLR0917 - Typer makes an option of each
    images: opt.Images,
    labels: opt.LabelTable = None,
    label_columns: opt.LabelColumns = None,
    label_pattern: opt.LabelPattern = None,
    classes: opt.Classes = None,
    merge: opt.Merge = None,
    groups: opt.Groups = None,
    folds: opt.Folds = None,
    as_json: opt.Json = False,
    open_it: opt.Open = False,
) -> None:
    """Check the images: files, classes, copies, contradictory labels, groups. Writes IMAGES-check.html."""
    given = dict(locals())
    from reports import show
    from search.commands.check import check
    from search.commands.request import Settings

    result = check(images[0], Settings.of(given), display=display(quiet=as_json))
    show.images(result.findings, result.page, as_json=as_json, open_it=open_it)
    if result.findings.problem:
        raise UsageError(result.findings.problem)


@app.command(epilog=examples.of("diagnose"))
def diagnose(  # noqa: PLR0913, PLR0917 - Typer makes an option of each
    images: opt.Images,
    model: opt.Model = None,
    preset: opt.Diagnosed = None,
    epochs: opt.Epochs = None,
    seed: opt.Seed = None,
    labels: opt.LabelTable = None,
    label_columns: opt.LabelColumns = None,
    label_pattern: opt.LabelPattern = None,
    classes: opt.Classes = None,
    merge: opt.Merge = None,
    groups: opt.Groups = None,
    seconds: opt.Seconds = None,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
    open_it: opt.Open = False,
) -> None:
    """Why does my network not learn? Trains it, and again with one thing changed. Writes IMAGES-diagnose.html."""
    given = dict(locals())
    from reports import show
    from search.commands.diagnose import diagnose
    from search.commands.request import Settings

    shown = display(quiet=as_json)
    result = diagnose(images[0], Settings.of(given), model=model, seconds=seconds, workers=workers, display=shown)
    show.diagnosis(result.diagnosed, result.page, as_json=as_json, open_it=open_it)


def main() -> None:
    """Run the command; a user's mistake becomes one message and exit code 2, never a traceback."""
    with leave_on_signals():
        try:
            app()
        except OSError as error:
            sentence, code = of_the_system(error)
            complain(sentence)
            sys.exit(code)
        except Exception as error:
            from spaces import SpaceError  # imported here, because --help needs neither NumPy nor SQLAlchemy
            from storage import StorageError

            if not isinstance(error, RunError | UsageError | SpaceError | StorageError):
                raise
            complain(str(error))
            sys.exit(1 if isinstance(error, RunError) else 2)


if __name__ == "__main__":
    main()
