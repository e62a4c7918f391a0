"""Where the images of a set lie, and which class each has, as the user says it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from search.text import as_unicode

ENDINGS = (".zip", ".tar", ".tar.gz", ".tgz")
OTHER_ENDINGS = (".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".7z", ".rar", ".gz", ".bz2", ".xz", ".zst")  # known by name

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

    @property
    def says_classes(self) -> bool:
        """Whether more than folders decides which class a picture has."""
        return bool(self.labels or self.pattern or self.classes or self.merge)


def is_archive(path: Path) -> bool:
    """Whether this is a file that is read as an archive, by its ending."""
    return path.name.lower().endswith(ENDINGS) and path.is_file()


def stem_of(path: Path) -> str:
    """The name of an archive without its ending; of anything else the name."""
    if not is_archive(path):
        return path.name
    longest = max((each for each in ENDINGS if path.name.lower().endswith(each)), key=len)
    return path.name[: -len(longest)] or path.name


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
