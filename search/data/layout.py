"""Which files of a folder are meant as images of which class. Names only: no file is opened here."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from search.errors import UsageError
from search.text import as_unicode, printable

LAYOUT = "expected FOLDER/<class>/* or FOLDER/training/<class>/* with FOLDER/testing/<class>/*"

_ROLES = {
    "training": "training",
    "train": "training",
    "testing": "testing",
    "test": "testing",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
}
_SYSTEM_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "icon\r"})


@dataclass(frozen=True)
class Note:
    """Something about the folder that a person should know."""

    path: str  # as shown, relative to the root, '/' between parts
    kind: str  # short and countable: 'unreadable', 'hidden', 'copy', …
    message: str  # one sentence: what, and what was done about it
    left_out: bool  # True: the image (or the whole folder) is not in the set


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
    testing: bool


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
        root: `ROOT/<class>/*`, or `ROOT/training/<class>/*` with `ROOT/testing/<class>/*` beside it. `train`,
            `test`, `validation`, `valid` and `val` are understood too, in upper or lower case.

    Raises:
        UsageError: the path is missing, is not a folder, holds no class folders, or can be read in two ways.
    """
    try:
        problem = None if root.is_dir() else "not a folder" if root.exists() else "no such folder"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    if problem:
        raise UsageError(f"{name_of(root)}: {problem}. Give the folder that holds the class folders; {LAYOUT}.")
    return _Walk(root).listing()


def files_below(folder: Path) -> tuple[list[Path], list[Note]]:
    """All files below a folder that may be images, in order, and notes on what is left out, as of a class's folder."""
    walk = _Walk(folder)
    files = walk.files_of_class(folder)
    return sorted(files, key=os.fsencode), [note for note in walk.notes if note.left_out]


def name_of(path: Path) -> str:
    """A path in an error message: always one printable line."""
    return printable(as_unicode(path))


def named(paths: Iterable[Path], most: int = 5) -> str:
    """`'a', 'b' and 3 more`: folder names in a message."""
    names = [f"'{printable(as_unicode(path.name))}'" for path in paths]
    listed = ", ".join(names[:most])
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"


@dataclass(frozen=True)
class _Part:
    """A folder that holds class folders, and what its images are for."""

    folder: Path
    role: str  # 'training' | 'testing' | 'validation'
    folders: Sequence[Path]  # directly in it
    files: Sequence[Path]


