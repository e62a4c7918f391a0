"""The chosen model of a study: where it is, whether it is up to date, and copying it."""

from __future__ import annotations

import shutil
from pathlib import Path

from search.errors import UsageError
from search.files import replacing
from search.manifest import about
from search.session.budget import without_result
from search.study.folder import StudyFolder
from search.text import command_line
from storage import StorageError, needs_upgrade

_ANY_FILE = "FILE.keras"


def model_file(path: Path) -> Path:
    """The model file at `path`: the file itself, or the model of a study. Raises UsageError if there is none."""
    if path.is_file():
        return path
    if not path.exists():
        raise UsageError(f"{path} does not exist; name a study, or a model of `search export`")
    folder = StudyFolder(path)
    if not folder.is_study:
        raise UsageError(f"{path} is neither a study nor a model of `search export`")
    if not folder.model.is_file():
        _check_begun(folder)
        if not needs_upgrade(folder.database) and (why := without_result(folder)):
            raise UsageError(why)
        raise UsageError(f"{path} has no model yet; `{_export(path, _ANY_FILE)}` makes one of what is stored")
    return folder.model


def stale(path: Path) -> str | None:
    """Why the model in this file or study should be exported again, and the command; None if it is up to date.

    It is not if an earlier release wrote it, or if more was searched since.
    """
    folder = StudyFolder(path)
    alone = path.is_file() or not folder.begun
    if about(model_file(path)).outdated:
        source, target = ("STUDY", path) if alone else (path, _ANY_FILE)
        return (
            f"{path}: its model was made by an earlier release, and in Keras model(x) may answer wrongly, which "
            f"model.predict(x) and `search predict` do not; `{_export(source, target)}` makes it anew"
        )
    if alone:
        return None
    try:
        if needs_upgrade(folder.database):  # only a command that writes upgrades it
            return None
        with folder.read() as store:
            current = folder.model_is_current(store)
    except StorageError:  # locked or damaged: the model can be used all the same
        return None
    if current:
        return None
    return f"{path}: more has been searched since its model was made; `{_export(path, _ANY_FILE)}` makes it anew"


def _export(study: Path | str, target: Path | str) -> str:
    return command_line("export", study, "--to", target)


def _check_begun(folder: StudyFolder) -> None:
    if not folder.begun:
        raise UsageError(f"{folder} has not begun, so there is no model; `{folder.command('run')}` starts it")


def has_model(folder: StudyFolder) -> bool:
    """Whether the study's model exists and was chosen from all results. Raises UsageError if none can be made."""
    _check_begun(folder)
    if needs_upgrade(folder.database):  # making the model upgrades it
        return False
    if why := without_result(folder):
        raise UsageError(why)
    with folder.read() as store:
        return folder.model_is_current(store)


def check_target(to: Path | None) -> Path:
    """The path to write the model to. Raises UsageError if it is None, no .keras file, or its folder is missing."""
    if to is None:
        raise UsageError("--to: name the file to write, such as --to model.keras")
    if to.suffix != ".keras":
        raise UsageError(f"--to: must end in .keras, the one format that is written, got {to}")
    if not to.absolute().parent.is_dir():
        raise UsageError(f"--to {to}: there is no folder {to.parent}; make it first, or name another")
    if to.is_dir():
        raise UsageError(f"--to {to} is a folder; name a file in it")
    return to


def copy_model(folder: StudyFolder, target: Path) -> None:
    """Copy the study's model atomically. Raises OSError."""
    with replacing(target) as partial:
        shutil.copyfile(folder.model, partial)
