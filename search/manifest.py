"""`smallsearch.json` in a model file: what a program needs to know to use the model."""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.files import no_links

ABOUT = "smallsearch.json"  # within the .keras file, which is a ZIP archive; of other formats see `search/export`
PACKAGING = 2
"""Version of the packaging, a number in ABOUT; files without one have version 1. In version 1, a resizing layer before
a pre-trained network was saved with `training: true`: `model(x)` in plain Keras gave wrong answers, and no converter
accepted the file."""
_MAX_ABOUT = 2**20  # bytes of it that are read
_WORD = 65535  # the largest value of 16-bit grey
_MAX_SIDE = 1024  # pixels, as in the configuration
_MAX_OUTSIDE = 384  # pixels that a network outside of the model is shown: the linear probe has 128
_FEATURES = "remembered.float16"  # within the same archive: those of `Remembered.seen`, row by row, little endian
_STYLE = "remembered-style.float16"  # those of `Remembered.style`
STANDARDIZED = "standardized"  # name of the model's layer that standardises features; in an ensemble numbers follow
OURS = ABOUT, _FEATURES, _STYLE  # what is in the archive beside what Keras writes
_MAX_FEATURES = 16 * 2**20  # bytes of them
_TEMPERATURES = 0.01, 100.0  # the least and the largest
_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, EOFError, RuntimeError),  # of the archive; RuntimeError: encrypted, or too new
    *(LookupError, ValueError, TypeError, AttributeError, OverflowError),  # of what is in it
)
"""What reading an archive raises that `search export` did not write."""


@dataclass(frozen=True)
class About:
    """What using a model needs to know."""

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # height, width, channels of the model's input, whose values are 0..255
    packaging: int = PACKAGING
    grey_bits: int = 16  # 16-bit grey is scaled from 0..2^grey_bits - 1 to 0..255, unless there is a window
    grey_window: tuple[int, int] | None = None  # the values of 16-bit grey that become 0 and 255
    pictures: str = ""  # name of the folder of images of its study; empty in old files
    fingerprint: str = ""  # of these images, as in the study's database
    made: str = ""  # when, as in the record of the choice in the study's database
    temperature: float = 1.0  # how the network's probabilities are corrected: `stats/calibration.py`
    doubt: float = 0.0
    quantized: str = ""  # 'float16' or 'int8': how the numbers of an exported file were shortened

    @property
    def outdated(self) -> bool:
        """Whether an earlier release wrote the file, so that it may give wrong answers in plain Keras."""
        return self.packaging < PACKAGING


def about(path: Path) -> About:
    """Read the description in a model file. Raises UsageError for a file that `search export` did not write."""
    return parsed(stored(path), path)


def stored(path: Path) -> bytes:
    """The description in a model as it is: in the ZIP archive that a file is or ends with, or beside a SavedModel.

    Raises UsageError where there is none.
    """
    try:
        if path.is_dir():
            return _beside(path)
        with zipfile.ZipFile(path) as archive, archive.open(ABOUT) as stream:
            return stream.read(_MAX_ABOUT)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except _DAMAGED:
        raise _foreign(path) from None


def _beside(folder: Path) -> bytes:
    """Raises OSError."""
    with open(folder / ABOUT, "rb", opener=no_links) as stream:
        return stream.read(_MAX_ABOUT)


def _foreign(path: Path) -> UsageError:
    return UsageError(f"{path} is no model of `search export`: it does not say which classes it knows")


def parsed(description: bytes, path: Path) -> About:
    """What the description of the model at `path` says. Raises UsageError unless it is sound."""
    try:
        content = json.loads(description)
        classes, shape = tuple(map(str, content["classes"])), tuple(map(int, content["image_shape"]))
        packaging, grey_bits = int(content.get("packaging", 1)), int(content.get("grey_bits", 16))
        window = content.get("grey_window")
        grey_window = None if window is None else (int(window[0]), int(window[1]))
        temperature, doubt = float(content.get("temperature", 1.0)), float(content.get("doubt", 0.0))
        pictures, fingerprint, made = (str(content.get(key, "")) for key in ("study", "fingerprint", "made"))
        quantized = str(content.get("quantized", ""))
    except _DAMAGED:
        raise _foreign(path) from None
    sound = len(shape) == 3 and min(shape) >= 1 and shape[2] in (1, 3) and max(shape) <= _MAX_SIDE
    sound = sound and (grey_window is None or 0 <= grey_window[0] < grey_window[1] <= _WORD)
    sound = sound and 8 <= grey_bits <= 16 and _TEMPERATURES[0] <= temperature <= _TEMPERATURES[1] and 0 <= doubt < 1
    if len(set(classes)) < 2 or len(set(classes)) < len(classes) or not sound:
        raise UsageError(
            f"{path} is damaged: classes {list(classes)}, images of the shape {list(shape)}, "
            f"temperature {temperature:g}, doubt {doubt:g}"
        )
    size = (shape[0], shape[1], shape[2])
    depth, corrected = (grey_bits, grey_window), (temperature, doubt)
    return About(classes, size, packaging, *depth, pictures, fingerprint, made, *corrected, quantized)


