"""What a command asks for: which study, with which settings; nothing is written before it is known to be possible."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search import config as toml
from search.config import Config, Try
from search.errors import UsageError
from search.study import DATABASE, find_study, is_study, prepare, reading, stored_space
from spaces import Space
from spaces.own_file import ModelFile, named
from spaces.presets import EXAMPLE, PRESETS, preset

SUFFIX = "-study"  # of the folder that `search run IMAGES` makes


@dataclass(frozen=True)
class Request:
    """A study folder, there or not, and the configuration that it is to have."""

    folder: Path
    config: Config
    changes: Mapping[str, Any]  # by key, 'training.max_epochs' for one in a table
    written: bool  # whether there is a study.toml

    @property
    def begun(self) -> bool:
        """Whether it has a database."""
        return (self.folder / DATABASE).exists()

    @property
    def changed(self) -> bool:
        """Whether a study.toml that is there says something else."""
        return self.written and toml.read(self.folder) != self.config

    def write(self, tries: Sequence[Try]) -> None:
        """Bring study.toml up to what is asked, with more points to try. The folder is there, see `make_folder`.

        Raises UsageError where a new one cannot be written, OSError where one that was there can't.
        """
        if self.written:
            toml.update(self.folder, self.changes, tries)
            return
        try:
            toml.write(self.folder, self.config, tries)
        except OSError as error:
            raise UsageError(
                f"{self.folder} cannot be written: {error.strerror}; name another study folder with --dir"
            ) from None


def search_of(path: Path | None, directory: Path | None, asked: Mapping[str, Any]) -> Request:
    """What `search run` asks for: to go on with a study, or to begin one of a folder of images.

    `path` None: the study here. `asked`: settings by key; None for one that was not named.
    Raises UsageError where there is no such study, or none can be.
    """
    changes = {key: value for key, value in asked.items() if value is not None}
    if path is None or (is_study(path) and directory is None):
        return going_on(find_study(path), changes)
    folder = place_of_new(path, directory)
    named = {"images": str(path.resolve())}
    new = toml.parse(toml.merged(named, changes), "the command line")
    if (folder / toml.FILE).is_file():
        return going_on(folder, {**changes, **named})
    return Request(folder, new, changes, written=False)


def builder(model: str | None, preset: str | None) -> ModelFile | None:
    """The builder that `--model` names, where it does. Raises UsageError beside a preset, SpaceError for no builder."""
    if model and preset:
        raise UsageError(
            f"--model {model} takes the place of a preset, so --preset {preset} would do nothing: leave one of them out"
        )
    return named(model) if model else None


def going_on(folder: Path, asked: Mapping[str, Any]) -> Request:
    """What is asked of a study that is there. Raises UsageError where its study.toml is missing or wrong."""
    changes = {key: value for key, value in asked.items() if value is not None}
    if (folder / DATABASE).exists() and not (folder / toml.FILE).is_file():
        raise UsageError(
            f"{folder} has its results, {DATABASE}, but no {toml.FILE}; put a copy back, or have it written anew with: "
            f"search run IMAGES --dir {shlex.quote(str(folder))}"
        )
    return Request(folder, toml.read(folder, changes), changes, written=True)


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


def whole_path(groups: str | None) -> str | None:
    """`--groups`: a table by its whole path, as a study.toml elsewhere can name it; a pattern as it is."""
    return str(Path(groups).resolve()) if groups and groups.lower().endswith(".csv") else groups


def space_of(which: str | None, progress: Callable[[int, int], None] | None = None) -> tuple[str, Space]:
    """The space of a preset or of a study, with its name; `which` None: of the study here.

    A study that has not begun is prepared for it: its images are read. Raises as `prepare` does.
    """
    if which is not None and (which in PRESETS or not Path(which).exists()):
        return which, preset(which).space(EXAMPLE)
    try:
        folder = find_study(Path(which) if which else None)
    except UsageError as error:
        raise UsageError(f"{error}; or name a preset: {', '.join(PRESETS)}") from None
    if (folder / DATABASE).exists():
        with reading(folder) as store:
            return str(folder), stored_space(store)
    return str(folder), prepare(toml.read(folder), folder, progress).space
