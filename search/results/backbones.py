"""Pre-trained networks side by side: those known here, and those of a study."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ListedBackbone:
    """A pre-trained network that can be used here, or could be."""

    name: str  # as `--backbone` and `[space]` take it
    title: str
    source: str | None = None  # a package or a file; None: not at hand, as all that follow
    licence: str | None = None  # of its weights
    sha256: str | None = None  # of the file of its weights
    bytes: int | None = None  # of that file
    milliseconds: float | None = None  # an image, measured here, by one thread
    missing: str | None = None  # why it is not at hand, and how to get it; None: it is
