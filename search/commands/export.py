"""`search export` and `search predict`: write the chosen model of a study, and classify pictures with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from search.commands.export_code import write_code
from search.commands.report import summary_of
from search.commands.request import builder
from search.commands.session import Display, Session
from search.errors import UsageError
from search.executors.factory import open_executor
from search.export.convert import check_wanted, convert
from search.export.formats import CODE, Format, described, format_to_write
from search.export.images import study_images
from search.export.inputs import open_inputs
from search.export.model import check_target, copy_model, has_model, model_file, stale
from search.export.predict import load
from search.export.predict import predict as predict_files
from search.export.wanted import Wanted
from search.results.backbones import ListedBackbone
from search.results.exported import Exported
from search.results.predictions import Prediction
from search.results.progress import Ending
from search.results.summary import StudySummary
from search.session.prepare import prepare
from search.session.run import finish_only
from search.session.signals import Stopped
from search.study import config as toml
from search.study.available_backbones import find_backbones
from search.study.continuing import check_named
from search.study.folder import StudyFolder
from spaces.backbones.lite import LITE0
from spaces.custom.file import ModelFile


@dataclass(frozen=True)
class Predictions:
    """A model's predictions for pictures."""

    classes: tuple[str, ...]
    answers: tuple[Prediction, ...]  # one for each file, in their order
    warning: str | None = None  # why the model should be exported again, and how

    @property
    def labels(self) -> dict[str, str]:
        """The most probable class of each picture that was read, or UNKNOWN, by its path."""
        return {answer.path: answer.label(self.classes) for answer in self.answers if not answer.problem}

    @property
    def unread(self) -> list[Prediction]:
        """Pictures that could not be read, each with its problem."""
        return [answer for answer in self.answers if answer.problem and not answer.stray]


@dataclass(frozen=True)
class Conversion:
    """What is wanted of another format than Keras's own."""

    quantize: str | None = None
    batch: int | None = None


def export(
    study: Path | None,
    to: Path | None,
    session: Session,
    *,
    model: str | None = None,
    conversion: Conversion = Conversion(),
) -> Exported:
    """Write the chosen model to `to`, in the format that its name asks for. It is trained first if it was not yet.

    Raises UsageError if there is no such study, folder or model, or for a format that cannot be written here; RunError
    where a conversion fails; Stopped after a signal.
    """
    folder, own = StudyFolder.find(study), builder(model, None)
    target = check_target(to)
    into = _into(target, conversion)
    _make(folder, own, target, session)
    summary, about = summary_of(folder), described(folder.model)
    done = Exported(target, about.image_shape, about.classes, summary, _backbones(folder, summary))
    display = session.display
    if target.suffix.lower() == CODE:
        with display.reading() as progress:
            return replace(done, files=tuple(write_code(folder, target, own, progress)), format="Python")
    if into is None:
        copy_model(folder, target)
        return done
    with display.reading() as progress:
        images = study_images(folder, about, progress)
    wanted = Wanted(conversion.quantize or "", conversion.batch, images.samples)
    with display.converting(into.name) as progress:
        says, measured = convert(folder.model, target, into, wanted, images, summary.metric, progress)
    return replace(
        done,
        format=into.name,
        says=says,
        agreement=measured,
        missing=images.missing,
    )


def _into(target: Path, conversion: Conversion) -> Format | None:
    """The format of the target, which can be written as it is wanted. Raises UsageError."""
    into = format_to_write(target)
    if into is not None:
        check_wanted(into, Wanted(conversion.quantize or "", conversion.batch))
    elif conversion.quantize or conversion.batch is not None:
        option = "--quantize" if conversion.quantize else "--batch"
        raise UsageError(f"{option}: is for converted files, such as --to model.tflite, not for {target}")
    return into


def _make(folder: StudyFolder, own: ModelFile | None, target: Path, session: Session) -> None:
    """Train the study's model unless that is done. Raises UsageError if none can be made; Stopped after a signal."""
    if has_model(folder):
        return
    check_named(folder, own, "export", "--to", target)
    with open_executor(session.workers) as executor:
        with session.display.reading() as progress:
            prepared = prepare(toml.read(folder.path), folder.path, progress, own)
        with session.display.watching() as observer:
            ending = finish_only(folder, prepared, observer, executor=executor, asked=session.asked)
    if ending is Ending.STOPPED:
        raise Stopped
    if not has_model(folder):
        raise UsageError(f"{folder}: no model could be made; the reason is above")


def _backbones(folder: StudyFolder, summary: StudySummary) -> tuple[ListedBackbone, ...]:
    """The pre-trained networks of the chosen trials, as far as they are at hand: for their licences."""
    members = {number for number, _ in summary.chosen.members} if summary.chosen else set()
    names = set()
    for number in members:
        point = summary.trial(number).params
        named = next((value for name, value in point.items() if name.endswith("backbone")), None)
        if named is not None or str(point.get("family", summary.preset)) in ("frozen", "fine-tune"):
            names.add(str(named or LITE0.name))
    if not names:
        return ()
    try:
        found = find_backbones(toml.read(folder.path), folder.path, names, needed=False).backbones
    except UsageError:  # they are needed to train, and not to use the model
        found = ()
    at_hand = {one.name: one for one in found if one.name in names}
    return tuple(
        ListedBackbone(one.name, one.title, one.source, one.licence, one.sha256, one.bytes)
        if (one := at_hand.get(name))
        else ListedBackbone(name, name)
        for name in sorted(names)
    )


def model_of(model: Path) -> tuple[Any, str | None]:
    """(The keras.Model of a study or in a file; why it should be exported again, or None).

    Raises UsageError if there is none, or it cannot be loaded.
    """
    path = model_file(model)
    return load(path), stale(model)


def predict(model: Path, images: Sequence[Path], *, display: Display, unknown: bool = False) -> Predictions:
    """Classify pictures, files, folders or archives of them, with the model of a study or in a file.

    `unknown`: whether pictures that are unlike all training images are told. Raises UsageError for a model that cannot
    be loaded and for files that do not exist. For a picture that cannot be read, its prediction has the reason.
    """
    path, warning = model_file(model), stale(model)
    with display.predicting() as progress, open_inputs(images, progress) as files:
        answers = tuple(predict_files(path, files, progress, unknown=unknown))
    return Predictions(described(path).classes, answers, warning)
