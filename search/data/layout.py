"""Which files of a folder are meant as images of which class."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from search.data.arrangement import LAYOUT, Arrangement, NoClassesError, Part, SeveralSetsError, Source, arrange
from search.data.classes import choose
from search.data.hints import hint, hint_of_sets
from search.data.labelled import labelled
from search.data.listing import PLAIN, PLAIN_SPLITS, ClassFolder, ImageFile, Listing, order, similar_names
from search.data.origin import Origin
from search.data.places import Place
from search.data.splits import Role, by_role, splits_among
from search.data.tree import Folder, Note, read_tree
from search.errors import UsageError
from search.text import as_unicode, printable, quoted


def list_images(root: Path) -> Listing:
    """Find the class folders below `root` and the files in them; see `list_set`."""
    return list_set([Place(root, root)], Origin((root,)))


def list_set(places: Sequence[Place], origin: Origin) -> Listing:
    """Find the files of a set and the class of each.

    Args:
        places: the roots of `origin`, opened. Each has `ROOT/<class>/*`, or `ROOT/training/<class>/*` with
            `ROOT/testing/<class>/*` beside it; see `arrange` for the other layouts. Roots that are splits by their
            names, such as train/ and test/, are read as folders of one.
        origin: what the user says of them; with a table or a pattern folders are no classes.

    Raises:
        UsageError: a path is missing, is not a folder, holds no class folders, or can be read in two ways; the table,
            pattern or classes do not fit.
    """
    for place in places:
        _check(place)
    trees = [read_tree(place.folder, place.prefix) for place in places]
    if origin.labels is not None or origin.pattern is not None:
        listing = labelled(trees, origin)
    else:
        listing = _of_folders(trees, places)
    notes = (*(note for place in places for note in place.notes), *listing.notes)
    return choose(replace(listing, notes=notes, reading=_reading(places, listing)), origin)


def _check(place: Place) -> None:
    root = place.folder
    try:
        problem = None if root.is_dir() else "not a folder" if root.exists() else "no such folder"
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    if problem:
        raise UsageError(f"{name_of(root)}: {problem}. Give the folder that holds the class folders; {LAYOUT}.")


def _of_folders(trees: Sequence[Folder], places: Sequence[Place]) -> Listing:
    """Classes by folders, of each root or of all as splits of one."""
    names = [tree.name for tree in trees]
    splits = by_role(splits_among(names)) if len(set(names)) == len(names) > 1 else {}
    if Role.TRAINING in splits and sum(map(len, splits.values())) == len(names):
        pictures = sum(tree.pictures for tree in trees)
        around = Folder(places[0].folder.parent, "", list(trees), pictures=pictures, is_root=True)
        return _arranged(around, ", ".join(name_of(place.given) for place in places), places[0])
    listings = [_arranged(tree, name_of(place.given), place) for tree, place in zip(trees, places, strict=True)]
    if len(listings) == 1:
        return listings[0]
    files = sorted((file for listing in listings for file in listing.files), key=order)
    folders = tuple(folder for listing in listings for folder in listing.folders)
    notes = [note for listing in listings for note in listing.notes if note.kind != "similar names"]
    return Listing(
        tuple(files),
        folders,
        (*notes, *similar_names(folders)),
        any(listing.has_testing for listing in listings),
        " ".join(dict.fromkeys(listing.reading for listing in listings)),
    )


def _arranged(tree: Folder, where: str, place: Place) -> Listing:
    try:
        arrangement = arrange(tree, where)
        listing = _Listing(arrangement).listing()
        if not any(not folder.testing for folder in listing.folders):
            raise NoClassesError(_no_classes(place.given, listing.notes))
    except NoClassesError as error:
        raise UsageError(f"{error}{hint(tree, place.given)}") from None
    except SeveralSetsError as error:
        raise UsageError(f"{error}{hint_of_sets(error.around, error.sets[0], place)}") from None
    return listing


def _reading(places: Sequence[Place], listing: Listing) -> str:
    """What was understood, one sentence; before it one on roots and archives."""
    named = ", ".join(printable(as_unicode(Path(os.path.normpath(place.given.absolute())).name)) for place in places)
    if len(places) > 1:
        return f"Read as one set from {len(places)} places: {named}. {listing.reading}"
    return f"Read from the archive {named}. {listing.reading}" if places[0].is_archive else listing.reading


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
        self.notes += similar_names(self.folders)
        files = sorted(self.files, key=order)
        has_testing = any(source.role is Role.TESTING for source in self.arrangement.sources)
        return Listing(tuple(files), tuple(self.folders), tuple(self.notes), has_testing, self._reading(has_testing))

    def _reading(self, has_testing: bool) -> str:
        told = [note.message for note in self.arrangement.notes if note.kind == "layout"]
        return told[0] if told else PLAIN_SPLITS if has_testing else PLAIN

    def _read(self, source: Source) -> None:
        folder, testing = source.folder, source.role is Role.TESTING
        name = self._class_name(source)
        self.folders.append(ClassFolder(name, folder.shown, source.role))
        for inner in folder.below():
            self.notes += inner.notes
            if inner is not folder and inner.files:
                message = f"Folder inside class '{printable(name)}': its {len(inner.files)} files count for that class."
                self._note(inner, "nested", message)
            self.files += [
                ImageFile(path, inner.relative(path), name, testing, as_unicode(path.relative_to(folder.path)))
                for path in inner.files
            ]

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

    def _note(self, folder: Folder, kind: str, message: str) -> None:
        self.notes.append(Note(folder.shown, kind, message, False))
