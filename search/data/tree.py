"""A folder with all that is below it but what is hidden or linked from outside. Names only: no file is opened here."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath

from search.data.formats import IMAGE_ENDINGS, OTHER_ENDINGS
from search.text import as_unicode

_SYSTEM_NAMES = frozenset({"thumbs.db", "ehthumbs.db", "desktop.ini", "__macosx", "@eadir", "$recycle.bin", "icon\r"})
_PICTURES = IMAGE_ENDINGS | OTHER_ENDINGS | {""}  # some sets name pictures by a hash alone
_TEXTS = frozenset({"readme", "license", "copying", "authors", "changelog", "makefile"})


DOUBT = "another folder"
"""The kind of notes that say why another folder may be meant: they are shown before everything else."""


@dataclass(frozen=True)
class Note:
    """Something about the folder that a user should know."""

    path: str  # as shown, relative to the root, '/' between parts
    kind: str  # short and countable: 'unreadable', 'hidden', 'copy', …
    message: str  # one sentence: what, and what was done about it
    left_out: bool  # True: the image (or the whole folder) is not in the set


@dataclass(eq=False)
class Folder:
    """A folder, what lies directly in it, and notes on what is left out of that."""

    path: Path
    shown: str  # relative to the root, always valid Unicode; '' for the root
    folders: list[Folder] = field(default_factory=list)  # by name, as bytes
    files: list[Path] = field(default_factory=list)  # by name, as bytes; regular ones, or links to such below the root
    notes: list[Note] = field(default_factory=list)
    pictures: int = 0  # files below it whose names are those of pictures
    is_root: bool = False  # whether it is the one that was named

    @property
    def name(self) -> str:
        """Its name as valid Unicode."""
        return as_unicode(self.path.name)

    @property
    def pictures_here(self) -> list[Path]:
        """Files directly in it whose names are those of pictures."""
        return [path for path in self.files if is_picture(path.name)]

    @property
    def own_pictures(self) -> int:
        """How many files directly in it have names of pictures."""
        return len(self.pictures_here)

    @property
    def inner(self) -> list[Folder]:
        """The folders directly in it that hold pictures."""
        return [folder for folder in self.folders if folder.pictures]

    @property
    def is_empty(self) -> bool:
        """Whether there is no file below it."""
        return not any(folder.files for folder in self.below())

    def below(self) -> Iterator[Folder]:
        """It and all folders below. A loop: a hostile folder can be deeper than Python may recurse."""
        pending = [self]
        while pending:
            folder = pending.pop()
            yield folder
            pending.extend(folder.folders)

    def relative(self, path: Path) -> str:
        """A path below it, relative to the root, as shown."""
        name = as_unicode(path.relative_to(self.path))
        return f"{self.shown}/{name}" if self.shown else name


def read_tree(root: Path, shown: str = "") -> Folder:
    """Everything below a folder. What cannot be looked at becomes a note. `shown`: what its paths begin with."""
    tree, real_root = Folder(root, shown, is_root=True), root.resolve()
    folders: list[Folder] = []
    for folder in tree.below():
        _read(folder, real_root)
        folders.append(folder)
    _leave_out_targets(folders)
    for folder in reversed(folders):  # each after all that is below it
        folder.pictures = folder.own_pictures + sum(inner.pictures for inner in folder.folders)
    return tree


def _read(folder: Folder, real_root: Path) -> None:
    try:
        entries = sorted(folder.path.iterdir(), key=os.fsencode)
    except OSError as error:
        message = f"Folder cannot be read ({error.strerror}): it is left out."
        folder.notes.append(Note(folder.shown, "unreadable", message, True))
        return
    for entry in entries:
        try:
            left_out = _sort_in(entry, folder, real_root)
        except OSError as error:
            left_out = "unreadable", f"Cannot be looked at ({error.strerror}): left out."
        if left_out:
            folder.notes.append(Note(folder.relative(entry), *left_out, True))


def _sort_in(entry: Path, folder: Folder, real_root: Path) -> tuple[str, str] | None:
    """Put an entry to the folders or files; the kind and message of a note where it is left out."""
    if is_hidden(entry.name):
        return "hidden", "Hidden, or made by an operating system: ignored."
    if entry.is_symlink():
        if problem := _link_problem(entry, real_root):
            return "link", problem
        folder.files.append(entry)
    elif entry.is_dir():
        folder.folders.append(Folder(entry, folder.relative(entry)))
    elif entry.is_file():
        folder.files.append(entry)
    else:  # opening a pipe would wait for ever
        return "not an image", "A pipe, socket or device, not a file: left out."
    return None


def _leave_out_targets(folders: Sequence[Folder]) -> None:
    """Leave out folders all of whose files are read through links elsewhere, as 'blobs' of a Hugging Face cache is."""
    links = {path.resolve(): folder for folder in folders for path in folder.files if path.is_symlink()}
    for parent in folders if links else ():
        for folder in list(parent.folders):
            places = [links.get(path.resolve()) for path in folder.files]
            if places and not folder.folders and all(place not in (None, folder) for place in places):
                message = f"Its {len(folder.files)} files are read through links to them: left out here."
                parent.notes.append(Note(folder.shown, "link", message, True))
                parent.folders.remove(folder)


def _link_problem(link: Path, real_root: Path) -> str | None:
    """Why a symbolic link is left out; None where it leads to a regular file below the root.

    A link may not lead out, since a set of pictures from a stranger could otherwise put other files of the user into a
    study, and into the report that is passed on.
    """
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a circle of links, up to Python 3.12
        return "Symbolic link that leads nowhere: left out."
    if not target.is_relative_to(real_root):
        what = "Symbolic link to a folder that" if target.is_dir() else "Symbolic link that"
        return f"{what} leads out of the folder: not followed, so that no set shows files that are not its own."
    if target.is_dir():
        return "Symbolic link to a folder: not followed, so nothing is counted twice."
    return None if target.is_file() else "Symbolic link to something that is not a file: left out."


def is_picture(name: str) -> bool:
    """Whether a file's name is that of a picture."""
    return PurePath(name).suffix.lower() in _PICTURES and name.lower() not in _TEXTS


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or made by an operating system."""
    return name.startswith(".") or name.casefold() in _SYSTEM_NAMES
