"""Commands that take the chosen model out of its study, and use it."""

from __future__ import annotations

from time import monotonic

import typer

from search.cli import examples
from search.cli.common import complain, display, session_of
from search.commands import options as opt
from search.text import command_line

app = typer.Typer()


@app.command(epilog=examples.of("export"))
def export(
    study: opt.Where = None,
    to: opt.To = None,
    model: opt.Model = None,
    workers: opt.Workers = None,
    quiet: opt.Quiet = False,
) -> None:
    """Write the chosen model as one Keras file, preprocessing included. Trains it first if that was not done yet."""
    from reports import show
    from search.commands.export import export

    done = export(study, to, session_of(workers, quiet=quiet, started=monotonic()), model=model)
    show.exported(done.path, done.about.image_shape, done.about.classes, command_line("predict", done.path, "PICTURES"))


@app.command(epilog=examples.of("predict"))
def predict(
    model: opt.StudyOrModel,
    images: opt.Pictures,
    unknown: opt.Unknown = False,
    as_json: opt.Json = False,
    as_csv: opt.Csv = False,
) -> None:
    """Classify pictures with the chosen model. Exit code 1 if a picture could not be read; it is named."""
    from reports import show
    from search.commands.export import predict

    result = predict(model, images, display=display(), unknown=unknown)
    if result.warning:
        complain(result.warning)
    show.predictions(result.classes, result.answers, "json" if as_json else "csv" if as_csv else "lines")
    for line in show.not_predicted(result.answers):
        complain(line)
    if result.unread:
        raise typer.Exit(1)