class _Walk:
    """One reading of one folder; collects notes as it goes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.real_root = root.resolve()
        self.notes: list[Note] = []
        self.files: list[ImageFile] = []
        self.folders: list[ClassFolder] = []

    def listing(self) -> Listing:
        parts = self._parts()
        for part in parts:
            self._read_part(part)
        self._note_alike()
        if not any(not folder.testing for folder in self.folders):
            raise UsageError(self._no_classes())
        files = sorted(self.files, key=lambda f: (f.testing, f.class_name or "", os.fsencode(f.path)))
        has_testing = any(part.role == "testing" for part in parts)
        return Listing(tuple(files), tuple(self.folders), tuple(self.notes), has_testing)

    # ---- layout

    def _parts(self) -> list[_Part]:
        """The root itself, or its training folder with what lies beside it.

        A class may be called 'train' (there are data sets of vehicles), so a name alone decides nothing: a
        training folder is one that holds folders.
        """
        folders, files = self._look(self.root)
        by_role: dict[str, list[Path]] = {}
        for folder in folders:
            by_role.setdefault(_ROLES.get(folder.name.casefold(), ""), []).append(folder)
        others = by_role.pop("", [])
        split = any(self._holds_folders(folder) for group in by_role.values() for folder in group)
        if not split and (not by_role or (set(by_role) == {"training"} and others)):
            for folder in by_role.get("training", []):
                self._note(folder, "class name", "Holds no folders, so it is read as a class of this name.", False)
            return [_Part(self.root, "training", folders, files)]
        self._check_split(by_role, others, split)
        for folder in others:
            self._note(folder, "outside any class", "Lies beside the training folder: all in it is left out.", True)
        self._stray(files)
        parts = [_Part(group[0], role, *self._look(group[0])) for role, group in by_role.items()]
        return sorted(parts, key=lambda part: ("training", "validation", "testing").index(part.role))

    def _check_split(self, by_role: dict[str, list[Path]], others: Sequence[Path], split: bool) -> None:
        where = name_of(self.root)
        for role, group in by_role.items():
            if len(group) > 1:
                raise UsageError(
                    f"{where}: {len(group)} folders could hold the {role} images: {named(group)}. "
                    "One is needed: move their images together, or rename the others."
                )
        found = [folder for group in by_role.values() for folder in group]
        if "training" not in by_role:
            raise UsageError(
                f"{where}: has {named(found)} but no training folder"
                + (f" (beside it: {named(others)})" if others else "")
                + ". Put the class folders to learn from into a folder 'training', or rename "
                f"{named(found)} if it is a class."
            )
        if not split:
            raise UsageError(f"{where}: {named(found)} holds no class folders; {LAYOUT}.")
        if others and len(by_role) == 1:
            raise UsageError(
                f"{where}: can be read in two ways: {named(found)} holds folders as a training folder does, "
                f"and {named(others)} beside it could be classes. Rename {named(found)} if it is a class; "
                "otherwise move the others away."
            )

    def _holds_folders(self, folder: Path) -> bool:
        try:
            return any(entry.is_dir() for entry in folder.iterdir() if not _is_hidden(entry.name))
        except OSError:
            return False  # the reading proper will say so

    def _no_classes(self) -> str:
        links = sum(note.kind == "link" for note in self.notes)
        unreadable = sum(note.kind == "unreadable" for note in self.notes)
        return (
            f"{name_of(self.root)}: no class folders to learn from"
            + (f", {links} symbolic links (not followed)" if links else "")
            + (f", {unreadable} folders that cannot be read" if unreadable else "")
            + f"; {LAYOUT}."
        )

    # ---- classes

    def _read_part(self, part: _Part) -> None:
        self._stray(part.files)
        testing = part.role == "testing"
        known = {folder.class_name for folder in self.folders}
        here: set[str] = set()
        for folder in part.folders:
            name = self._class_name(folder, known, beside=part.role != "training")
            if name in here:
                message = f"Differs from another folder in spelling only: both are class '{printable(name)}'."
                self._note(folder, "merged", message, False)
            here.add(name)
            self.folders.append(ClassFolder(name, self._shown(folder), testing))
            found = self.files_of_class(folder)
            self.files.extend(ImageFile(path, self._shown(path), name, testing) for path in found)
        if part.role == "validation":
            inside = [file for file in self.files if file.path.is_relative_to(part.folder)]
            count = sum(file.class_name is not None for file in inside)
            message = f"Its {count} files were added to training: the search draws its own validation folds."
            self._note(part.folder, "merged", message, False)

    def _class_name(self, folder: Path, known: set[str], beside: bool) -> str:
        """The folder's name in NFC; beside training, 'Cat' is 'cat' where training has only that."""
        name = unicodedata.normalize("NFC", as_unicode(folder.name))
        if not beside or name in known:
            return name
        alike = [other for other in known if other.casefold() == name.casefold()]
        if len(alike) != 1:
            return name
        message = f"Differs from training class '{printable(alike[0])}' in case only: read as that."
        self._note(folder, "merged", message, False)
        return alike[0]

    def files_of_class(self, folder: Path) -> list[Path]:
        """All files below a class folder. A loop: a hostile folder can be deeper than Python may recurse."""
        found: list[Path] = []
        pending = [folder]
        while pending:
            here = pending.pop()
            folders, files = self._look(here)
            if here != folder and files:
                name = printable(as_unicode(folder.name))
                message = f"Folder inside class '{name}': its {len(files)} files count for that class."
                self._note(here, "nested", message, False)
            pending.extend(folders)
            found.extend(files)
        return found

    def _note_alike(self) -> None:
        names = {folder.class_name for folder in self.folders if not folder.testing}
        for folder in self.folders:
            alike = sorted(n for n in names if n != folder.class_name and n.casefold() == folder.class_name.casefold())
            if alike and not folder.testing:
                message = f"Differs from class '{printable(alike[0])}' in case only: kept as two classes."
                self.notes.append(Note(folder.shown, "similar names", message, False))

    def _stray(self, files: Iterable[Path]) -> None:
        self.files.extend(ImageFile(path, self._shown(path), None, False) for path in files)

    # ---- one folder

    def _look(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """The folders and the regular files directly in a folder, by name; the rest becomes notes."""
        folders: list[Path] = []
        files: list[Path] = []
        try:
            entries = sorted(folder.iterdir(), key=os.fsencode)
        except OSError as error:
            self._note(folder, "unreadable", f"Folder cannot be read ({error.strerror}): it is left out.", True)
            return folders, files
        for entry in entries:
            try:
                self._sort_in(entry, folders, files)
            except OSError as error:
                self._note(entry, "unreadable", f"Cannot be looked at ({error.strerror}): left out.", True)
        return folders, files

    def _sort_in(self, entry: Path, folders: list[Path], files: list[Path]) -> None:
        if _is_hidden(entry.name):
            self._note(entry, "hidden", "Hidden, or made by an operating system: ignored.", True)
        elif entry.is_symlink():
            problem = self._link_problem(entry)
            if problem:
                self._note(entry, "link", problem, True)
            else:
                files.append(entry)
        elif entry.is_dir():
            folders.append(entry)
        elif entry.is_file():
            files.append(entry)
        else:  # opening a pipe would wait for ever
            self._note(entry, "not an image", "A pipe, socket or device, not a file: left out.", True)

    def _link_problem(self, link: Path) -> str | None:
        """Why a symbolic link is left out; None where it leads to a regular file inside the root."""
        try:
            target = link.resolve(strict=True)
        except (OSError, RuntimeError):  # RuntimeError: a circle of links, up to Python 3.12
            return "Symbolic link that leads nowhere: left out."
        if target.is_dir():
            return "Symbolic link to a folder: not followed, so nothing is counted twice."
        if not target.is_relative_to(self.real_root):
            return "Symbolic link that leads out of the folder: left out."
        return None if target.is_file() else "Symbolic link to something that is not a file: left out."

    def _shown(self, path: Path) -> str:
        return as_unicode(path.relative_to(self.root))

    def _note(self, path: Path, kind: str, message: str, left_out: bool) -> None:
        self.notes.append(Note(self._shown(path), kind, message, left_out))


def _is_hidden(name: str) -> bool:
    return name.startswith(".") or name.casefold() in _SYSTEM_NAMES
