"""The command `search`: parse, call, print, exit code. Everything heavy is imported inside the commands."""

from __future__ import annotations

import errno
import shlex
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from search.options import (
    Dir,
    Engine,
    Epochs,
    Folds,
    Groups,
    Hours,
    Model,
    MoreHours,
    MoreTrials,
    Nested,
    NoFlip,
    NoLockBox,
    PresetName,
    Quiet,
    Sampler,
    Second,
    Seed,
    Trials,
    WarmStart,
    Where,
    Workers,
)

if TYPE_CHECKING:
    from reports.data import ReportData
    from reports.terminal import Output
    from search.config import Config, Try
    from search.study import Prepared

app = typer.Typer(
    help="Find the best image classifier that a small data set can support.",
    epilog="Start with: search run PICTURES (a folder with one folder of images a class). Then: search report.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import PackageNotFoundError, version

        try:
            typer.echo(f"smallsearch {version('smallsearch')}")
        except PackageNotFoundError:
            typer.echo("smallsearch, not installed: run from a checkout")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


PREVIEW = "augmentation.png"


@app.command()
def init(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of images, one folder a class.")],
    directory: Dir = None,
    preset: PresetName = None,
    warm_start: WarmStart = None,
    no_flip: NoFlip = False,
    groups: Groups = None,
    no_lock_box: NoLockBox = False,
) -> None:
    """Check the images and write a commented study.toml to edit before `search run`."""
    from search.words import prepared_in_words

    refused = {"flip": False if no_flip else None, "lock_box": False if no_lock_box else None}
    asked = {"preset": preset, "groups": _groups(groups), **refused}
    folder, config = _new(images, directory, asked)
    prepared = _prepare(config, folder, warm_start=warm_start)
    _make(folder, config, prepared.warm)
    _say(prepared_in_words(prepared))
    _say([f"wrote {folder / 'study.toml'}; `search run {shlex.quote(str(folder))}` starts it"])


@app.command()
def run(
    path: Annotated[
        Path | None, typer.Argument(metavar="STUDY | IMAGES", help="A study folder, or a folder of images.")
    ] = None,
    trials: Trials = None,
    hours: Hours = None,
    folds: Folds = None,
    epochs: Epochs = None,
    seed: Seed = None,
    workers: Workers = None,
    engine: Engine = None,
    sampler: Sampler = None,
    second_objective: Second = None,
    preset: PresetName = None,
    model: Model = None,
    warm_start: WarmStart = None,
    no_flip: NoFlip = False,
    groups: Groups = None,
    no_lock_box: NoLockBox = False,
    nested: Nested = False,
    directory: Dir = None,
    quiet: Quiet = False,
) -> None:
    """Search: start a study, or go on with it. Budgets are totals; Ctrl-C stops, and nothing is lost."""
    from search.study import find_study, is_study

    asked = {
        "trials": trials,
        "hours": hours,
        "folds": folds,
        "training.max_epochs": epochs,
        "seed": seed,
        "engine": engine,
        "sampler": sampler,
        "second_objective": second_objective,
        "preset": preset,
        "flip": False if no_flip else None,
        "groups": _groups(groups),
        "lock_box": False if no_lock_box else None,
        "nested": nested or None,
    }
    changes = {key: value for key, value in asked.items() if value is not None}
    if path is None or (is_study(path) and directory is None):
        _search(find_study(path), changes, workers=workers, quiet=quiet, model=model, warm_start=warm_start)
    else:
        folder, config = _new(path, directory, changes)
        _search(folder, changes, workers=workers, quiet=quiet, new=config, model=model, warm_start=warm_start)


@app.command()
def resume(
    study: Where = None,
    trials: MoreTrials = None,
    hours: MoreHours = None,
    workers: Workers = None,
    model: Model = None,
    quiet: Quiet = False,
) -> None:
    """Go on with a study; refuses where there is nothing to go on with."""
    from search.errors import UsageError
    from search.study import DATABASE, find_study

    folder = find_study(study)
    if not (folder / DATABASE).exists():
        raise UsageError(f"{folder} has not begun, so there is nothing to resume; `search run` starts it")
    changes = {key: value for key, value in {"trials": trials, "hours": hours}.items() if value is not None}
    _search(folder, changes, workers=workers, quiet=quiet, only_unfinished=True, model=model)


@app.command()
def check(
    images: Annotated[Path, typer.Argument(metavar="IMAGES", help="Folder of images, one folder a class.")],
    groups: Groups = None,
    folds: Folds = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead; write no file.")] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Look the images over: files, classes, copies, contradictory labels, groups. Writes IMAGES-check.html."""
    from reports import check as page
    from reports.reading import reading_images
    from search.check import look_over
    from search.errors import UsageError
    from search.study import place_of_new
    from search.words import images_in_words

    target = place_of_new(images, None).with_name(f"{images.resolve().name}-check.html")
    with reading_images(quiet=as_json) as progress:
        read, found = look_over(images, _groups(groups), folds, progress)
    if as_json:
        import json

        _say(json.dumps(page.as_plain(found), indent=2, allow_nan=False).splitlines())
    else:
        page.write(found, target)
        _say([*images_in_words(read), *page.in_lines(found), f"page: {target}"])
        if open_it:
            typer.launch(target.absolute().as_uri())
    if found.problem:
        raise UsageError(found.problem)


@app.command()
def report(
    study: Where = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead; write no file.")] = False,
    open_it: Annotated[bool, typer.Option("--open", help="Open report.html in the browser.")] = False,
) -> None:
    """Show the leaderboard and write report.html into the study folder."""
    from search.errors import UsageError
    from search.study import find_study

    folder = find_study(study)
    data = _report_data(folder)
    if as_json:
        import json

        from reports.plain import as_json as plain

        _say(json.dumps(plain(data), indent=2, allow_nan=False).splitlines())
        return
    from reports.html import write
    from reports.terminal import show

    target = folder / "report.html"
    try:
        write(data, target)
    except OSError as error:
        raise UsageError(f"{target} cannot be written: {error.strerror}; --json needs no file") from None
    out = _output()
    show(data, out)
    out.say("")
    out.say(f"report: {target}")
    if open_it:
        typer.launch(target.absolute().as_uri())


@app.command()
def export(
    study: Where = None,
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE.keras", help="Where to write the model.")] = None,
    model: Model = None,
    workers: Workers = None,
    quiet: Quiet = False,
) -> None:
    """Write the chosen model as one Keras file, made first where it is not made yet; preprocessing is inside."""
    from search.errors import UsageError
    from search.export import check_target, copy_model, has_model
    from search.study import find_study

    folder = find_study(study)
    target = check_target(to)
    if not has_model(folder):
        from reports.live import watching
        from search import config as toml
        from search.run import choose

        prepared = _prepare(toml.read(folder), folder, quiet=quiet, model=model)
        with watching(quiet=quiet) as observer:
            choose(folder, prepared, observer, workers=workers, command=_command())
        if not has_model(folder):
            raise UsageError(f"{folder}: no model could be made; what stood in its way is above")
    copy_model(folder, target)
    _say([f"wrote {target}; try it: search predict {shlex.quote(str(target))} PICTURES"])


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="STUDY | FILE.keras", help="A study, or a model of `export`.")],
    images: Annotated[list[Path], typer.Argument(metavar="IMAGES...", help="Picture files, or folders of them.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV: path, class, a probability for each class.")
    ] = False,
) -> None:
    """Classify pictures with the chosen model. Exit code 1 where a picture could not be read; it is named."""
    from reports.predictions import show_predictions
    from reports.reading import reading_images
    from search.export import model_file
    from search.predict import about, pictures
    from search.predict import predict as ask

    path, files = model_file(model), pictures(images)
    with reading_images(quiet=False) as progress:
        answers = list(ask(path, files, progress))
    show_predictions(about(path).classes, answers, _output(), "json" if as_json else "csv" if as_csv else "lines")
    unread = [answer for answer in answers if answer.problem]
    for answer in unread:
        _complain(f"{answer.path}: {answer.problem}")
    if unread:
        raise typer.Exit(1)


