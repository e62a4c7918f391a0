"""Pictures of one scene by the time in their EXIF: several tries, a burst, a picture turned. The user is told."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from search.data.groups import GroupIds, connected, numbered
from search.data.series import IF_ONE_THING, likeness_words
from search.text import printable

GAP = 3.0  # seconds to the picture before, at most: hardly time to go to another thing
MIN_SCENES = 3  # with several pictures; fewer are chance
MOST = 0.5  # share of a class in one scene, above which it is a camera on a stand, or a clock that was not set


def find_scenes(taken: NDArray[np.float64], labels: NDArray[np.integer]) -> GroupIds | None:
    """[images], equal for images of one class that were taken one right after the other; None where there are none.

    Args:
        taken: [images], seconds; NaN: unknown.
        labels: [images], class of each.
    """
    first, second = list[int](), list[int]()
    for label in np.unique(labels):
        rows = np.flatnonzero((labels == label) & ~np.isnan(taken))
        rows = rows[np.argsort(taken[rows], kind="stable")]
        close = np.diff(taken[rows]) <= GAP
        scene = np.concatenate([[0], np.cumsum(~close)]) if len(rows) else rows
        if len(rows) and np.bincount(scene).max() <= MOST * len(rows):
            first += rows[:-1][close].tolist()
            second += rows[1:][close].tolist()
    scenes = connected(np.arange(len(labels)), pairs=(np.array(first, np.intp), np.array(second, np.intp)))
    return scenes if (np.bincount(scenes) > 1).sum() >= MIN_SCENES else None


def in_words(scenes: GroupIds, paths: Sequence[str], alike: tuple[float, float] | None) -> str:
    """A sentence for the user; `alike`: see `duplicates.most_alike_in_group`."""
    several = np.flatnonzero(np.bincount(scenes)[scenes] > 1)
    one, other = (printable(paths[row]) for row in np.flatnonzero(scenes == scenes[several[0]])[:2])
    return (
        f"{len(several):,} images were taken within {GAP:g} s of another of their class, by the times in their EXIF, "
        f"such as {one} and {other}: {len(np.unique(scenes[several])):,} groups.{likeness_words(alike)} "
        f"{IF_ONE_THING}: `search check` writes a table of them for --groups."
    )


def table(scenes: GroupIds, paths: Sequence[str], beside: Sequence[str | None] = ()) -> str:
    """A table for --groups, as CSV.

    `beside`: [images], groups by their names, which stay together too; None: alone. () for no such groups.
    """
    groups = connected(scenes, *([numbered(beside)] if beside else []))
    several = np.bincount(groups)[groups] > 1
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(("path", "group"))
    # './': no cell begins like a formula of a spreadsheet; --groups reads it as the same path.
    rows.writerows(
        (f"./{path}", f"{group}" if own else "") for path, group, own in zip(paths, groups, several, strict=True)
    )
    return text.getvalue()
