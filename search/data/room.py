"""Where the pixels of a set are kept: in memory, or in a file that the system maps into it piece by piece.

A mapped page is read again when it is needed, so the system may drop it: only what is worked on is in memory.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.native import memory
from search.text import printable

SHARE = 0.25  # of this machine's memory that pixels may take; the rest is for workers, and for other programs
_LARGE = Path("/var/tmp")  # noqa: S108 - of the system, for large files; /tmp is memory on some


def empty_pixels(shape: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    """An array [images, height, width, channels] of any values, which is in a file where it is large.

    The file has no name and is gone with the array, however the process ends. It is in the folder TMPDIR, else in
    /var/tmp. Raises UsageError where that has no room for it.
    """
    needed = math.prod(shape)
    if needed <= SHARE * memory():
        return np.empty(shape, np.uint8)
    folder = Path(os.environ.get("TMPDIR") or (_LARGE if _LARGE.is_dir() else tempfile.gettempdir()))
    try:
        if shutil.disk_usage(folder).free < needed:
            raise OSError("there is not so much free")
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):  # else writing to it on a disk that is full by then is SIGBUS
                os.posix_fallocate(file.fileno(), 0, needed)
            else:
                file.truncate(needed)
            return np.memmap(file, np.uint8, "r+", shape=shape)
    except OSError as error:
        images, height, width, _ = shape
        raise UsageError(
            f"{images:,} images of {height} x {width} pixels take {needed / 1e9:.3g} GB, more than a quarter of this "
            f"machine's memory of {memory() / 1e9:.3g} GB, and cannot be kept in a file in {printable(str(folder))}: "
            f"{error.strerror or error}; free some space, set TMPDIR to a folder with room, or read the images smaller "
            "with --image-size"
        ) from None


def chosen_pixels(pixels: NDArray[np.uint8], rows: NDArray[np.integer], channels: int) -> NDArray[np.uint8]:
    """Some images of `pixels`, in the order of `rows`, with the first `channels` of them; another array.

    Where `pixels` are in a file, they are copied one by one.
    """
    chosen = empty_pixels((len(rows), *pixels.shape[1:3], channels))
    for place, row in enumerate(rows):
        chosen[place] = pixels[row, :, :, :channels]
    return chosen