@app.command()
def space(
    which: Annotated[
        str | None, typer.Argument(metavar="PRESET | STUDY", help="A preset or a study folder. Default: here.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the space as JSON.")] = False,
    preview: Annotated[
        Path | None,
        typer.Option(metavar="IMAGES", help=f"Write {PREVIEW} instead: these pictures under every augmentation."),
    ] = None,
    no_flip: NoFlip = False,
) -> None:
    """Show a space as a table: each parameter, its range, default and condition."""
    import json

    from reports.space import show_space

    if preview is not None:
        from reports.reading import reading_images
        from search.images import read_images
        from search.preview import write_preview

        with reading_images(quiet=False) as progress:
            images = read_images(preview, progress=progress)
        write_preview(images, Path(PREVIEW), flip=not no_flip)
        _say([f"wrote {PREVIEW}"])
        return
    name, found = _space_of(which)
    if as_json:
        _say(json.dumps(found.to_json(), indent=2).splitlines())
    else:
        show_space(name, found, _output())


# What the commands share


def _new(images: Path, directory: Path | None, asked: dict[str, Any]) -> tuple[Path, Config]:
    """The folder of a new study and its configuration; nothing is written yet."""
    from search.config import merged, parse
    from search.study import place_of_new

    folder = place_of_new(images, directory)
    changes = {key: value for key, value in asked.items() if value is not None}
    return folder, parse(merged({"images": str(images.resolve())}, changes), "the command line")


