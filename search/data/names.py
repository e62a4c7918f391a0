"""Names of files that say which picture they are made from: the table of tools, and what follows for the folds.

Names that may say it, but are given by people too, are in `series`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from search.data.groups import GroupIds, connected
from search.text import printable

_UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
_COPY = r"(?:copy|kopie|copie|copia|kopia|копия)"


@dataclass(frozen=True)
class Naming:
    """How names say which picture a file is made from."""

    title: str  # in a sentence
    name: str  # expression for a file's name without its ending; its group `source` is the name of the picture
    across: bool = False  # a source is the same in all folders of a class, also in training and testing
    needs_original: bool = False  # only where the picture itself lies beside its versions

    @cached_property
    def expression(self) -> re.Pattern[str]:
        """`name`, compiled; it ignores case."""
        return re.compile(self.name, re.IGNORECASE)


KERAS = Naming("Keras (save_to_dir)", r"(?P<source>.*_(?:0|[1-9]\d{0,5}))_(?P<random>0|[1-9]\d{0,6})")
"""`random` is drawn from 0 to 9,999,999; it is what tells these names from others that end with two numbers."""

ROBOFLOW = Naming("Roboflow", r"(?P<source>.+)_(?:jpe?g|png|bmp|webp|tiff?|gif|heic)\.rf\.[0-9a-z]{16,}", across=True)

NAMINGS = (
    ROBOFLOW,
    Naming("Augmentor", rf".+?_original_(?P<source>.+?)(?:\.[a-z]+)?_{_UUID4}", across=True),
    KERAS,
    Naming("a file manager", rf"(?P<source>.+?) [-\u2013] {_COPY}(?: \(\d+\))?"),
    Naming("a file manager", r"(?P<source>.+?) copy(?: \d+)?", needs_original=True),
    Naming("a file manager", rf"{_COPY} (?:of|von|de|di) (?P<source>.+)"),
)
"""The first that matches a name counts."""

_OF_ANY = re.compile(
    r"(?:images?|img|photos?|pictures?|pic|file|blob|unnamed|untitled|download(?:ed)?|screenshot)", re.IGNORECASE
)  # names that browsers and phones give to any picture
_USUAL_VERSIONS = 3  # of one picture; more of such a name are many pictures

_MIN_SEVEN = 0.7  # share of numbers drawn below 10,000,000 that must have seven digits: 90 % have
_MIN_SPREAD = 2_000_000  # between the smallest and the largest of five or more of them


@dataclass(frozen=True)
class Versions:
    """Images that are made from one picture, by their names."""

    sources: GroupIds  # [images], equal for versions of one picture, and for that picture
    sentences: tuple[str, ...]  # on these
    named: frozenset[int]  # rows of the images that have a name of a tool, and of what they are made from


@dataclass(frozen=True)
class NamedFile:
    """An image by its name."""

    row: int
    folder: str
    stem: str  # the name without its ending
    label: int


Matches = dict[tuple[str, ...], list[int]]
"""Rows by source: class, folder (empty where it does not matter), name of the picture."""


def find_versions(paths: Sequence[str], labels: Sequence[int]) -> Versions:
    """Find versions of one picture by the names that tools give them.

    Args:
        paths: [images], relative to the folder of images, '/' between parts.
        labels: [images], the class of each: versions are of one class.
    """
    files = named_files(paths, labels)
    originals = {(file.label, file.folder, file.stem): file.row for file in files}
    sentences: list[str] = []
    certain: list[list[int]] = []
    taken: set[int] = set()
    for naming in NAMINGS:
        groups = _groups(naming, [file for file in files if file.row not in taken], files, originals)
        if untold := _untelling(naming, groups, files):
            rows = [row for key in untold for row in groups.pop(key)]
            taken.update(rows)
            sentences.append(_untold(naming, len(rows), paths[rows[-1]]))
        rows = [row for group in groups.values() for row in group]
        taken.update(rows)
        if rows:
            certain += groups.values()
            sentences.append(_kept(naming, len(rows), len(groups), paths[rows[-1]]))
    first, second = (np.array(rows, np.intp) for rows in _pairs(certain))
    sources = connected(np.arange(len(files)), pairs=(first, second))
    return Versions(sources, tuple(sentences), frozenset(taken))


def named_files(paths: Sequence[str], labels: Sequence[int]) -> list[NamedFile]:
    """The images [images] by their names."""
    return [NamedFile(row, *_parts(path), label) for row, (path, label) in enumerate(zip(paths, labels, strict=True))]


def _groups(
    naming: Naming, free: Sequence[NamedFile], files: Sequence[NamedFile], originals: Mapping[tuple[int, str, str], int]
) -> Matches:
    """The pictures that have versions, each with itself where it is there; `free`: files without a source yet."""
    groups: Matches = {}
    for key, versions in _matches(naming, free).items():
        original = _original(naming, [files[row] for row in versions], key[-1], originals)
        if len(versions) + len(original) > 1 and (original or not naming.needs_original):
            groups[key] = [*original, *versions]
    return groups


def _untelling(naming: Naming, groups: Matches, files: Sequence[NamedFile]) -> list[tuple[str, ...]]:
    """The keys of the groups whose name says nothing: of all of a folder or class, or such as any upload has."""
    if naming is KERAS:
        folders = Counter(key[:-1] for key in groups)
        return [key for key, rows in groups.items() if folders[key[:-1]] == 1 and len(rows) > 2]
    if naming is not ROBOFLOW:
        return []
    classes = Counter(str(file.label) for file in files)
    doubtful = [key for key, rows in groups.items() if _OF_ANY.fullmatch(key[-1]) or len(rows) == classes[key[0]]]
    most = max([_USUAL_VERSIONS, *(len(rows) for key, rows in groups.items() if key not in doubtful)])
    return [key for key in doubtful if len(groups[key]) > most]


def _parts(path: str) -> tuple[str, str]:
    """The folder, and the name without its ending."""
    folder, _, name = path.rpartition("/")
    stem, dot, _ = name.rpartition(".")
    return folder, stem if dot else name


def _pairs(groups: Sequence[Sequence[int]]) -> tuple[list[int], list[int]]:
    """The first row of each group, with each of the others."""
    pairs = [(group[0], row) for group in groups for row in group[1:]]
    return [first for first, _ in pairs], [second for _, second in pairs]


def _matches(naming: Naming, files: Sequence[NamedFile]) -> Matches:
    found: Matches = {}
    numbers: list[str] = []
    for file in files:
        match = naming.expression.fullmatch(file.stem)
        if match:
            place = "" if naming.across else file.folder
            found.setdefault((str(file.label), place, match["source"]), []).append(file.row)
            numbers += [match["random"]] if naming is KERAS else []
    return {} if naming is KERAS and not _are_random(numbers) else found


def _are_random(numbers: Sequence[str]) -> bool:
    """Whether they look drawn from 0 to 9,999,999, as times and numbers in order do not."""
    values = sorted(map(int, numbers))
    if not values or sum(len(number) == 7 for number in numbers) < _MIN_SEVEN * len(numbers):
        return False
    if len(values) > 2 and math.gcd(*values) >= 10:  # in equal steps; of random ones 1 in 200
        return False
    return len(values) < 5 or values[-1] - values[0] > _MIN_SPREAD


def _original(
    naming: Naming, versions: Sequence[NamedFile], source: str, originals: Mapping[tuple[int, str, str], int]
) -> list[int]:
    """The row of the picture itself, where it lies in the folder of a version, or in the one above; else []."""

    def places() -> Iterator[str]:
        for file in versions:
            yield file.folder
            if naming.across:
                yield file.folder.rpartition("/")[0]

    rows = {row for place in places() if (row := originals.get((versions[0].label, place, source))) is not None}
    return sorted(rows - {file.row for file in versions})


# ---- in words


def _kept(naming: Naming, count: int, sources: int, example: str) -> str:
    return (
        f"{count:,} images are versions of {sources:,} {'picture' if sources == 1 else 'pictures'}, by the names that "
        f"{naming.title} gives, such as {printable(example)}: those of one picture stay in one fold."
    )


def _untold(naming: Naming, count: int, example: str) -> str:
    what = "number" if naming is KERAS else "name"
    return (
        f"{count:,} images have names that {naming.title} gives, such as {printable(example)}, with one {what} "
        "for many, so they do not say which picture each is made from. If there are several versions of one, scores "
        "are too good: search the pictures as they were before."
    )


# ---- masks

_MASK = re.compile(
    r"(.+?)[ _-](?:(?:gt|ground[ _-]?truth|binary|seg(?:mentation)?)[ _-]?)?(?:masks?|seg(?:mentation)?|gt)"
    r"(?:[ _-]?\d+)?|(?:mask|seg|gt)[ _-](.+)",
    re.IGNORECASE,
)
_MASK_FOLDER = re.compile(
    r"(?:.*[ _-])?(?:masks?|ground[ _-]?truths?|gt|segmentations?|labels?|annotations?)", re.IGNORECASE
)


def holds_masks(name: str) -> bool:
    """Whether a folder of this name, such as 'labels', may hold masks or other answers to the pictures beside it."""
    return _MASK_FOLDER.fullmatch(name) is not None


def mask_rows(paths: Sequence[str]) -> list[int]:
    """Rows of images that are named as the mask of another.

    `x_mask.png` beside `x.png`; or `x.png` in a folder such as `masks`, most of whose files are named as those of
    another folder.
    """
    files = [_parts(path) for path in paths]
    folders: dict[str, set[str]] = {}
    for folder, stem in files:
        folders.setdefault(folder, set()).add(stem)
    of_masks = {folder for folder in folders if _is_mask_folder(folder, folders)}

    def is_mask(folder: str, stem: str) -> bool:
        match = _MASK.fullmatch(stem)
        return folder in of_masks or (match is not None and (match[1] or match[2]) in folders[folder])

    return [row for row, file in enumerate(files) if is_mask(*file)]


def _is_mask_folder(folder: str, folders: Mapping[str, set[str]]) -> bool:
    if not holds_masks(folder.rpartition("/")[2]):
        return False
    own = folders[folder]
    others = (stems for other, stems in folders.items() if other != folder)
    return any(2 * len(own & stems) > len(own) for stems in others)
