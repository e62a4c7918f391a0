"""A command's request: which study, with which settings. Nothing is written before it is known to be possible."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from search.commands.values import check_budget, checked_list
from search.data.groups import is_table
from search.data.origin import Origin, name_of_set
from search.errors import UsageError
from search.study import config as toml
from search.study import config_file
from search.study.available_backbones import NAMES
from search.study.config import Config, Try
from search.study.folder import StudyFolder
from search.study.identity import OtherSettingsError, check_same, image_differences
from search.study.prepared import Prepared
from search.text import command_line
from spaces.backbones.folder import is_folder, name_of
from spaces.backbones.hub_download import PREFIX, is_name
from spaces.custom.file import ModelFile, named
from storage import needs_upgrade


@dataclass(frozen=True)
class Settings:
    """Settings given to a command; None: not given. Their ranges are checked together with those of study.toml."""

    trials: int | None = None
    hours: float | None = None
    time: str | None = None  # hours in words
    folds: int | None = None
    epochs: int | None = None  # maximum of a fold run
    precision: str | None = None
    xla: bool | None = None
    seed: int | None = None
    engine: str | None = None
    sampler: str | None = None
    second_objective: str | None = None
    preset: str | None = None
    backbones: Sequence[str] | None = None  # pre-trained networks to which the space is narrowed: names, or folders
    image_size: int | None = None  # pixels of both sides
    flip: bool | None = None
    groups: str | None = None  # a table (.csv), relative to the current folder, or a pattern
    also: Sequence[Path] = ()  # further folders or archives of images
    labels: Path | None = None  # a table, relative to the current folder
    label_columns: str | None = None
    label_pattern: str | None = None
    classes: Sequence[str] = ()
    merge: Sequence[str] = ()  # 'new=a+b'
    lock_box: bool | None = None
    nested: bool | None = None
    until_flat: bool | None = None
    prefer: str | None = None
    max_latency: float | None = None  # milliseconds an image
    storage: str | None = None  # the URL of a server, for a new study

    def __post_init__(self) -> None:
        """Raises UsageError for a text where a list is meant, a list of its letters too; for one budget given twice."""
        check_budget(self.hours, self.time)
        for name in ("backbones", "classes", "merge"):
            checked_list(name, getattr(self, name))

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Settings:
        """The settings among a command's options, by name; a flag that is not set is not given.

        Raises UsageError if one budget is given twice.
        """
        given = {name: options[name] for name in cls.__dataclass_fields__ if name in options}
        given |= {name: given[name] or None for name in ("xla", "nested", "until_flat") if name in given}
        given |= {name: False for name in ("flip", "lock_box") if options.get(f"no_{name}")}
        if paths := options.get("images", options.get("path")):  # the first is that of the study
            given["also"] = paths[1:]
        if "classes" in options:  # as typed, each may name several
            typed = [name.strip() for each in options["classes"] or () for name in each.split(",")]
            given["classes"] = [name for name in typed if name]
        if "backbone" in options:
            given["backbones"] = options["backbone"]
        return cls(**given)

    @property
    def changes(self) -> dict[str, Any]:
        """The given settings by key of study.toml; 'training.max_epochs' for one in a table."""
        tables = {"epochs": "training.max_epochs", "precision": "training.precision", "xla": "training.xla"}
        tables["backbones"] = "space.backbone"
        weights = _weights(self.backbones or ())
        names = list(dict.fromkeys(weights.get(given, (given,))[0] for given in self.backbones or ())) or None
        tables |= {f"weights {name}": f"weights.{name}" for name, _ in weights.values()}
        values = {**vars(self), "groups": whole_path(self.groups), "backbones": names, **self._data}
        values |= {f"weights {name}": written for name, written in weights.values()}
        return {tables.get(name, name): value for name, value in values.items() if value is not None}

    @property
    def _data(self) -> dict[str, Any]:
        """What says where the images are and which class each has, as study.toml has it."""
        return {
            "also": [str(path.resolve()) for path in self.also or ()] or None,
            "labels": str(self.labels.resolve()) if self.labels else None,
            "classes": list(self.classes or ()) or None,
            "merge": list(self.merge or ()) or None,
        }

    def origin(self, images: Path) -> Origin:
        """Where the images are, without a study. Raises UsageError for settings that cannot be."""
        data = {key: value for key, value in self.changes.items() if key in toml.DATA}
        origin = toml.parse({"images": str(images.resolve()), **data}, "the command line").origin(Path())
        return replace(origin, roots=(images, *(self.also or ())), labels=self.labels)


@dataclass(frozen=True)
class Request:
    """A study folder, whether it exists or not, and the configuration requested for it."""

    folder: StudyFolder
    config: Config
    changes: Mapping[str, Any]  # by key, 'training.max_epochs' for one in a table
    written: bool  # whether there is a study.toml
    images_before: tuple[Path, ...] = ()  # the images of the existing study, if the command names other folders of them

    @property
    def changed(self) -> bool:
        """Whether an existing study.toml has other settings."""
        return self.written and toml.read(self.folder.path) != self.config

    def write(self, tries: Sequence[Try]) -> None:
        """Write the requested settings to study.toml, with more points to try. The folder exists already.

        Raises UsageError if a new file cannot be written, OSError if an existing one cannot be.
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


