"""The results of the check of the images as plain values: all that `search check` shows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

RIGHT_FOLDER = "Is this the right folder?"
"""What is asked before everything else where `Findings.doubt` says why."""


class DuplicateKind(StrEnum):
    """What it means that two images show the same picture; the worst first."""

    CONTRADICTION = "contradiction"  # in two classes
    LEAK = "leak"  # in training and testing
    COPY = "copy"  # in one class and one part
    MIRRORED = "mirrored"  # in two classes, one turned left to right: two classes only where flips are off


@dataclass(frozen=True)
class Remark:
    """Something about one file or folder."""

    path: str  # relative to the root; may hold anything that a file's name can
    kind: str  # short and countable
    message: str
    left_out: bool


@dataclass(frozen=True)
class ImageView:
    """One image of a pair."""

    path: str
    class_name: str
    testing: bool
    pixels: NDArray[np.uint8]  # [height, width, 1 or 3], as the search reads it


@dataclass(frozen=True)
class PairView:
    """Two images that show the same picture."""

    kind: DuplicateKind
    first: ImageView
    second: ImageView
    exact: bool  # the same pixels; else nearly the same
    mirrored: bool
    likeness: float  # correlation of grey values, 1: the same


@dataclass(frozen=True)
class ClassRow:
    """One class in numbers."""

    name: str
    training: int  # images that are not for testing
    searched: int  # of these, images in the folds
    independent: int  # of these, where a group of copies counts once
    testing: int
    size: tuple[int, int]  # median height and width of its files, in pixels
    smallest: tuple[int, int]  # by area
    largest: tuple[int, int]
    grey: float  # share of images without colour


@dataclass(frozen=True)
class Findings:
    """The results of the check of a folder of images."""

    name: str
    images: int  # that can be read and have a class
    testing: int
    shape: tuple[int, int, int]  # height, width, channels as they are read
    classes: tuple[ClassRow, ...]
    folds: int | None  # None: the images cannot be searched
    problem: str | None  # why they cannot
    sentences: tuple[str, ...]  # the most important first
    pairs: tuple[PairView, ...]  # worst kind first
    remarks: tuple[Remark, ...]  # on files, those left out first
    scenes: str | None = None  # a table for --groups, as CSV, of pictures taken at one time; None: there are none
    doubt: str = ""  # why another folder may be meant; empty: nothing says so
    reading: str = ""  # how folders, table or pattern were understood, one sentence

    def of(self, kind: DuplicateKind) -> tuple[PairView, ...]:
        """The pairs of one kind."""
        return tuple(pair for pair in self.pairs if pair.kind == kind)
