"""The chosen model of a study: where it is, whether it is up to date, and copying it."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from search.errors import UsageError
from search.export import saved_model
from search.export.formats import ENDINGS, described, format_to_write
from search.files import replacing
from search.manifest import About
from search.session.budget import without_result
from search.study.continuing import stored_command
from search.study.folder import StudyFolder
from search.text import command_line, printable
from storage import StorageError, needs_upgrade

_ANY_FILE = "FILE.keras"
_MAX_STUDIES = 20  # that are looked at to find the one of a model file


def model_file(path: Path) -> Path:
    """The model at `path`: itself, a file or a SavedModel, or that of a study. Raises UsageError if there is none."""
    if path.is_file() or saved_model.is_one(path):
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
        _check_idle(folder)
        raise UsageError(f"{path} has no model yet; `{_export(folder)}` makes one of what is stored")
    return folder.model


def stale(path: Path) -> str | None:
    """Why the model in this file or study should be exported again, and the command; None if it is up to date.

    It is not if an earlier release wrote it, or if more was searched since.
    """
    folder, description = StudyFolder(path), described(model_file(path))
    alone = path.is_file() or not folder.begun
    if description.outdated:
        return _outdated(path, description, _study_of(path, description) if alone else folder)
    return None if alone else _behind(folder)


def _outdated(path: Path, description: About, study: StudyFolder | None) -> str:
    """The sentence on a model of an earlier release; `study`: its study, where that is known."""
    again = f"`{_export(study, path if path.is_file() else Path(_ANY_FILE))}` makes it anew"
    if study is None:
        pictures = f" of the pictures {printable(description.pictures)!r}" if description.pictures else ""
        again = f"in the folder of its study{pictures}, {again}"
    return (
        f"{path}: its model was made by an earlier release, and in Keras model(x) may answer wrongly, which "
        f"model.predict(x) and `search predict` do not; {again}"
    )


def _behind(folder: StudyFolder) -> str | None:
    """The sentence on a study's model that is older than its latest results; None if there are none."""
    try:
        if needs_upgrade(folder.database):  # only a command that writes upgrades it
            return None
        with folder.read() as store:
            if folder.model_is_current(store):
                return None
        again = _export(folder)
    except StorageError:  # locked or damaged: the model can be used all the same
        return None
    if folder.searcher:
        return f"{folder}: its search is running; this model is of an earlier session, and the next is made at the end"
    return f"{folder}: more has been searched since its model was made; `{again}` makes it anew"


def _export(study: StudyFolder | None, target: Path = Path(_ANY_FILE)) -> str:
    """The command that writes a study's model; None: of the study in the current folder, to an absolute path."""
    if study is None:
        return command_line("export", "--to", target.absolute())
    with contextlib.suppress(StorageError), study.read() as store:  # of an earlier release, locked or damaged
        return stored_command(study, store, "export", "--to", target)
    return study.command("export", "--to", target)


def _study_of(file: Path, description: About) -> StudyFolder | None:
    """The study that a model file came from: the one around it, else one here or beside the file that made it."""
    around = StudyFolder(file.parent.parent)
    if around.begun and around.model.exists() and around.model.samefile(file):
        return around
    places = dict.fromkeys(place for base in (Path(), file.parent) for place in (base, *sorted(base.glob("*/"))))
    begun = [folder for folder in map(StudyFolder, places) if folder.begun]
    for folder in begun[:_MAX_STUDIES]:
        with contextlib.suppress(StorageError), folder.read() as store:
            same_images = store.study().fingerprint == description.fingerprint
            if same_images and description.made in {choice.made for choice in store.choices()}:
                return folder
    return None


def _check_begun(folder: StudyFolder) -> None:
    if not folder.begun:
        raise UsageError(f"{folder} has not begun, so there is no model; `{folder.command('run')}` starts it")


def _check_idle(folder: StudyFolder) -> None:
    """Raises UsageError while another process searches: it saves the model at its end."""
    if who := folder.searcher:
        raise UsageError(
            f"{folder} has no current model yet: it is being searched by {who}, which makes one at its end; wait for "
            f"it, or stop it with Ctrl-C, then: {_export(folder)}"
        )


def has_model(folder: StudyFolder) -> bool:
    """Whether the study's model exists and was chosen from all results. Raises UsageError if none can be made now."""
    _check_begun(folder)
    if needs_upgrade(folder.database):  # making the model upgrades it
        return False
    if why := without_result(folder):
        raise UsageError(why)
    with folder.read() as store:
        current = folder.model_is_current(store)
    if not current:
        _check_idle(folder)
    return current


def check_target(to: Path | None) -> Path:
    """The path to write the model to. Raises UsageError if it is None, of no known format, or its folder is missing."""
    if to is None:
        raise UsageError("--to: name the file to write, such as --to model.keras")
    if not to.absolute().parent.is_dir():
        raise UsageError(f"--to {to}: there is no folder {to.parent}; make it first, or name another")
    if to.is_dir() and to.suffix in ENDINGS:
        raise UsageError(f"--to {to} is a folder; name a file in it")
    if to.is_dir() and any(to.iterdir()) and not saved_model.is_one(to):
        raise UsageError(f"--to {to}: this folder has other files in it; name a new one for a SavedModel")
    format_to_write(to)
    if not to.suffix and to.exists() and not to.is_dir():
        raise UsageError(f"--to {to} is a file, and a SavedModel is a folder; name another")
    return to


def copy_model(folder: StudyFolder, target: Path) -> None:
    """Copy the study's model atomically. Raises OSError."""
    with replacing(target) as partial:
        shutil.copyfile(folder.model, partial)
