"""`sweep.toml`: many studies as data sets x presets x seeds, with the same settings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.data.groups import is_table
from search.data.origin import ENDINGS, is_archive
from search.errors import UsageError
from search.study import config as toml
from search.study.folder import StudyFolder
from search.study.toml_text import parse_toml, read_toml
from spaces.backbones.hub_download import is_name
from spaces.parameters import nearest, received
from storage import ServerUrl

MAX_STUDIES = 10_000
_KEYS = ("images", "presets", "seeds", "settings")
_BY_SWEEP = ("images", "preset", "seed")  # settings of a study that the sweep varies
_TABLES = ("training", "weights", "space")
_OF_DATA = (*toml.DATA, "groups")  # settings of a study that a data set may have of its own
_IMAGES = 'a line [images], and below it a line for each data set, its name and folder: cats = "photos/cats"'
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")


@dataclass(frozen=True)
class Cell:
    """One study of a sweep."""

    data: str  # name of the data set
    preset: str
    seed: int
    folder: StudyFolder
    images: Path  # a folder, or an archive
    changes: Mapping[str, Any]  # its settings by key of study.toml, 'training.max_epochs' for one in a table


def read_sweep(path: Path) -> tuple[Cell, ...]:
    """The studies of a sweep, in the order in which they are searched: every data set with the first seed, and so on.

    They are in a folder beside the file, which has its name without the ending. Raises UsageError, with all problems.
    """
    try:
        values = parse_toml(path, read_toml(path).text)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}; name a sweep.toml, see docs/sweeps.md") from None
    home = path.with_suffix("")
    problems = list(_problems(values))
    if home == path:
        problems.append("the file needs an ending, such as sweep.toml: its studies are in a folder of its name")
    if problems:
        raise UsageError("\n".join([f"{path}:", *(f"  {problem}" for problem in problems)]))
    cells = tuple(_cells(path, home, values))
    if len(cells) > MAX_STUDIES:
        raise UsageError(f"{path}: at most {MAX_STUDIES:,} studies, got {len(cells):,}")
    for cell in {(cell.data, cell.preset): cell for cell in cells}.values():
        toml.parse(toml.merged({"images": str(cell.images)}, cell.changes), str(path))
    for cell in {cell.data: cell for cell in cells}.values():
        for root in (cell.images, *map(Path, cell.changes.get("also", ()))):
            if not (root.is_dir() or is_archive(root)):
                raise UsageError(
                    f"{path}: images.{cell.data}: {root} is no folder of images, and no archive of one "
                    f"({', '.join(ENDINGS)})"
                )
        if (labels := cell.changes.get("labels")) and not Path(labels).is_file():
            raise UsageError(f"{path}: images.{cell.data}: {labels}, its table of labels, is not there")
    return cells


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    for key in values:
        if key not in _KEYS:
            yield f"{key}: no such key; {nearest(key, _KEYS)}"
    images = values.get("images")
    if images is None or images == {}:
        yield f"[images] is {'missing' if images is None else 'empty'}: write {_IMAGES}"
    elif not isinstance(images, Mapping):
        yield f"images: must be a table: write {_IMAGES}; got {received(images)}"
    else:
        for name, data in images.items():
            if not _NAME.fullmatch(name):
                yield f"images: a name has letters, digits, '_' and '-', 40 at most, got {received(name)}"
            yield from _problems_of_data(f"images.{name}", data)
    for key, kind, what in (("presets", str, "names"), ("seeds", int, "whole numbers")):
        listed = values.get(key, [0])
        if not isinstance(listed, list) or not listed or len(set(map(repr, listed))) < len(listed):
            yield f"{key}: must be a list of {what}, each once, got {received(listed)}"
        elif key in values and not all(type(one) is kind for one in listed):
            yield f"{key}: must be a list of {what}, got {received(listed)}"
    yield from _problems_of_settings(values.get("settings", {}))


def _problems_of_data(name: str, data: object) -> Iterator[str]:
    """Of a data set: a folder or archive, or a table of settings that say which images it has."""
    if isinstance(data, Mapping):
        for key in data:
            if key not in _OF_DATA:
                yield f"{name}.{key}: no such key of a data set; {nearest(key, _OF_DATA)}"
        name, data = f"{name}.images", data.get("images", "")
    if not isinstance(data, str) or not data:
        yield f"{name}: must be a folder or an archive, got {received(data)}"


def _problems_of_settings(settings: object) -> Iterator[str]:
    if not isinstance(settings, Mapping):
        yield f"settings: must be a table of keys of study.toml, got {received(settings)}"
        return
    if varied := [key for key in _BY_SWEEP if key in settings]:
        yield f"settings.{varied[0]}: the sweep sets it itself; leave it out"
    if _names_study(settings.get("storage")):
        yield "settings.storage: the sweep has several studies, which are named by it; leave the name of the study out"


def _names_study(storage: object) -> bool:
    try:
        return isinstance(storage, str) and ServerUrl.parse(storage).study is not None
    except ValueError:  # reported with the other settings
        return False


def _from_here(key: str, value: Any, folder: Path) -> Any:
    """The value of a setting; of a path relative to the file's folder, which is not that of the study, absolute."""
    if isinstance(value, list) and key == "also":
        return [_from_here("labels", one, folder) for one in value]
    if not isinstance(value, str) or not value:
        return value  # no path, or reported with the other settings
    of_weights = key.startswith("weights.") and value != toml.FROM_KERAS and not is_name(value) and value[0] != "~"
    of_groups = key == "groups" and is_table(value, folder)
    return str((folder / value).resolve()) if key == "labels" or of_groups or of_weights else value


def _cells(path: Path, home: Path, values: Mapping[str, Any]) -> Iterator[Cell]:
    settings = values.get("settings", {})
    flat = {key: value for key, value in settings.items() if key not in _TABLES or not isinstance(value, Mapping)}
    for table in _TABLES:
        if isinstance(settings.get(table), Mapping):
            flat |= {f"{table}.{name}": value for name, value in settings[table].items()}
    flat = {key: _from_here(key, value, path.parent) for key, value in flat.items()}
    for seed in values.get("seeds", [0]):
        for data, given in values["images"].items():
            of_data = dict(given) if isinstance(given, Mapping) else {"images": given}
            images = (path.parent / of_data.pop("images")).resolve()
            own = {key: _from_here(key, value, path.parent) for key, value in of_data.items()}
            for preset in values.get("presets", ["auto"]):
                folder = StudyFolder(home / f"{data}-{preset}-{seed}")
                yield Cell(data, preset, seed, folder, images, {**flat, **own, "preset": preset, "seed": seed})
