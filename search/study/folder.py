"""The study folder: what lies where, finding one and making one."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from search.data.images import ImageSet
from search.errors import UsageError
from search.manifest import about
from search.study import config as toml
from search.study.lease import holder
from search.text import printable
from storage import LockedError, StorageError, Store

DATABASE = "study.db"

FOLDER = "nested"
_NAME = "outer-"

SUFFIX = "-study"  # of the folder that `search run IMAGES` makes

MODEL = "choice.keras"  # in the study's folder `models`


def find_study(given: Path | None) -> Path:
    """The study folder meant: the one given, else the current folder, else the only study in it.

    Raises UsageError, naming the candidates, where there is none or more than one.
    """
    if given is not None:
        if is_study(given):
            return given
        if not given.exists():
            raise UsageError(f"{given} does not exist; `search run IMAGES` makes a study")
        raise UsageError(f"{given} is not a study: it has no {toml.FILE}; `search run IMAGES` makes one")
    here = Path()
    if is_study(here):
        return here
    below = sorted(p.parent for p in here.glob(f"*/{toml.FILE}"))
    if len(below) == 1:
        return below[0]
    if below:
        raise UsageError(f"there are several studies here; name one: {', '.join(map(str, below))}")
    raise UsageError("there is no study here; name one, or make one with `search run IMAGES`")


def is_study(folder: Path) -> bool:
    """Whether the folder has a study's file in it."""
    return (folder / toml.FILE).is_file() or (folder / DATABASE).exists()


@contextlib.contextmanager
def reading(folder: Path) -> Iterator[Store]:
    """The study's database, read only; where it is locked, who has the study is told as well."""
    try:
        with Store.open(folder / DATABASE, read_only=True) as store:
            yield store
    except LockedError as error:
        who = holder(folder) or "no run of `search`, so by another program, such as a database browser"
        raise StorageError(f"{error} The study is held by {who}.") from error


@contextlib.contextmanager
def pixels_on_disk(folder: Path, images: ImageSet) -> Iterator[Path]:
    """The pixels as a .npy file, which all workers of this machine map into one copy; gone afterwards."""
    path = (folder / "cache" / "pixels.npy").absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)  # it may be a link to any file, in a study folder from elsewhere
    np.save(path, images.pixels, allow_pickle=False)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # something else is kept there
            path.parent.rmdir()


def outer_folder(study: Path, fold: int) -> Path:
    """The study that has never seen the images of a fold, counted from 0."""
    return study / FOLDER / f"{_NAME}{fold + 1}"


def parent_study(folder: Path) -> Path:
    """The study that a study belongs to: the one around it where it is an outer fold, else itself."""
    within = folder.parent.name == FOLDER and folder.name.startswith(_NAME)
    return folder.parent.parent if within else folder


def place_of_new(images: Path, directory: Path | None) -> Path:
    """Where a study of `images` goes: the folder named, else IMAGES-study here; never among the images, as one of them.

    Raises UsageError where there are no images, or no study can be made of them there.
    """
    if not images.is_dir():
        what = "is not a folder" if images.exists() else "does not exist"
        raise UsageError(f"{images} {what}; a study needs a folder of images with one folder a class")
    whole = images.resolve()
    try:
        str(whole).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{images}: its path is not valid UTF-8, which {toml.FILE} cannot hold; rename the folder"
        ) from None
    folder = directory or Path(whole.name + SUFFIX)
    if folder.resolve().is_relative_to(whole):
        if directory is not None:
            raise UsageError(f"--dir {directory} is within the images, {images}; name a folder outside of them")
        folder = Path(os.path.relpath(whole.parent / folder.name))
    if not folder.parent.exists():
        raise UsageError(f"--dir {folder}: there is no folder {folder.parent}; make it first, or name another")
    return folder


def check_folder(folder: Path) -> None:
    """Raises UsageError where a study can't be in this folder: before the images are read rather than after."""
    where = folder if folder.is_dir() else folder.parent
    if where.is_dir() and not os.access(where, os.W_OK | os.X_OK, effective_ids=os.access in os.supports_effective_ids):
        if where is folder:
            raise UsageError(f"{folder} cannot be written: Permission denied; a study needs a folder it may write")
        raise UsageError(f"{folder} cannot be made: Permission denied; name another study folder with --dir")


def make_folder(folder: Path) -> None:
    """Make the study's folder, but none above it. Raises UsageError where that can't be."""
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UsageError(f"{folder} cannot be made: {error.strerror}; name another study folder with --dir") from None


def is_current(store: Store, folder: Path) -> bool:
    """Whether there is a model, made from all that is stored, and as this release makes them."""
    choices = store.choices()
    made_of_all = bool(choices) and choices[-1].folds == store.fold_runs()
    return made_of_all and (folder / "models" / MODEL).is_file() and not is_outdated(folder)


def is_outdated(folder: Path) -> bool:
    """Whether the study has a model, but of an earlier release, or one that does not say what it is."""
    model = folder / "models" / MODEL
    try:
        return model.is_file() and about(model).outdated
    except UsageError:
        return True


def sweep(folder: Path) -> None:
    """Remove what workers that were killed left half written."""
    for pattern in ("cache/features/*.part", "cache/refits/.*.keras", "models/.*.keras"):
        for path in folder.glob(pattern):
            if path.parent.resolve().is_relative_to(folder.resolve()):  # a folder may be a link to any other
                path.unlink(missing_ok=True)


def resume_command(folder: Path) -> str:
    """What to type to go on; an outer fold goes on with the study that it belongs to."""
    return f"search resume {shlex.quote(printable(str(parent_study(folder))))}"
