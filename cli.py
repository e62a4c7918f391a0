"""The command `search`: parse, call, print, exit code. Everything heavy is imported inside the commands."""

from __future__ import annotations

import errno
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from search.commands import options as opt

if TYPE_CHECKING:
    from reports.terminal.output import Output
    from search.commands.request import Request
    from search.results.summary import StudySummary
    from search.study.config import Config
    from search.study.folder import StudyFolder
    from search.study.prepared import Prepared
    from spaces.custom.file import ModelFile

app = typer.Typer(
    help="Find the best image classifier that a small data set can support.",
    epilog="Start with: search run PICTURES (a folder with one folder of images a class). Then: search report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _common(version: opt.Version = False) -> None:
    pass


@app.command()
def init(
    images: opt.Images,
    directory: opt.Dir = None,
    preset: opt.PresetName = None,
    warm_start: opt.WarmStart = None,
    no_flip: opt.NoFlip = False,
    groups: opt.Groups = None,
    no_lock_box: opt.NoLockBox = False,
) -> None:
    """Check the images and write a commented study.toml to edit before `search run`."""
    from search.commands.request import search_of, whole_path
    from search.errors import UsageError

    refused = {"flip": False if no_flip else None, "lock_box": False if no_lock_box else None}
    asked = {"preset": preset, "groups": whole_path(groups), **refused}
    request = search_of(images, directory, asked)
    folder, named = request.folder, shlex.quote(str(request.folder))
    if request.written:
        raise UsageError(f"{folder} is a study already; `search run {named}` goes on with it")
    prepared = _prepare(request.config, folder, warm_start=warm_start)
    folder.make()
    request.write(prepared.warm)
    _say([*_prepared_in_words(prepared), f"wrote {folder.toml}; `search run {named}` starts it"])


@app.command()
def run(
    path: opt.StudyOrImages = None,
    trials: opt.Trials = None,
    hours: opt.Hours = None,
    folds: opt.Folds = None,
    epochs: opt.Epochs = None,
    seed: opt.Seed = None,
    workers: opt.Workers = None,
    workers_per_gpu: opt.PerGpu = None,
    precision: opt.Precision = None,
    xla: opt.Xla = False,
    engine: opt.Engine = None,
    sampler: opt.Sampler = None,
    second_objective: opt.Second = None,
    preset: opt.PresetName = None,
    model: opt.Model = None,
    warm_start: opt.WarmStart = None,
    no_flip: opt.NoFlip = False,
    groups: opt.Groups = None,
    no_lock_box: opt.NoLockBox = False,
    nested: opt.Nested = False,
    directory: opt.Dir = None,
    quiet: opt.Quiet = False,
) -> None:
    """Search: start a study, or go on with it. Budgets are totals; Ctrl-C stops, and nothing is lost."""
    from search.commands.options import workers_asked
    from search.commands.request import builder, search_of, whole_path

    asked = {
        "trials": trials,
        "hours": hours,
        "folds": folds,
        "training.max_epochs": epochs,
        "training.precision": precision,
        "training.xla": xla or None,
        "seed": seed,
        "engine": engine,
        "sampler": sampler,
        "second_objective": second_objective,
        "preset": preset,
        "flip": False if no_flip else None,
        "groups": whole_path(groups),
        "lock_box": False if no_lock_box else None,
        "nested": nested or None,
    }
    count, own = workers_asked(workers, workers_per_gpu), builder(model, preset)
    _search(search_of(path, directory, asked), workers=count, quiet=quiet, model=own, warm_start=warm_start)


@app.command()
def resume(
    study: opt.Where = None,
    trials: opt.MoreTrials = None,
    hours: opt.MoreHours = None,
    workers: opt.Workers = None,
    workers_per_gpu: opt.PerGpu = None,
    model: opt.Model = None,
    quiet: opt.Quiet = False,
) -> None:
    """Go on with a study; refuses where there is nothing to go on with."""
    from search.commands.options import workers_asked
    from search.commands.request import builder, going_on
    from search.errors import UsageError
    from search.study.folder import StudyFolder

    request = going_on(StudyFolder.find(study), {"trials": trials, "hours": hours})
    if not request.begun:
        raise UsageError(f"{request.folder} has not begun, so there is nothing to resume; `search run` starts it")
    count = workers_asked(workers, workers_per_gpu)
    _search(request, workers=count, quiet=quiet, only_unfinished=True, model=builder(model, None))


@app.command()
def check(
    images: opt.Images,
    groups: opt.Groups = None,
    folds: opt.Folds = None,
    as_json: opt.Json = False,
    open_it: opt.Open = False,
) -> None:
    """Look the images over: files, classes, copies, contradictory labels, groups. Writes IMAGES-check.html."""
    from reports.as_json import images_as_json
    from reports.html.images import write
    from reports.terminal.images import images_in_words, in_lines
    from reports.terminal.progress_bar import reading_images
    from search.commands.check import look_over
    from search.commands.request import whole_path
    from search.errors import UsageError
    from search.study.folder import StudyFolder

    target = StudyFolder.new(images, None).path.with_name(f"{images.resolve().name}-check.html")
    with reading_images(quiet=as_json) as progress:
        _, found = look_over(images, whole_path(groups), folds, progress)
    if as_json:
        _print_json(images_as_json(found))
    else:
        write(found, target)
        _say([*images_in_words(found), *in_lines(found), f"page: {target}"])
        if open_it:
            typer.launch(target.absolute().as_uri())
    if found.problem:
        raise UsageError(found.problem)


@app.command()
def diagnose(
    images: opt.Images,
    model: opt.Model = None,
    preset: opt.Diagnosed = None,
    epochs: opt.Epochs = None,
    seed: opt.Seed = None,
    groups: opt.Groups = None,
    seconds: opt.Seconds = None,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
    open_it: opt.Open = False,
) -> None:
    """Why does my network not learn? Trains it, and again with one thing changed. Writes IMAGES-diagnose.html."""
    from reports.as_json import diagnosis_as_json
    from reports.html.diagnosis import write
    from reports.terminal.diagnosis import in_lines
    from reports.terminal.progress_bar import reading_images, training
    from search.commands import diagnose
    from search.commands.request import builder, whole_path
    from search.session import diagnose as work
    from search.study.folder import StudyFolder

    target = StudyFolder.new(images, None).path.with_name(f"{images.resolve().name}-diagnose.html")
    own, named = builder(model, preset), preset or "question"
    with reading_images(quiet=as_json) as progress:
        asked = diagnose.prepared(
            images,
            preset=named,
            model=own,
            epochs=epochs,
            seed=seed,
            groups=whole_path(groups),
            reading=progress,
        )
    with training(quiet=as_json) as watched:
        case = work.diagnose(asked, workers=workers, seconds=seconds, watched=watched)
    if as_json:
        _print_json(diagnosis_as_json(case))
        return
    write(case, target)
    _say([*in_lines(case), f"page: {target}"])
    if open_it:
        typer.launch(target.absolute().as_uri())


@app.command()
def report(study: opt.Where = None, as_json: opt.Json = False, open_it: opt.Open = False) -> None:
    """Show the leaderboard and write report.html into the study folder."""
    from search.errors import UsageError
    from search.study.folder import StudyFolder

    folder = StudyFolder.find(study)
    data = _report_data(folder)
    if as_json:
        from reports.as_json import as_json as plain

        _print_json(plain(data))
        return
    from reports.html.study import write
    from reports.terminal.study import show

    target = folder.report
    try:
        write(data, target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}; --json needs no file") from None
    show(data, _output())
    _say(["", f"report: {target}"])
    if open_it:
        typer.launch(target.absolute().as_uri())


@app.command()
def export(
    study: opt.Where = None,
    to: opt.To = None,
    model: opt.Model = None,
    workers: opt.Workers = None,
    quiet: opt.Quiet = False,
) -> None:
    """Write the chosen model as one Keras file, made first where it is not made yet; preprocessing is inside."""
    from search.commands.request import builder
    from search.errors import UsageError
    from search.export.model import check_target, copy_model, has_model
    from search.study.folder import StudyFolder

    folder, own = StudyFolder.find(study), builder(model, None)
    target = check_target(to)
    if not has_model(folder):
        from reports.terminal.live import watching
        from search.executors.factory import open_executor
        from search.session.run import finish_only
        from search.session.signals import Stopped
        from search.study import config as toml

        with open_executor(workers) as executor:
            prepared = _prepare(toml.read(folder.path), folder, quiet=quiet, model=own)
            with watching(quiet=quiet) as observer:
                ending = finish_only(folder, prepared, observer, executor=executor, command=_command())
        if ending.value == "stopped":
            raise Stopped
        if not has_model(folder):
            raise UsageError(f"{folder}: no model could be made; what stood in its way is above")
    copy_model(folder, target)
    _say([f"wrote {target}; try it: search predict {shlex.quote(str(target))} PICTURES"])


@app.command()
def predict(model: opt.StudyOrModel, images: opt.Pictures, as_json: opt.Json = False, as_csv: opt.Csv = False) -> None:
    """Classify pictures with the chosen model. Exit code 1 where a picture could not be read; it is named."""
    from reports.terminal.predictions import show_predictions
    from reports.terminal.progress_bar import reading_images
    from search.export.model import model_file, stale
    from search.export.predict import list_inputs
    from search.export.predict import predict as ask
    from search.manifest import about

    path, files = model_file(model), list_inputs(images)
    if older := stale(model):
        _complain(older)
    with reading_images(quiet=False) as progress:
        answers = list(ask(path, files, progress))
    show_predictions(about(path).classes, answers, _output(), "json" if as_json else "csv" if as_csv else "lines")
    strays = [answer.path for answer in answers if answer.stray]
    if strays:
        more = f", … and {len(strays) - 3} more" if len(strays) > 3 else ""
        _complain(f"passed over, no pictures: {', '.join(strays[:3])}{more}")
    unread = [answer for answer in answers if answer.problem and not answer.stray]
    for answer in unread:
        _complain(f"{answer.path}: {answer.problem}")
    if unread:
        raise typer.Exit(1)


@app.command()
def space(
    which: opt.PresetOrStudy = None, as_json: opt.Json = False, preview: opt.Preview = None, no_flip: opt.NoFlip = False
) -> None:
    """Show a space as a table: each parameter, its range, default and condition."""
    from reports.terminal.progress_bar import reading_images
    from reports.terminal.space import show_space
    from search.commands.space import space_of
    from search.data.images import read_images
    from search.worker.preview import write_preview

    with reading_images(quiet=False) as progress:
        if preview is not None:
            images = read_images(preview, progress=progress)
            training = ~images.testing
            pixels, labels = images.pixels[training], images.labels[training]
            write_preview(pixels, labels, Path(opt.PREVIEW), flip=not no_flip)
        else:
            name, found = space_of(which, progress)
    if preview is not None:
        _say([f"wrote {opt.PREVIEW}"])
    elif as_json:
        _print_json(found.to_json())
    else:
        show_space(name, found, _output())


# What the commands share


def _search(
    request: Request,
    *,
    workers: int | None,
    quiet: bool,
    only_unfinished: bool = False,
    model: ModelFile | None = None,
    warm_start: Path | None = None,
) -> None:
    """Prepare, search under a progress display, report, and leave with the exit code."""
    from reports.terminal.live import watching
    from search.errors import UsageError
    from search.executors.factory import open_executor
    from search.results.progress import Ending
    from search.samplers.catalog import check_sampler
    from search.session.nested import cost, done_already
    from search.session.nested import run as search_run

    folder, config = request.folder, request.config
    if not quiet:
        _say([f"study: {folder}" + (" (going on)" if request.begun else "")])
    check_sampler(config.chosen_sampler)
    folder.check()
    with open_executor(workers) as executor:
        prepared = _prepare(config, folder, quiet=quiet, model=model, warm_start=warm_start)
        if not quiet:
            _say([*_prepared_in_words(prepared), *cost(prepared)])
        done = done_already(folder, prepared)
        if done and only_unfinished:
            raise UsageError(f"nothing to resume: {done}")
        if done:
            _say([f"nothing left to do: {done}" + ("; study.toml stays as it is" if request.changed else "")])
            ending = Ending.FINISHED
        else:
            folder.make()
            watch, begin = partial(watching, quiet=quiet), partial(request.write, prepared.warm)
            ending = search_run(folder, prepared, watch, executor=executor, command=_command(), begin=begin)
    _finish(folder, ending.value)


def _prepare(
    config: Config,
    folder: StudyFolder,
    *,
    quiet: bool = False,
    model: ModelFile | None = None,
    warm_start: Path | None = None,
) -> Prepared:
    from reports.terminal.progress_bar import reading_images
    from search.session.prepare import prepare

    with reading_images(quiet=quiet) as progress:
        return prepare(config, folder.path, progress, model, warm_start)


def _prepared_in_words(prepared: Prepared) -> list[str]:
    """What was read and decided, in lines; each thing left out by name."""
    from reports.terminal.images import images_in_words
    from search.data.check import findings

    found = findings(prepared.images, prepared.checked, prepared.config.images)
    return [*images_in_words(found), *prepared.remarks]


def _finish(folder: StudyFolder, ending: str) -> None:
    from reports.html.study import write
    from reports.terminal.study import show
    from search.session.budget import without_result
    from search.session.signals import RESUMABLE

    data, named = _report_data(folder), shlex.quote(str(folder))
    write(data, folder.report)
    show(data, _output(), top=5)
    _say(["", f"report: {folder.report}   (all trials: search report {named})"])
    if ending == "stopped":
        _say([f"stopped; nothing is lost. Go on with: search resume {named}"])
        raise typer.Exit(RESUMABLE)
    if ending == "failed":
        raise typer.Exit(1)
    if why := without_result(folder):
        _complain(why)
        raise typer.Exit(1)


def _report_data(folder: StudyFolder) -> StudySummary:
    from search.errors import UsageError
    from search.results.read import read
    from search.study.lease import holder

    if not folder.begun:
        raise UsageError(f"{folder} has not begun, so there is nothing to report; `search run {folder}` starts it")
    with folder.read() as store:
        return read(store, searching=holder(folder.lock) is not None, outdated=folder.model_is_outdated)


def _output() -> Output:
    from reports.terminal.output import Output

    return Output()


def _say(lines: Sequence[str]) -> None:
    out = _output()
    for line in lines:
        out.say(line)


def _print_json(data: object) -> None:
    import json

    _say(json.dumps(data, indent=2, allow_nan=False).splitlines())


def _command() -> str:
    return shlex.join(["search", *sys.argv[1:]])


_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""What the system says where a path was badly chosen, rather than the disk being full or failing."""


def _complain(message: str) -> None:
    """On stderr, with whatever a path in it holds that would steer the terminal written out."""
    from search.text import printable

    typer.echo("search: " + "\n".join(map(printable, message.split("\n"))), err=True)


def main() -> None:
    """Run the command; a user's mistake becomes one message and exit code 2, never a traceback."""
    from search.session.signals import RESUMABLE, Stopped, leave_on_signals

    try:
        with leave_on_signals():
            app()
    except Stopped:
        _complain("stopped; what is stored is whole, and the same command may be given again")
        sys.exit(RESUMABLE)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        refused = error.errno in _REFUSED
        step = "; check the path and its permissions" if refused else ""
        _complain(f"{where}{error.strerror or error}{step}")
        sys.exit(2 if refused else 1)
    except Exception as error:
        from search.errors import RunError, UsageError  # here, since --help needs neither NumPy nor SQLAlchemy
        from spaces import SpaceError
        from storage import StorageError

        if not isinstance(error, RunError | UsageError | SpaceError | StorageError):
            raise
        _complain(str(error))
        sys.exit(1 if isinstance(error, RunError) else 2)


if __name__ == "__main__":
    main()
