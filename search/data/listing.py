"""The files of a set of images, with the class of each, as plain values."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.data.splits import Role
from search.data.tree import Note
from search.text import printable

PLAIN = "One folder a class."
PLAIN_SPLITS = "Folders for training and for testing, with one folder a class in each."


@dataclass(frozen=True)
class ImageFile:
    """A file that may be an image."""

    path: Path  # as the system knows it
    shown: str  # relative to the root, always valid Unicode
    class_name: str | None  # None: lies outside any class folder
    testing: bool
    name: str = ""  # as its class's folder would have it: the same in every layout, see `ImageSet.names`
    group: str | None = None  # that a table of labels says; None: alone


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose name is a class; of a table or pattern, a class for one purpose."""

    class_name: str  # NFC, always valid Unicode
    shown: str  # of a table or pattern the class
    role: Role

    @property
    def testing(self) -> bool:
        """Whether its images are for testing."""
        return self.role is Role.TESTING


@dataclass(frozen=True)
class Listing:
    """What a set of images holds, in an order that does not depend on the file system."""

    files: tuple[ImageFile, ...]  # by training before testing, class, name
    folders: tuple[ClassFolder, ...]
    notes: tuple[Note, ...]
    has_testing: bool  # there are testing folders, or pictures that a table calls so
    reading: str = PLAIN  # what was understood, one sentence
    grouped_by: str = ""  # where `ImageFile.group` is from, in words; '': nowhere


def order(file: ImageFile) -> tuple[bool, str, bytes, bytes]:
    """The key by which files are sorted: the same images have one order in every layout."""
    return file.testing, file.class_name or "", os.fsencode(file.name), os.fsencode(file.shown)


def similar_names(folders: Sequence[ClassFolder]) -> list[Note]:
    """Notes on classes whose names are easily mistaken for each other."""
    names = {folder.class_name for folder in folders if not folder.testing}
    notes: dict[str, Note] = {}
    for folder in folders:
        name = folder.class_name
        alike = sorted(other for other in names if other != name and _bare(other) == _bare(name))
        if alike and not folder.testing:
            how = "case" if alike[0].casefold() == name.casefold() else "spaces and case"
            message = f"Differs from class '{printable(alike[0])}' in {how} only: kept as two classes."
            notes.setdefault(folder.shown, Note(folder.shown, "similar names", message, False))
    return list(notes.values())


def _bare(name: str) -> str:
    """Without what is easily mistaken: case, spaces and underscores."""
    return " ".join(name.replace("_", " ").casefold().split()) or name
