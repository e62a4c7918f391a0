"""Where the saved model looks in the images that a report shows: a small file in the study's cache.

It may be absent: it is made at the end of a session, where there is time. It may come from a stranger, so its size is
known before memory is taken for it, and nothing in it is run.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.files import replacing

HALF = 128  # of a map, whose most is 255: what is above counts as looked at
MOST_BYTES = 1_000_000  # of the file, and of each array in it: 80 maps of 32 x 32 have 82 kB
_KINDS = {"made": (np.uint8, 1), "of": (np.int32, 1), "rows": (np.int32, 1), "classes": (np.int32, 1)}
_KINDS |= {"maps": (np.uint8, 3)}
"""Name of an array -> its dtype and number of dimensions."""


@dataclass(frozen=True)
class Looks:
    """Maps of where a network looks in images, by Grad-CAM. All of the same size, which is that of no image."""

    made: str = ""  # the time of the choice whose network looks: what tells one choice from another
    trial: int = -1  # whose network it is
    unseen: bool = False  # whether each image is looked at by a network that was not trained on it
    classes: Mapping[int, int] = field(default_factory=dict)  # row of the study -> the class that was looked for
    maps: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)  # row -> [height, width], 255 where most

    def at(self, row: int, label: int) -> NDArray[np.uint8] | None:
        """The map of an image for a class; None if there is none."""
        return self.maps.get(row) if self.classes.get(row) == label else None


def write_looks(path: Path, looks: Looks) -> None:
    """Write the file, whole or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [*looks.maps]
    with replacing(path) as partial:
        np.savez_compressed(
            partial,
            made=np.frombuffer(looks.made.encode(), np.uint8),
            of=np.array([looks.trial, looks.unseen], np.int32),
            rows=np.array(rows, np.int32),
            classes=np.array([looks.classes[row] for row in rows], np.int32),
            maps=np.stack([looks.maps[row] for row in rows]),
        )


def read_looks(path: Path, made: str) -> Looks:
    """The maps of the choice that was made then; without any where there are none, or only those of another choice."""
    try:
        arrays = _arrays(path)
        found = arrays["made"].tobytes().decode()
        rows, classes, maps = arrays["rows"].tolist(), arrays["classes"].tolist(), arrays["maps"]
        trial, unseen = arrays["of"].tolist()
        if (maps.max(axis=(1, 2)) < HALF).any():
            raise ValueError("a map without a place that is looked at")
        by_row = dict(zip(rows, classes, strict=True)), dict(zip(rows, maps, strict=True))
    except Exception:  # noqa: BLE001 - a damaged file, or one from a stranger, may raise anything
        return Looks()
    return Looks(found, trial, bool(unseen), *by_row) if found == made and maps.size else Looks()


def _arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of the file. Raises ValueError for other ones, and whatever a damaged archive raises."""
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"{path} is too large")
    arrays: dict[str, NDArray[Any]] = {}
    with zipfile.ZipFile(path) as archive:
        for name, (kind, dimensions) in _KINDS.items():
            part = archive.getinfo(f"{name}.npy")
            if part.file_size > MOST_BYTES:
                raise ValueError(f"{name} is too large")
            stream = io.BytesIO(archive.read(part))
            if np.lib.format.read_magic(stream) != (1, 0):
                raise ValueError(f"{name} is of another version")
            shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
            rest = stream.read()
            if dtype != kind or len(shape) != dimensions or math.prod(shape) * dtype.itemsize != len(rest):
                raise ValueError(f"{name} is no such array")
            arrays[name] = np.frombuffer(rest, dtype).reshape(shape)
    return arrays
