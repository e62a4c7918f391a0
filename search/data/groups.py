"""Images that stay in one fold: groups that the user names, and copies."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.patterns import searching
from search.data.table import ENDINGS, plain_path, read_table
from search.errors import UsageError
from search.text import printable

GroupIds = NDArray[np.int32]
"""[images], equal for images of one group."""


@dataclass(frozen=True)
class UserGroups:
    """The groups that the user names, such as patients or sites."""

    of: tuple[str | None, ...]  # [images]; None: alone
    identity: str  # equal for equal groups
    remark: str | None = None  # a sentence on images without a group
    source: str | None = None  # where they are from, if the data themselves name them


@dataclass(frozen=True)
class Grouping:
    """Which images stay in one fold, and which are in none."""

    units: GroupIds  # [images]: equal for images that stay in one fold
    excluded: NDArray[np.bool_]  # [images], True: in no fold, since it is for testing or in the unit of a testing image
    copies: GroupIds  # [images]: equal for copies, exact and near, outside of scenes
    scene: NDArray[np.bool_]  # [images], True: nearly the same as others, but as a picture of one scene, not a copy


def is_table(given: str, folder: Path = Path()) -> bool:
    """Whether `--groups` names a table, by its ending or because there is such a file, rather than a pattern."""
    if given.lower().endswith(ENDINGS):
        return True
    try:
        return (folder / given).is_file()
    except (OSError, ValueError):  # too long for a name, or with NUL
        return False


def named_groups(given: str, folder: Path, paths: Sequence[str]) -> UserGroups:
    """The group of each image.

    Args:
        given: a table with the columns path and group, a file relative to `folder` (see `is_table`); or a regular
            expression, searched for in each path, whose groups together (or the one named `group`) are the image's.
        folder: the study's.
        paths: of the images, relative to their folder.

    Raises:
        UsageError: there is no such table, it is malformed, the expression is invalid, or no image has a group.
    """
    if is_table(given, folder):
        table = _table(folder / given)
        of = tuple(table.get(plain_path(path)) for path in paths)
        identity = _identity(of)
        how = (
            f"has none of the {len(paths)} images: its paths begin at the folder of images, as {printable(paths[0])!r}"
        )
    else:
        with searching("groups", given, f"all {len(paths)} paths", ", nor the name of a table that is there"):
            of, identity = groups_by(given, paths), given
        how = f"matches none of the {len(paths)} images, whose paths are such as {printable(paths[0])!r}"
    if all(group is None for group in of):
        raise UsageError(f"groups: {printable(given)} {how}")
    return UserGroups(of, identity, _remark(of, paths))


def groups_of_data(of: Sequence[str | None], source: str, paths: Sequence[str]) -> UserGroups | None:
    """The groups that the data themselves name, such as a column of the table of labels; None where they name none.

    `of`: [images] the group of each; None: alone. `source`: where they are from, in words.
    """
    if all(group is None for group in of):
        return None
    return UserGroups(tuple(of), _identity(of), _remark(of, paths), source)


def _identity(of: Sequence[str | None]) -> str:
    digest = hashlib.sha256(json.dumps(list(of)).encode()).hexdigest()
    return f"a table (SHA-256 of its groups {digest[:16]}…)"


def _remark(of: Sequence[str | None], paths: Sequence[str]) -> str | None:
    alone = [path for path, group in zip(paths, of, strict=True) if group is None]
    return f"{len(alone)} images have no group and stand alone, such as {printable(alone[0])}." if alone else None


def _table(path: Path) -> dict[str, str | None]:
    """Path -> group; None where the cell is empty. Paths are as `plain_path` makes them."""
    table = read_table(path, "groups", "the columns path and group")
    columns = {column.casefold(): place for place, column in reversed(list(enumerate(table.columns)))}
    if not {"path", "group"} <= set(columns):
        shown = printable(", ".join(table.columns)) or "none"
        raise UsageError(f"groups: {path} must have the columns path and group in its first line, got {shown}")
    groups: dict[str, str | None] = {}
    for row in table.rows:
        name, group = plain_path(row.cells[columns["path"]]), row.cells[columns["group"]] or None
        if groups.setdefault(name, group) != group:
            raise UsageError(
                f"groups: {path}, line {row.line}: {printable(name)} is in two groups, "
                f"{printable(str(groups[name]))} and {printable(str(group))}; leave one line of it"
            )
    return groups


def groups_by(pattern: str, paths: Sequence[str]) -> tuple[str | None, ...]:
    """[images] the group of each path by a regular expression, None where it is not found.

    Raises UsageError for an expression without a group, re.error for what is none.
    """
    compiled = re.compile(pattern)
    if not compiled.groups:
        raise UsageError(
            f"groups: {printable(pattern)!r} must have a group in parentheses; for files such as p07_3.png: "
            "'p([0-9]+)_'"
        )
    which = [compiled.groupindex["group"]] if "group" in compiled.groupindex else range(1, compiled.groups + 1)

    def group(path: str) -> str | None:
        match = compiled.search(path)
        parts = [match[place] for place in which] if match else []
        return None if all(part is None for part in parts) else "\0".join(part or "" for part in parts)

    return tuple(map(group, paths))


def group_images(
    labels: NDArray[np.int16],
    testing: NDArray[np.bool_],
    same: NDArray[np.integer],
    near: NDArray[np.integer],
    named: Sequence[str | None] = (),
    sources: NDArray[np.integer] | None = None,
) -> Grouping:
    """Join copies and named groups into units, and exclude training images in the unit of a testing image.

    Near copies that would join more than half of a class's training images, where exact copies and named groups do
    not, are pictures of one scene rather than copies, and join nothing.

    Args:
        labels: [images], class of each image.
        testing: [images], True: not trained on.
        same: [images], equal for exact copies.
        near: [images], equal for near copies.
        named: [images], the user's group of each; None: none. () for no groups.
        sources: [images], equal for versions of one picture by their names; None: there are none.
    """
    versions = [] if sources is None else [sources]
    certain = connected(same, *versions, *([numbered(named)] if named else []))
    units = connected(certain, near)
    swallowed = np.isin(units, _swallowing(units, certain, labels, testing))
    scene = swallowed & (np.bincount(near)[near] > 1)
    near = np.where(scene, near.max(initial=0) + 1 + np.arange(len(labels)), near)
    units, copies = connected(certain, near), connected(same, near)
    return Grouping(units, np.isin(units, units[testing]), copies, scene)


def numbered(named: Sequence[str | None]) -> NDArray[np.intp]:
    """[images], equal for images of one group; an image without a group is alone."""
    first: dict[str, int] = {}
    return np.array([row if name is None else first.setdefault(name, row) for row, name in enumerate(named)])


def _swallowing(
    units: GroupIds, certain: GroupIds, labels: NDArray[np.int16], testing: NDArray[np.bool_]
) -> NDArray[np.integer]:
    """The units that hold more than half of a class's training images, and more than what in them is `certain`."""
    swallowing = []
    for label in np.unique(labels[~testing]):
        rows = np.flatnonzero((labels == label) & ~testing)
        before = np.zeros(units.max() + 1, np.intp)
        np.maximum.at(before, units[rows], np.bincount(certain[rows])[certain[rows]])
        counts = np.bincount(units[rows], minlength=len(before))
        swallowing.append(np.flatnonzero(counts > np.maximum(before, len(rows) / 2)))
    return np.concatenate(swallowing)


def connected(*parts: NDArray[np.integer], pairs: tuple[NDArray[np.intp], NDArray[np.intp]] | None = None) -> GroupIds:
    """[images], equal for images that a chain joins: of images in one part, or of `pairs` (first and second rows).

    `parts`: one or more arrays [images], equal for images of one part.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count, ends = len(parts[0]), [*([pairs] if pairs else [])]
    for each in parts:
        _, first, which = np.unique(each, return_index=True, return_inverse=True)
        ends.append((np.arange(count), first[which]))
    edges = np.concatenate(ends, axis=1)
    graph = coo_array((np.ones(edges.shape[1], np.bool_), (edges[0], edges[1])), shape=(count, count))
    ids: GroupIds = connected_components(graph, directed=False)[1]
    return ids
