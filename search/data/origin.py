"""Where the images of a set lie, and which class each has, as the user says it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from search.data.archives import is_archive, stem_of, unpacked
from search.data.tree import Note
from search.text import as_unicode

_NAMED, _LONGEST = 3, 100  # roots in the name of a set, and characters of it


@dataclass(frozen=True)
class Origin:
    """What is read as one set of images."""

    roots: tuple[Path, ...]  # folders, or archives
    labels: Path | None = None  # a table with the label of each picture; None: folders are classes, or `pattern` is set
    columns: str | None = None  # what its columns mean, as 'path=file,label=breed'; None: by their names
    pattern: str | None = None  # a regular expression, whose group in a picture's name is its label
    classes: tuple[str, ...] = ()  # these alone, after `merge`; (): all
    merge: tuple[str, ...] = ()  # 'new=a+b': classes that are read as one


@dataclass(frozen=True)
class Place:
    """A root that can be read as a folder."""

    folder: Path  # for an archive a temporary one
    given: Path  # as the user named it, for messages
    prefix: str = ""  # what its paths begin with; '' where there is one root alone
    notes: tuple[Note, ...] = ()  # on what of an archive was left out

    @property
    def is_archive(self) -> bool:
        """Whether it was unpacked."""
        return self.folder != self.given


@contextmanager
def opened(roots: Sequence[Path], wanted: Collection[str] | None = None) -> Iterator[list[Place]]:
    """The roots as folders; archives are unpacked, and removed at the end.

    `wanted`: the paths of the images that are read, as `ImageSet.paths`; None: all. Raises UsageError.
    """
    prefixes = prefixes_of(roots)
    with ExitStack() as stack:
        places = []
        for root, prefix in zip(roots, prefixes, strict=True):
            if not is_archive(root):
                places.append(Place(root, root, prefix))
                continue
            start = f"{prefix}/" if prefix else ""
            of_root = None if wanted is None else [path[len(start) :] for path in wanted if path.startswith(start)]
            found = stack.enter_context(unpacked(root, of_root))
            notes = tuple(Note(start + note.path, note.kind, note.message, note.left_out) for note in found.notes)
            places.append(Place(found.folder, root, prefix, notes))
        yield places


def prefixes_of(roots: Sequence[Path]) -> tuple[str, ...]:
    """What the paths of each root begin with: its name, with a number where two have one name; '' for a root alone."""
    if len(roots) == 1:
        return ("",)
    prefixes: list[str] = []
    for root in roots:
        name = as_unicode(_named(root))
        number = 1
        while (prefix := name if number == 1 else f"{name} ({number})") in prefixes:
            number += 1
        prefixes.append(prefix)
    return tuple(prefixes)


def name_of_set(roots: Sequence[Path]) -> str:
    """The name of a set, for folders and files that are made of it: 'pictures', or 'cats+dogs' for two roots."""
    names = [_named(root) for root in roots]
    joined = "+".join(names[:_NAMED])
    if len(names) > _NAMED or len(joined) > _LONGEST:
        return f"{names[0]}+{len(names) - 1}" if len(names) > 1 else names[0]
    return joined


def _named(root: Path) -> str:
    """The name of a root, a link's own; that of an archive without its ending."""
    return stem_of(Path(os.path.normpath(root.absolute())))
