"""Commands that take the chosen model out of its study, and use it."""

from __future__ import annotations

from time import monotonic

import typer

from search.cli import examples
from search.cli.common import complain, display, session_of
from search.commands import options as opt

app = typer.Typer()


@app.command(epilog=examples.of("export"))
def export(  # noqa: PLR0917 - Typer makes an option of each
    study: opt.Where = None,
    to: opt.To = None,
    quantize: opt.Quantize = None,
    batch: opt.Batch = None,
    model: opt.Model = None,
    workers: opt.Workers = None,
    as_json: opt.Json = False,
    quiet: opt.Quiet = False,
) -> None:
    """Write the chosen model as one file, preprocessing included, and a card that describes it beside it.

    Trains it first if that was not done yet. A converted model is compared with the study's on its images before it
    is put in its place.
    """
    from reports import card, show
    from search.commands.export import Conversion, export

    session = session_of(workers, quiet=quiet or as_json, started=monotonic())
    done = export(study, to, session, model=model, conversion=Conversion(quantize, batch))
    card.write(done)
    show.exported(done, as_json=as_json)
    for line in show.export_warnings(done):
        complain(line)


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