def _groups(asked: str | None) -> str | None:
    """A table by its whole path, as a study.toml elsewhere can name it; a pattern as it is."""
    return str(Path(asked).resolve()) if asked and asked.lower().endswith(".csv") else asked


def _make(folder: Path, config: Config, tries: Sequence[Try]) -> None:
    from search.config import FILE, write
    from search.errors import UsageError
    from search.study import make_folder

    if (folder / FILE).exists():
        raise UsageError(f"{folder} is a study already; `search run {folder}` goes on with it")
    make_folder(folder)
    try:
        write(folder, config, tries)
    except OSError as error:
        raise UsageError(
            f"{folder} cannot be written: {error.strerror}; name another study folder with --dir"
        ) from None


def _search(
    folder: Path,
    changes: dict[str, Any],
    *,
    workers: int | None,
    quiet: bool,
    new: Config | None = None,
    only_unfinished: bool = False,
    model: str | None = None,
    warm_start: Path | None = None,
) -> None:
    """Prepare, search under a progress display, report, and leave with the exit code."""
    from reports.live import watching
    from search import config as toml
    from search.errors import UsageError
    from search.nested import cost, done_already
    from search.nested import run as search_run
    from search.proposers import check_sampler
    from search.study import DATABASE, make_folder
    from search.words import prepared_in_words

    if workers is not None and workers < 0:
        raise UsageError(f"--workers: must be at least 0, got {workers}; 0 trains in this process")
    exists = (folder / toml.FILE).is_file()
    if not exists and new is None and (folder / DATABASE).exists():
        raise UsageError(
            f"{folder} has its results, {DATABASE}, but no {toml.FILE}; put a copy back, or have it written anew with: "
            f"search run IMAGES --dir {shlex.quote(str(folder))}"
        )
    if exists and new is not None:
        changes = {**changes, "images": new.images}
    config = toml.read(folder, changes) if exists or new is None else new
    if not quiet:
        _say([f"study: {folder}" + (" (going on)" if (folder / DATABASE).exists() else "")])
    check_sampler(config.chosen_sampler)
    prepared = _prepare(config, folder, quiet=quiet, model=model, warm_start=warm_start)
    if not quiet:
        _say([*prepared_in_words(prepared), *cost(prepared)])
    done = done_already(folder, prepared)
    if done and only_unfinished:
        raise UsageError(f"nothing to resume: {done}")
    if done:
        kept = f"; {toml.FILE} stays as it is" if exists and toml.read(folder) != config else ""
        _say([f"nothing left to do: {done}{kept}"])
        _finish(folder, "finished")
        return
    make_folder(folder)

    def begin() -> None:
        if exists:
            toml.update(folder, changes, prepared.warm)
        else:
            toml.write(folder, config, prepared.warm)

    watch = partial(watching, quiet=quiet)
    ending = search_run(folder, prepared, watch, workers=workers, command=_command(), begin=begin)
    _finish(folder, ending.value)