def search_of(path: Path | None, directory: Path | None, settings: Settings) -> Request:
    """The request of `search run`: to continue a study, or to start one of a folder of images.

    `path` None: the study here. `directory`: of a new study; None: IMAGES-study.
    Raises UsageError if there is no such study, or none can be started.
    """
    if path is None or (StudyFolder(path).is_study and directory is None):
        if settings.also:
            raise UsageError(
                f"{path} is a study, which has its images already: name it without {settings.also[0]}, or name "
                "images alone"
            )
        return going_on(StudyFolder.find(path), settings)
    folder = StudyFolder.new(path, directory, settings.also)
    changes, named = settings.changes, {"images": str(path.resolve())}
    new = toml.parse(toml.merged(named, changes), "the command line")
    if folder.toml.is_file():
        before = tuple(root.resolve() for root in toml.read(folder.path).origin(folder.path).roots)
        request = _of_written(folder, {**changes, **named})
        same = before == tuple(root.resolve() for root in (path, *settings.also))
        return request if same else replace(request, images_before=before)
    return Request(folder, new, changes, written=False)


def check_images(request: Request, prepared: Prepared, typed: str) -> None:
    """Raises UsageError if the study is of another set of images, which the command would mix with its own.

    Two sets in folders of the same name have the same default study folder. The images may have moved: then a study
    that has trials has the same ones, and of any other the old folder is gone. `typed`: the command, which is proposed
    again with another study folder.
    """
    folder, images = request.folder, Path(request.config.images)
    before = " and ".join(map(str, request.images_before))
    if not before or (folder.begun and needs_upgrade(folder.database)):
        return
    differences = (
        [f"images: they were in {before}, which is still there"]
        if all(root.exists() for root in request.images_before)
        else []
    )
    if folder.begun:
        with folder.read() as store:
            if store.has_trials():
                differences = image_differences(store, prepared)
    if differences:
        command = _elsewhere(images, typed, Path(f"{images.parent.name}-{images.name}-study"))
        lines = "\n".join(f"  {line}" for line in differences)
        raise UsageError(
            f"{folder} is a study of {before}, and not of {images}:\n{lines}\n"
            f"to search those images, name another study folder: {command}"
        )


def check_settings(request: Request, prepared: Prepared, typed: str) -> None:
    """Raises UsageError if the study began with other settings; where `typed` names its images, with a command."""
    folder = request.folder
    if not folder.begun or needs_upgrade(folder.database):
        return
    try:
        with folder.read() as store:
            if store.has_trials():
                check_same(store, prepared)
    except OtherSettingsError as error:
        if "images" not in request.changes:  # study.toml was edited, which no command repeats
            raise
        command = _elsewhere(Path(request.config.images), typed, _free(folder.path))
        raise UsageError(f"{error}: {command}") from None


def _elsewhere(images: Path, typed: str, study: Path) -> str:
    """The command again, with another study folder."""
    is_run = typed.split(" ")[:2] == ["search", "run"]  # else it is a call of Python
    words: list[str | Path] = [*shlex.split(typed)[2:]] if is_run else [Path(os.path.relpath(images))]
    if "--dir" in words:
        del words[(named := words.index("--dir")) : named + 2]
    return command_line("run", *words, "--dir", study)


def _free(study: Path) -> Path:
    """A folder beside a study that is not there yet: 'pictures-study-2'."""
    return next(path for number in count(2) if not (path := study.with_name(f"{study.name}-{number}")).exists())


def builder(model: str | None, preset: str | None) -> ModelFile | None:
    """The builder that `--model` names, or None. Raises UsageError with a preset, SpaceError for an invalid one."""
    if model and preset:
        raise UsageError(
            f"--model {model} takes the place of a preset, so --preset {preset} would do nothing: leave one of them out"
        )
    return named(model) if model else None


def going_on(folder: StudyFolder, settings: Settings) -> Request:
    """The request to continue an existing study. Raises UsageError if its study.toml is missing or invalid."""
    return _of_written(folder, settings.changes)


def page_beside(images: Path, what: str, also: Sequence[Path] = ()) -> Path:
    """The path of a page such as IMAGES-check.html: in the folder in which a study of the images would be made.

    Raises UsageError if there are no images.
    """
    name = name_of_set([root.resolve() for root in (images, *also)])
    return StudyFolder.new(images, None, also).path.with_name(f"{name}-{what}.html")


def _of_written(folder: StudyFolder, changes: Mapping[str, Any]) -> Request:
    if folder.begun and not folder.toml.is_file():
        raise UsageError(
            f"{folder} has its results, {folder.database.name}, but no {toml.FILE}; put a copy back, or have it "
            f"written anew with: {command_line('run', 'IMAGES', '--dir', folder.path)}"
        )
    return Request(folder, toml.read(folder.path, changes), changes, written=True)


def _weights(given: Sequence[str]) -> dict[str, tuple[str, str]]:
    """`--backbone`: folders and presets of keras-hub -> their names in study.toml, and what `[weights]` says of them.

    Raises UsageError for a folder that has no network.
    """
    weights: dict[str, tuple[str, str]] = {}
    for one in dict.fromkeys(given):
        taken = (*NAMES, *(name for name, _ in weights.values()))
        if is_name(one):
            weights[one] = name_of(Path(one.removeprefix(PREFIX)), taken), one
        elif one not in NAMES and (os.sep in one or Path(one).is_dir()):
            path = Path(one).resolve()
            if not is_folder(path):
                raise UsageError(f"--backbone {one}: {path} has no config.json; `search backbones` lists the names")
            weights[one] = name_of(path, taken), str(path)
    return weights


def whole_path(groups: str | None) -> str | None:
    """`--groups`: the absolute path of a table, because study.toml is in another folder; a pattern unchanged."""
    return str(Path(groups).resolve()) if groups and is_table(groups) else groups
