"""Images that stay in one fold: groups that the user names, and copies."""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import re
import signal
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.text import printable

_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods")  # endings that no pattern has
_DELIMITERS = ",;\t"
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # what .xlsx, .ods and .xls begin with
_SECONDS = 2.0  # of processor time, to search all paths for a pattern; usual patterns take milliseconds

GroupIds = NDArray[np.int32]
"""[images], equal for images of one group."""


@dataclass(frozen=True)
class UserGroups:
    """The groups that the user names, such as patients or sites."""

    of: tuple[str | None, ...]  # [images]; None: alone
    identity: str  # equal for equal groups
    remark: str | None = None  # a sentence on images without a group


@dataclass(frozen=True)
class Grouping:
    """Which images stay in one fold, and which are in none."""

    units: GroupIds  # [images]: equal for images that stay in one fold
    excluded: NDArray[np.bool_]  # [images], True: in no fold, since it is for testing or in the unit of a testing image
    copies: GroupIds  # [images]: equal for copies, exact and near, outside of scenes
    scene: NDArray[np.bool_]  # [images], True: nearly the same as others, but as a picture of one scene, not a copy


def is_table(given: str, folder: Path = Path()) -> bool:
    """Whether `--groups` names a table, by its ending or because there is such a file, rather than a pattern."""
    if given.lower().endswith(_TABLES):
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
        of = tuple(table.get(_plain(path)) for path in paths)
        digest = hashlib.sha256(json.dumps(of).encode()).hexdigest()
        identity = f"a table (SHA-256 of its groups {digest[:16]}…)"
        how = (
            f"has none of the {len(paths)} images: its paths begin at the folder of images, as {printable(paths[0])!r}"
        )
    else:
        of, identity = _matched(given, paths), given
        how = f"matches none of the {len(paths)} images, whose paths are such as {printable(paths[0])!r}"
    alone = [path for path, group in zip(paths, of, strict=True) if group is None]
    if len(alone) == len(paths):
        raise UsageError(f"groups: {printable(given)} {how}")
    if not alone:
        return UserGroups(of, identity)
    return UserGroups(
        of, identity, f"{len(alone)} images have no group and stand alone, such as {printable(alone[0])}."
    )


def _table(path: Path) -> dict[str, str | None]:
    """Path -> group; None where the cell is empty. Paths are as `_plain` makes them."""
    text = _text(path)
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    groups: dict[str, str | None] = {}
    try:
        rows = csv.DictReader(
            io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True, restval=""
        )
        columns = {column.strip().casefold(): column for column in rows.fieldnames or ()}
        if not {"path", "group"} <= set(columns):
            shown = printable(", ".join(rows.fieldnames or ())) or "none"
            raise UsageError(f"groups: {path} must have the columns path and group in its first line, got {shown}")
        for row in rows:
            name, group = _plain(row[columns["path"]]), row[columns["group"]].strip() or None
            if groups.setdefault(name, group) != group:
                raise UsageError(
                    f"groups: {path}, line {rows.line_num}: {printable(name)} is in two groups, "
                    f"{printable(str(groups[name]))} and {printable(str(group))}; leave one line of it"
                )
    except csv.Error as error:
        raise UsageError(f"groups: {path} is not CSV: {error}") from None
    return groups


def _text(path: Path) -> str:
    """A table as text: UTF-8, or UTF-16 as Excel writes it. Raises UsageError."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"groups: {path} cannot be read: {error.strerror}; name a CSV file with the columns path and group"
        ) from None
    if content.startswith(_SPREADSHEETS):
        raise UsageError(f"groups: {path} is a spreadsheet; save it as CSV in UTF-8, and name that file")
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise UsageError(f"groups: {path} is not UTF-8; save it as CSV in UTF-8") from None


def _plain(path: str) -> str:
    """A path as it is compared: composed letters, '/' between its parts."""
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/").removeprefix("./"))


def _matched(pattern: str, paths: Sequence[str]) -> tuple[str | None, ...]:
    try:
        with _time_limit():  # the pattern of a hostile study, such as (a+)+$, may take for ever
            return groups_by(pattern, paths)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            f"groups: {printable(pattern)!r} is no regular expression ({error}), nor the name of a table that is there"
        ) from None
    except TimeoutError:
        raise UsageError(
            f"groups: {printable(pattern)!r} must be found in all {len(paths)} paths within {_SECONDS:g} s, and was "
            "not; write it without a repetition in a repetition, such as (a+)+, or name a table instead"
        ) from None


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


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raise TimeoutError inside after `_SECONDS` of processor time; `re` handles signals. Main thread only."""

    def over(_signal: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


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