def _prepare(
    config: Config,
    folder: Path,
    *,
    quiet: bool = False,
    model: str | None = None,
    warm_start: Path | None = None,
) -> Prepared:
    from reports.reading import reading_images
    from search.study import prepare
    from spaces.own import named

    with reading_images(quiet=quiet) as progress:
        return prepare(config, folder, progress, named(model) if model else None, warm_start)


def _finish(folder: Path, ending: str) -> None:
    from reports.html import write
    from reports.terminal import show
    from search.stop import RESUMABLE

    data, out = _report_data(folder), _output()
    write(data, folder / "report.html")
    show(data, out, top=5)
    named = shlex.quote(str(folder))
    out.say("")
    out.say(f"report: {folder / 'report.html'}   (all trials: search report {named})")
    if ending == "stopped":
        out.say(f"stopped; nothing is lost. Go on with: search resume {named}")
        raise typer.Exit(RESUMABLE)
    if ending == "failed":
        raise typer.Exit(1)


def _report_data(folder: Path) -> ReportData:
    from reports.stored import read
    from search.errors import UsageError
    from search.lease import holder
    from search.study import DATABASE, reading

    if not (folder / DATABASE).exists():
        raise UsageError(f"{folder} has not begun, so there is nothing to report; `search run {folder}` starts it")
    with reading(folder) as store:
        return read(store, searching=holder(folder) is not None)


def _space_of(which: str | None) -> tuple[str, Any]:
    from search import config as toml
    from search.errors import UsageError
    from search.study import DATABASE, find_study, reading, stored_space
    from spaces.presets import EXAMPLE, PRESETS, preset

    if which is not None and (which in PRESETS or not Path(which).exists()):
        return which, preset(which).space(EXAMPLE)
    try:
        folder = find_study(Path(which) if which else None)
    except UsageError as error:
        raise UsageError(f"{error}; or name a preset: {', '.join(PRESETS)}") from None
    if (folder / DATABASE).exists():
        with reading(folder) as store:
            return str(folder), stored_space(store)
    config = toml.read(folder)
    return str(folder), _prepare(config, folder).space


def _output() -> Output:
    from reports.terminal import Output

    return Output()


def _say(lines: list[str]) -> None:
    out = _output()
    for line in lines:
        out.say(line)


_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""What the system says where a path was badly chosen, rather than the disk being full or failing."""


def _command() -> str:
    return shlex.join(["search", *sys.argv[1:]])


def _complain(message: str) -> None:
    """On stderr, with whatever a path in it holds that would steer the terminal written out."""
    from search.text import printable

    typer.echo("search: " + "\n".join(map(printable, message.split("\n"))), err=True)


def main() -> None:
    """Run the command; a user's mistake becomes one message and exit code 2, never a traceback."""
    from search.stop import RESUMABLE, Stopped, leave_on_signals

    try:
        with leave_on_signals():
            app()
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        refused = error.errno in _REFUSED
        step = "; check the path and its permissions" if refused else ""
        _complain(f"{where}{error.strerror or error}{step}")
        sys.exit(2 if refused else 1)
    except Stopped:
        _complain("stopped; what is stored is whole, and the same command goes on")
        sys.exit(RESUMABLE)
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
