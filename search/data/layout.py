"""Which files of a folder are meant as images of which class."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.data.arrangement import LAYOUT, Arrangement, NoClassesError, Part, Source, arrange
from search.data.hints import hint
from search.data.splits import Role
from search.data.tree import Folder, Note, read_tree
from search.errors import UsageError
from search.text import as_unicode, printable, quoted


@dataclass(frozen=True)
class ImageFile:
    """A file that may be an image."""

    path: Path  # as the system knows it
    shown: str  # relative to the root, always valid Unicode
    class_name: str | None  # None: lies outside any class folder
    testing: bool


@dataclass(frozen=True)
class ClassFolder:
    """A folder whose name is a class."""

    class_name: str  # NFC, always valid Unicode
    shown: str
    role: Role

    @property
    def testing(self) -> bool:
        """Whether its images are for testing."""
        return self.role is Role.TESTING


@dataclass(frozen=True)
class Listing:
    """What a folder of images holds, in an order that does not depend on the file system."""

    files: tuple[ImageFile, ...]  # by training before testing, class, name
    folders: tuple[ClassFolder, ...]
    notes: tuple[Note, ...]
    has_testing: bool  # there is a testing folder


def list_images(root: Path) -> Listing:
    """Find the class folders below `root` and the files in them.

    Args:
        root: `ROOT/<class>/*`, or `ROOT/training/<class>/*` with `ROOT/testing/<class>/*` beside it; see `arrange` for
            the other layouts.

    Raises:
        UsageError: the path is missing, is not a folder, holds no class folders, or can be read in two ways.
    """
    try:
        problem = None if root.is_dir() else "not a folder" if root.exists() else "no such folder"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    if problem:
        raise UsageError(f"{name_of(root)}: {problem}. Give the folder that holds the class folders; {LAYOUT}.")
    tree = read_tree(root)
    try:
        arrangement = arrange(tree, name_of(root))
        listing = _Listing(arrangement).listing()
        if not any(not folder.testing for folder in listing.folders):
            raise NoClassesError(_no_classes(root, listing.notes))
    except NoClassesError as error:
        raise UsageError(f"{error}{hint(tree)}") from None
    return listing


def files_below(folder: Path) -> tuple[list[Path], list[Note]]:
    """All files below a folder that may be images, in order, and notes on what is left out, as of a class's folder."""
    folders = list(read_tree(folder).below())
    files = sorted((file for inner in folders for file in inner.files), key=os.fsencode)
    return files, [note for inner in folders for note in inner.notes]


def name_of(path: Path) -> str:
    """A path in an error message: always one printable line."""
    return printable(as_unicode(path))


def _no_classes(root: Path, notes: Sequence[Note]) -> str:
    links = sum(note.kind == "link" for note in notes)
    unreadable = sum(note.kind == "unreadable" for note in notes)
    copy = f"; `cp -rL {quoted(name_of(root))} real` makes a folder of real files"
    return (
        f"{name_of(root)}: no class folders to learn from"
        + (
            f", {links} symbolic links (not followed, so that no set shows files that are not its own{copy})"
            if links
            else ""
        )
        + (f", {unreadable} folders that cannot be read" if unreadable else "")
        + f"; {LAYOUT}."
    )


def _bare(name: str) -> str:
    """Without what is easily mistaken: case, spaces and underscores."""
    return " ".join(name.replace("_", " ").casefold().split()) or name


class _Listing:
    """Collects files, class folders and notes."""

    def __init__(self, arrangement: Arrangement) -> None:
        self.arrangement = arrangement
        self.notes = list(arrangement.notes)
        self.files: list[ImageFile] = []
        self.folders: list[ClassFolder] = []

    def listing(self) -> Listing:
        for folder in self.arrangement.outside:
            self.notes += folder.notes
            self.files += [ImageFile(path, folder.relative(path), None, False) for path in folder.files]
        for source in self.arrangement.sources:
            self._read(source)
        for part in self.arrangement.parts:
            if part.role is Role.VALIDATION:
                self._note_validation(part)
        self._note_alike()
        files = sorted(self.files, key=lambda f: (f.testing, f.class_name or "", os.fsencode(f.path)))
        has_testing = any(source.role is Role.TESTING for source in self.arrangement.sources)
        return Listing(tuple(files), tuple(self.folders), tuple(self.notes), has_testing)

    def _read(self, source: Source) -> None:
        folder, testing = source.folder, source.role is Role.TESTING
        name = self._class_name(source)
        self.folders.append(ClassFolder(name, folder.shown, source.role))
        for inner in folder.below():
            self.notes += inner.notes
            if inner is not folder and inner.files:
                message = f"Folder inside class '{printable(name)}': its {len(inner.files)} files count for that class."
                self._note(inner, "nested", message)
            self.files += [ImageFile(path, inner.relative(path), name, testing) for path in inner.files]

    def _class_name(self, source: Source) -> str:
        """The class in NFC; beside training, 'Cat' is 'cat' where training has only that."""
        name = unicodedata.normalize("NFC", source.class_name)
        if any(folder.class_name == name and folder.role is source.role for folder in self.folders):
            if source.class_name == source.folder.name:
                message = f"Differs from another folder in spelling only: both are class '{printable(name)}'."
                self._note(source.folder, "merged", message)
            return name
        known = {folder.class_name for folder in self.folders if folder.role is not source.role}
        alike = [other for other in known if other.casefold() == name.casefold()]
        if source.role is Role.TRAINING or name in known or len(alike) != 1:
            return name
        message = f"Differs from training class '{printable(alike[0])}' in case only: read as that."
        self._note(source.folder, "merged", message)
        return alike[0]

    def _note_validation(self, part: Part) -> None:
        count = sum(len(inner.files) for folder in part.classes for inner in folder.below())
        message = f"Its {count} files were added to training: the search draws its own validation folds."
        self._note(part.folder, "merged", message)

    def _note_alike(self) -> None:
        names = {folder.class_name for folder in self.folders if not folder.testing}
        for folder in self.folders:
            name = folder.class_name
            alike = sorted(other for other in names if other != name and _bare(other) == _bare(name))
            if alike and not folder.testing:
                how = "case" if alike[0].casefold() == name.casefold() else "spaces and case"
                message = f"Differs from class '{printable(alike[0])}' in {how} only: kept as two classes."
                self.notes.append(Note(folder.shown, "similar names", message, False))

    def _note(self, folder: Folder, kind: str, message: str) -> None:
        self.notes.append(Note(folder.shown, kind, message, False))
