"""`search export` and `search predict`: copy the chosen model of a study, and classify pictures with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.commands.request import builder
from search.commands.session import Display, Session
from search.errors import UsageError
from search.executors.factory import open_executor
from search.export.model import check_target, copy_model, has_model, model_file, stale
from search.export.predict import list_inputs, load_model
from search.export.predict import predict as predict_files
from search.manifest import About, about
from search.results.predictions import Prediction
from search.results.progress import Ending
from search.session.prepare import prepare
from search.session.run import finish_only
from search.session.signals import Stopped
from search.study import config as toml
from search.study.continuing import check_named
from search.study.folder import StudyFolder


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
class ExportResult:
    """A model file that was written, and what a program needs to know to use it."""

    path: Path
    about: About


def export(study: Path | None, to: Path | None, session: Session, *, model: str | None = None) -> ExportResult:
    """Write the chosen model to `to`, a .keras file. It is trained first if that was not done yet.

    Raises UsageError if there is no such study, no such folder or no model; Stopped after a signal.
    """
    folder, own = StudyFolder.find(study), builder(model, None)
    target = check_target(to)
    if not has_model(folder):
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
    copy_model(folder, target)
    return ExportResult(target, about(target))


def model_of(model: Path) -> tuple[Any, str | None]:
    """(The keras.Model of a study or in a file; why it should be exported again, or None).

    Raises UsageError if there is none, or it cannot be loaded.
    """
    path = model_file(model)
    return load_model(path), stale(model)


def predict(model: Path, images: Sequence[Path], *, display: Display, unknown: bool = False) -> Predictions:
    """Classify pictures, files or folders of them, with the model of a study or in a file.

    `unknown`: whether pictures that are unlike all training images are told. Raises UsageError for a model that cannot
    be loaded and for files that do not exist. For a picture that cannot be read, its prediction has the reason.
    """
    path, files, warning = model_file(model), list_inputs(images), stale(model)
    with display.predicting() as progress:
        answers = tuple(predict_files(path, files, progress, unknown=unknown))
    return Predictions(about(path).classes, answers, warning)
