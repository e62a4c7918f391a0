"""The model that a study ships: where it is, whether it is up to date, and a copy of it for use elsewhere."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

from search.errors import UsageError
from search.manifest import about
from search.session.budget import without_result
from search.study.folder import DATABASE, MODEL, is_current, is_study, reading
from storage import StorageError, needs_upgrade

_NOT_BEGUN = "{0} has not begun, so there is no model; `search run {0}` starts it"


def model_file(path: Path) -> Path:
    """The model that is meant: a file, or the one in a study. Raises UsageError where there is none."""
    if path.is_file():
        return path
    if not path.exists():
        raise UsageError(f"{path} does not exist; name a study, or a model of `search export`")
    if not is_study(path):
        raise UsageError(f"{path} is neither a study nor a model of `search export`")
    model = path / "models" / MODEL
    if not model.is_file():
        if not (path / DATABASE).exists():
            raise UsageError(_NOT_BEGUN.format(path))
        if not needs_upgrade(path / DATABASE) and (why := without_result(path)):
            raise UsageError(why)
        raise UsageError(f"{path} has no model yet; `search export {path} --to FILE.keras` makes one of what is stored")
    return model


def stale(path: Path) -> str | None:
    """A sentence where the model in this file or study should be made anew, and how; None where it is as it should be.

    It is of an earlier release, or more has been searched since.
    """
    whole = path.is_file() or not (path / DATABASE).exists()
    if about(model_file(path)).outdated:
        source, target = ("STUDY", path) if whole else (path, Path("FILE.keras"))
        return (
            f"{path}: its model was made by an earlier release, and in Keras model(x) may answer wrongly, which "
            f"model.predict(x) and `search predict` do not; `{_export(source, target)}` makes it anew"
        )
    if whole:
        return None
    try:
        if needs_upgrade(path / DATABASE):  # by whom something is written to it
            return None
        with reading(path) as store:
            current = is_current(store, path)
    except StorageError:  # locked or damaged: the model can be used all the same
        return None
    if current:
        return None
    return f"{path}: more has been searched since its model was made; `{_export(path, 'FILE.keras')}` makes it anew"


def _export(study: Path | str, target: Path | str) -> str:
    return shlex.join(["search", "export", str(study), "--to", str(target)])


def has_model(folder: Path) -> bool:
    """Whether the study's model is there and made from all that is stored. Raises UsageError where none can be."""
    if not (folder / DATABASE).exists():
        raise UsageError(_NOT_BEGUN.format(folder))
    if needs_upgrade(folder / DATABASE):  # by whom it is made
        return False
    if why := without_result(folder):
        raise UsageError(why)
    with reading(folder) as store:
        return is_current(store, folder)


def check_target(to: Path | None) -> Path:
    """Where to write the model. Raises UsageError where it is not said, is no .keras file or has no folder."""
    if to is None:
        raise UsageError("--to: name the file to write, such as --to model.keras")
    if to.suffix != ".keras":
        raise UsageError(f"--to: must end in .keras, the one format that is written, got {to}")
    if not to.absolute().parent.is_dir():
        raise UsageError(f"--to {to}: there is no folder {to.parent}; make it first, or name another")
    if to.is_dir():
        raise UsageError(f"--to {to} is a folder; name a file in it")
    return to


def copy_model(folder: Path, target: Path) -> None:
    """Copy the study's model, whole or not at all. Raises OSError."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(folder / "models" / MODEL, beside)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
