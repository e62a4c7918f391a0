"""Grey of more than 8 bits, scaled to 0..255.

Cameras, microscopes and DICOM exports write 10, 12 or 14 bits in files of 16. So 16-bit grey has one scale for a whole
set of images, and a model keeps it: a scale of each file would make a dark picture as bright as a bright one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DEPTHS = (8, 10, 12, 14, 16)  # bits of grey that files of 16 bits may hold
FULL_DEPTH = DEPTHS[-1]
BITS, WINDOW = "grey_bits", "grey_window"  # in a study's identity and in a model's file; without both, FULL_DEPTH
CUT = 0.001  # share of a file's values at each end that a window may cut: broken pixels, reflections
_BYTE, _WORD = 255, 65535


@dataclass(frozen=True)
class Scale:
    """The values of deep grey that become 0 and 255; smaller and larger ones are cut to them."""

    low: int = 0
    high: int = _WORD

    @classmethod
    def of_bits(cls, bits: int) -> Scale:
        """The whole range of so many bits."""
        return cls(0, top_of(bits))

    @classmethod
    def of_plain(cls, plain: Mapping[str, Any]) -> Scale:
        """The scale in a study's identity or a model's file. Raises ValueError or TypeError for one that cannot be."""
        if (window := plain.get(WINDOW)) is not None:
            low, high = map(int, window)
            if not 0 <= low < high <= _WORD:
                raise ValueError(f"a window of grey of {low} to {high}")
            return cls(low, high)
        bits = int(plain.get(BITS, FULL_DEPTH))
        if not DEPTHS[0] <= bits <= FULL_DEPTH:
            raise ValueError(f"{bits} bits of grey")
        return cls.of_bits(bits)

    @classmethod
    def of_model(cls, bits: int, window: tuple[int, int] | None) -> Scale:
        """The scale that a model's description has, see `manifest.About`."""
        return cls.of_bits(bits) if window is None else cls(*window)

    @property
    def plain(self) -> dict[str, Any]:
        """For a study's identity and a model's file."""
        return {WINDOW: [self.low, self.high]} if self.bits is None else {BITS: self.bits}

    @property
    def bits(self) -> int | None:
        """Of which it is the whole range; None for a window."""
        return next((bits for bits in DEPTHS if self == Scale.of_bits(bits)), None)

    @property
    def is_full(self) -> bool:
        """Whether nothing is cut."""
        return self == FULL


FULL = Scale()


@dataclass(frozen=True)
class Extent:
    """The values of one file of deep grey, 0 to 65535."""

    low: int  # at most `CUT` of the values are smaller
    high: int  # at most `CUT` of them are larger
    largest: int


def is_words(image: Image.Image) -> bool:
    """Whether an image that was opened is 16-bit grey."""
    return image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I")


def is_deep(image: Image.Image) -> bool:
    """Whether an image that was opened is grey of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def words_of(image: Image.Image) -> NDArray[np.uint16]:
    """The values of 16-bit grey, [height, width]; decodes the image."""
    return np.asarray(image).astype(np.uint16, copy=False)


def extent_of(image: Image.Image) -> Extent | None:
    """The values of deep grey; None where they are of another range than 16 bits."""
    words = _as_words(image)
    if words is None:
        return None
    upto = np.cumsum(np.bincount(words.ravel()))  # values that are at most as large as each
    low = int(np.searchsorted(upto, CUT * upto[-1], side="right"))
    high = int(np.searchsorted(upto, math.ceil((1 - CUT) * upto[-1])))
    return Extent(low, high, len(upto) - 1)


def _as_words(image: Image.Image) -> NDArray[np.uint16] | None:
    """The values of deep grey, rounded up, where all of them are 0 to 65535."""
    if is_words(image):
        return words_of(image)
    values = np.asarray(image)
    if not _are_words(float(values.min()), float(values.max()), integers=image.mode == "I"):
        return None
    words: NDArray[np.uint16] = np.ceil(values).astype(np.uint16)
    return words


def scale_for(extents: Sequence[Extent]) -> Scale:
    """The scale of a set: the fewest bits that hold all values, or a window where it uses at most half of these.

    The window holds all but the outermost `CUT` of each file. So a set whose values lie close together, as those of
    many microscopes do, keeps twice as many of them apart at least.
    """
    bits = depth_for(max(extent.largest for extent in extents))
    low, high = min(extent.low for extent in extents), max(extent.high for extent in extents)
    if low < high and 2 * (high - low) <= top_of(bits):
        return Scale(low, high)
    return Scale.of_bits(bits)


def _are_words(low: float, high: float, *, integers: bool) -> bool:
    return low >= 0 and (high > 1 or integers) and high <= _WORD  # NaN is none


def top_of(bits: int) -> int:
    """The largest value of so many bits."""
    return (1 << bits) - 1


def depth_for(largest: int) -> int:
    """The smallest of `DEPTHS` that holds this value, 0 to 65535."""
    return next(bits for bits in DEPTHS if largest <= top_of(bits))


def words_to_grey(words: NDArray[np.uint16], scale: Scale, transparent: object = None) -> NDArray[np.uint8]:
    """Grey of this scale to 0..255, rounded. A transparent value, PNG's tRNS, is white."""
    span = scale.high - scale.low
    above = np.clip(words, scale.low, scale.high).astype(np.uint32) - np.uint32(scale.low)
    grey = ((above * (2 * _BYTE) + span) // (2 * span)).astype(np.uint8)
    if isinstance(transparent, int):
        grey[words == transparent] = _BYTE
    return grey


def outside(image: Image.Image, scale: Scale) -> tuple[int, float]:
    """The largest value of deep grey, rounded up, and the share of values that the scale cuts; (0, 0) for others."""
    if scale.is_full or (words := _as_words(image)) is None:
        return 0, 0.0
    return int(words.max()), float(((words < scale.low) | (words > scale.high)).mean())


def numbers_to_grey(values: NDArray[np.float32], scale: Scale, *, integers: bool) -> tuple[NDArray[np.uint8], str]:
    """32-bit grey to 0..255.

    Values that fit in 16 bits have the scale of all deep grey of the set, where that is less than 16 bits. Others have
    the smallest of the usual ranges that holds the image, else its own extremes.

    Args:
        values: [height, width]; changed in place. What is not finite becomes 0.
        scale: of the set; what lies outside of it is cut.
        integers: whether the file holds integers: these are never 0..1.

    Returns:
        [height, width], and the range that was used, in words.
    """
    values[~np.isfinite(values)] = 0.0
    low, high = float(values.min()), float(values.max())
    if not scale.is_full and _are_words(low, high, integers=integers):
        low, high = float(scale.low), float(scale.high)
        np.clip(values, low, high, out=values)
        interval = f"{low:g} to {high:g}"
    else:
        ranges = [float(_BYTE), float(_WORD)] if integers else [1.0, float(_BYTE), float(_WORD)]
        top = next((top for top in ranges if high <= top), None)
        if low < 0 or top is None:
            interval = f"its own {low:g} to {high:g}"
        else:
            low, high, interval = 0.0, top, f"0 to {top:g}"
    values -= low
    values *= _BYTE / ((high - low) or 1.0)
    return np.rint(values, out=values).astype(np.uint8), interval
