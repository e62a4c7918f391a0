"""`smallsearch.json` within a model's file: what using the model needs to know."""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

from search.errors import UsageError

ABOUT = "smallsearch.json"  # within the .keras file, which is a ZIP archive
PACKAGING = 2
"""How models are made into files, as a number in ABOUT. Of 1, which files without one are, `model(x)` in Keras alone
obeyed a `training: true` in the file where a pre-trained network was resized for, and no converter took them."""
_MAX_ABOUT = 2**20  # bytes of it that are read
_MAX_SIDE = 1024  # pixels, as in the configuration


@dataclass(frozen=True)
class About:
    """What using a model needs to know."""

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # height, width, channels of what the model takes, 0..255
    packaging: int = PACKAGING
    grey_bits: int = 16  # 16-bit grey is scaled from 0..2^grey_bits - 1 to 0..255

    @property
    def outdated(self) -> bool:
        """Whether the file is of an earlier release, and plain Keras may be answered wrongly by it."""
        return self.packaging < PACKAGING


def about(path: Path) -> About:
    """What the model in this file needs. Raises UsageError where it is none of ours."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(ABOUT) as stream:
            told = json.loads(stream.read(_MAX_ABOUT))
        classes, shape = tuple(map(str, told["classes"])), tuple(map(int, told["image_shape"]))
        packaging, grey_bits = int(told.get("packaging", 1)), int(told.get("grey_bits", 16))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, OverflowError, RecursionError):
        raise UsageError(f"{path} is no model of `search export`: it does not say which classes it knows") from None
    sound = len(shape) == 3 and min(shape) >= 1 and shape[2] in (1, 3) and max(shape) <= _MAX_SIDE
    sound = sound and 8 <= grey_bits <= 16
    if len(set(classes)) < 2 or len(set(classes)) < len(classes) or not sound:
        raise UsageError(f"{path} is damaged: classes {list(classes)}, images of the shape {list(shape)}")
    return About(classes, (shape[0], shape[1], shape[2]), packaging, grey_bits)