@dataclass(frozen=True)
class Known:
    """What one way of seeing images gave for the training images, and how far from all of it is too far."""

    limit: float  # the distance above which an image is unlike them, 0 to 2
    features: NDArray[np.float16]  # [vectors, width]

    @property
    def plain(self) -> dict[str, Any]:
        """For ABOUT: all but the features."""
        vectors, width = self.features.shape
        return {"limit": self.limit, "vectors": vectors, "width": width}


@dataclass(frozen=True)
class Outside:
    """A pre-trained network that is not in the model, and what it is shown: by it, as it is, images are remembered."""

    sha256: str  # of its weights, in hex
    side: int  # pixels
    mirrored: bool  # whether also the mirror image is shown, and both are averaged

    @property
    def plain(self) -> dict[str, Any]:
        """For ABOUT."""
        return vars(self)


@dataclass(frozen=True)
class Remembered:
    """What a model remembers of its training images, to tell what is unlike all of them; see `stats/unlike.py`."""

    layer: str  # of the model, whose input [images, width] ends with the features; empty: they are seen by `outside`
    seen: Known  # those features: of the backbone's top, or of all its maps in files of earlier releases
    style_map: int = 0  # the number of the backbone's map whose `spaces.backbones.style` is remembered, too
    style: Known | None = None  # None in files of earlier releases
    outside: Outside | None = None

    @property
    def known(self) -> tuple[Known, ...]:
        """An image is unlike the training images if it is by any of them."""
        return (self.seen, self.style) if self.style else (self.seen,)

    @property
    def plain(self) -> dict[str, Any]:
        """For ABOUT: all but the features."""
        style = {"style": {"map": self.style_map, **self.style.plain}} if self.style else {}
        outside = {"outside": self.outside.plain} if self.outside else {}
        return {"layer": self.layer, **self.seen.plain, **style, **outside}


def write_remembered(archive: zipfile.ZipFile, remembered: Remembered) -> None:
    """Add the features to a model file; what describes them is in ABOUT."""
    for name, known in zip((_FEATURES, _STYLE), remembered.known, strict=False):
        archive.writestr(name, known.features.astype("<f2").tobytes())


def remembered(path: Path) -> Remembered | None:
    """What a model file remembers; None where it remembers nothing. Raises UsageError if it is damaged.

    No more is read than the sizes that it declares, which have bounds.
    """
    try:
        if not zipfile.is_zipfile(path):  # of a format that has no archive, and remembers nothing
            return None
        with zipfile.ZipFile(path) as archive:
            if ABOUT not in archive.namelist():
                return None
            with archive.open(ABOUT) as stream:
                said = json.loads(stream.read(_MAX_ABOUT)).get("remembered")
            if said is None:
                return None
            layer, seen, style = said["layer"], _known(archive, _FEATURES, said), said.get("style")
            number = 0 if style is None else style["map"]
            if not (isinstance(layer, str) and isinstance(number, int) and number >= 0):
                raise ValueError("its layer or its map cannot be one")
            of_style = None if style is None else _known(archive, _STYLE, style)
            return Remembered(layer, seen, number, of_style, _outside(said.get("outside")))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except _DAMAGED:
        raise UsageError(f"{path} is damaged: what it remembers of its training images cannot be read") from None


def _outside(said: Mapping[str, Any] | None) -> Outside | None:
    """Raises KeyError, TypeError or ValueError."""
    if said is None:
        return None
    sha256, side, mirrored = said["sha256"], said["side"], said["mirrored"]
    sound = isinstance(sha256, str) and isinstance(side, int) and isinstance(mirrored, bool)
    if not sound or not 8 <= side <= _MAX_OUTSIDE:
        raise ValueError("it cannot be shown this")
    return Outside(sha256, side, mirrored)


def _known(archive: zipfile.ZipFile, name: str, said: Mapping[str, Any]) -> Known:
    """Raises KeyError, TypeError or ValueError."""
    limit, vectors, width = float(said["limit"]), said["vectors"], said["width"]
    sizes = isinstance(vectors, int) and isinstance(width, int)
    if not (sizes and vectors >= 1 and width >= 1 and 2 * vectors * width <= _MAX_FEATURES and 0 <= limit <= 2):
        raise ValueError("it declares sizes that are never written")
    with archive.open(name) as stream:
        content = stream.read(2 * vectors * width + 1)
    features = np.frombuffer(content, "<f2").reshape(vectors, width).astype(np.float16)
    if not np.isfinite(features).all():
        raise ValueError("its features are not finite")
    return Known(limit, features)
