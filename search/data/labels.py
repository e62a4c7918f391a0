"""The label of each picture where folders are no classes: here from its name, in `label_table` from a table."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from search.data.patterns import searching
from search.data.splits import Role, by_role, splits_among
from search.data.table import plain_path
from search.data.tree import Folder, Note
from search.errors import UsageError
from search.text import printable

LABEL = "label"  # a name of a group in a pattern
MAX_CLASSES = 1000  # more is no label, but a number or text of each picture


@dataclass(frozen=True)
class Candidate:
    """A file below a root that a table or pattern may give a label."""

    path: Path
    shown: str  # as `ImageFile.shown`
    base: Folder  # the root, or the folder of a split in it
    role: Role | None  # that of the folder; None: no folder says it
    picture: bool  # whether its name is that of a picture

    @cached_property
    def parts(self) -> tuple[str, ...]:
        """The parts of its path, as they are compared."""
        return PurePosixPath(plain_path(self.shown)).parts


@dataclass(frozen=True)
class Label:
    """What a table or pattern says of a picture."""

    name: str
    group: str | None = None
    role: Role | None = None  # None: not said


@dataclass(frozen=True)
class Labels:
    """The labels that were found."""

    of: Mapping[int, Label]  # by place among the candidates
    notes: tuple[Note, ...]
    reading: str  # what was understood, as a part of a sentence
    grouped_by: str = ""  # the column of groups, in words; '': there is none


def candidates(trees: Iterable[Folder]) -> list[Candidate]:
    """All files below roots, in order. Folders that are splits by their names decide what their files are for."""
    found: list[Candidate] = []
    for tree in trees:
        pending: list[tuple[Folder, Folder, Role | None]] = [(tree, tree, None)]
        while pending:
            folder, base, role = pending.pop()
            roles = _roles(folder) if role is None else {}
            pictures = {path.name for path in folder.pictures_here}
            for path in folder.files:
                found.append(Candidate(path, folder.relative(path), base, role, path.name in pictures))
            for inner in reversed(folder.folders):
                own = roles.get(inner.name)
                pending.append((inner, inner if own else base, own or role))
    return found


def _roles(folder: Folder) -> dict[str, Role]:
    roles = by_role(splits_among([inner.name for inner in folder.inner]))
    return {name: role for role, names in roles.items() for name in names} if len(roles) > 1 else {}


# ---- a pattern


def by_pattern(pattern: str, files: Sequence[Candidate]) -> Labels:
    """Labels from the pictures' names by a regular expression; from their paths where it has a '/'.

    Raises:
        UsageError: it is none, has not one group or one that is named `label`, or is found in no picture's name.
    """
    in_path = "/" in pattern
    pictures = [place for place, file in enumerate(files) if file.picture]
    names = [files[place].shown if in_path else files[place].parts[-1] for place in pictures]
    with searching("label_pattern", pattern, f"all {len(names)} {'paths' if in_path else 'names'}", ""):
        compiled = re.compile(pattern)
        if LABEL not in compiled.groupindex and compiled.groups != 1:
            raise UsageError(
                f"label_pattern: {printable(pattern)!r} must have one group in parentheses, or one that is named "
                "label; for files such as cat_001.jpg: '(?P<label>[a-z]+)_'"
            )
        which = LABEL if LABEL in compiled.groupindex else 1
        matches = [compiled.search(name) for name in names]
    found = [(match[which] or "").strip() if match else "" for match in matches]
    of = {place: Label(name) for place, name in zip(pictures, found, strict=True) if name}
    if not of:
        example = f", such as {printable(names[0])!r}" if names else ""
        raise UsageError(
            f"label_pattern: {printable(pattern)!r} is found in none of the {len(names)} pictures{example}"
        )
    check_count({label.name for label in of.values()}, f"label_pattern: {printable(pattern)!r} gives")
    message = "No label: the pattern is not found in its name."
    notes = [Note(files[place].shown, "no label", message, True) for place in pictures if place not in of]
    where = "path" if in_path else "name"
    return Labels(of, tuple(notes), f"the class of each picture from its {where} by {printable(pattern)}")


def check_count(names: set[str], what: str) -> None:
    """Raise UsageError where there are more labels than classes can be. `what` gives them, for the message."""
    if len(names) > MAX_CLASSES:
        raise UsageError(
            f"{what} {len(names):,} different labels, and at most {MAX_CLASSES:,} are read, such as "
            f"{printable(min(names))!r}: that is no class of each picture. Name another column or pattern"
        )
