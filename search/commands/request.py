"""What a command asks for: which study, with which settings; nothing is written before it is known to be possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.study import config as toml
from search.study import config_file
from search.study.config import Config, Try
from search.study.folder import StudyFolder
from search.text import command_line
from spaces.custom.file import ModelFile, named


@dataclass(frozen=True)
class Request:
    """A study folder, there or not, and the configuration that it is to have."""

    folder: StudyFolder
    config: Config
    changes: Mapping[str, Any]  # by key, 'training.max_epochs' for one in a table
    written: bool  # whether there is a study.toml

    @property
    def begun(self) -> bool:
        """Whether it has a database."""
        return self.folder.begun

    @property
    def changed(self) -> bool:
        """Whether a study.toml that is there says something else."""
        return self.written and toml.read(self.folder.path) != self.config

    def write(self, tries: Sequence[Try]) -> None:
        """Bring study.toml up to what is asked, with more points to try. The folder is there, see `StudyFolder.make`.

        Raises UsageError where a new one cannot be written, OSError where one that was there can't.
        """
        if self.written:
            config_file.update(self.folder.path, self.changes, tries)
            return
        try:
            config_file.write(self.folder.path, self.config, tries)
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
    if path is None or (StudyFolder(path).is_study and directory is None):
        return going_on(StudyFolder.find(path), changes)
    folder = StudyFolder.new(path, directory)
    named = {"images": str(path.resolve())}
    new = toml.parse(toml.merged(named, changes), "the command line")
    if folder.toml.is_file():
        return going_on(folder, {**changes, **named})
    return Request(folder, new, changes, written=False)


def builder(model: str | None, preset: str | None) -> ModelFile | None:
    """The builder that `--model` names, where it does. Raises UsageError beside a preset, SpaceError for no builder."""
    if model and preset:
        raise UsageError(
            f"--model {model} takes the place of a preset, so --preset {preset} would do nothing: leave one of them out"
        )
    return named(model) if model else None


def going_on(folder: StudyFolder, asked: Mapping[str, Any]) -> Request:
    """What is asked of a study that is there. Raises UsageError where its study.toml is missing or wrong."""
    changes = {key: value for key, value in asked.items() if value is not None}
    if folder.begun and not folder.toml.is_file():
        raise UsageError(
            f"{folder} has its results, {folder.database.name}, but no {toml.FILE}; put a copy back, or have it "
            f"written anew with: {command_line('run', 'IMAGES', '--dir', folder)}"
        )
    return Request(folder, toml.read(folder.path, changes), changes, written=True)


def whole_path(groups: str | None) -> str | None:
    """`--groups`: a table by its whole path, as a study.toml elsewhere can name it; a pattern as it is."""
    return str(Path(groups).resolve()) if groups and groups.lower().endswith(".csv") else groups
