"""Grey of more than 8 bits, scaled to 0..255.

Cameras, microscopes and DICOM exports write 10, 12 or 14 bits in files of 16. So 16-bit grey has one scale for a whole
set of images, and a model keeps it: a scale of each file would make a dark picture as bright as a bright one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from PIL import Image

DEPTHS = (8, 10, 12, 14, 16)  # bits of grey that files of 16 bits may hold
FULL_DEPTH = DEPTHS[-1]
KEY = "grey_bits"  # in a study's identity and in a model's file; without it, FULL_DEPTH
_BYTE, _WORD = 255, 65535


def is_words(image: Image.Image) -> bool:
    """Whether an image that was opened is 16-bit grey."""
    return image.mode.startswith("I;16") or (image.format == "PPM" and image.mode == "I")


def is_deep(image: Image.Image) -> bool:
    """Whether an image that was opened is grey of more than 8 bits."""
    return image.mode.startswith("I") or image.mode == "F"


def words_of(image: Image.Image) -> NDArray[np.uint16]:
    """The values of 16-bit grey, [height, width]; decodes the image."""
    return np.asarray(image).astype(np.uint16, copy=False)


def largest_word(image: Image.Image) -> int | None:
    """The largest value of deep grey, 0 to 65535, rounded up; None where its values are of another range."""
    if is_words(image):
        return int(words_of(image).max())
    values = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    return math.ceil(high) if _are_words(low, high, integers=image.mode == "I") else None


def _are_words(low: float, high: float, *, integers: bool) -> bool:
    return low >= 0 and (high > 1 or integers) and high <= _WORD  # NaN is none


def top_of(bits: int) -> int:
    """The largest value of so many bits."""
    return (1 << bits) - 1


def depth_for(largest: int) -> int:
    """The smallest of `DEPTHS` that holds this value, 0 to 65535."""
    return next(bits for bits in DEPTHS if largest <= top_of(bits))


def words_to_grey(words: NDArray[np.uint16], bits: int, transparent: object = None) -> NDArray[np.uint8]:
    """Grey 0..2^bits - 1 to 0..255, rounded; larger values are 255. A transparent value, PNG's tRNS, is white."""
    top = top_of(bits)
    grey = ((np.minimum(words, top).astype(np.uint32) * (2 * _BYTE) + top) // (2 * top)).astype(np.uint8)
    if isinstance(transparent, int):
        grey[words == transparent] = _BYTE
    return grey


def numbers_to_grey(values: NDArray[np.float32], bits: int, *, integers: bool) -> tuple[NDArray[np.uint8], str]:
    """32-bit grey to 0..255.

    Values that fit in 16 bits have the scale of all deep grey of the set, where that is less than 16 bits. Others have
    the smallest of the usual ranges that holds the image, else its own extremes.

    Args:
        values: [height, width]; changed in place. What is not finite becomes 0.
        bits: of the set; larger values are cut.
        integers: whether the file holds integers: these are never 0..1.

    Returns:
        [height, width], and the range that was used, in words.
    """
    values[~np.isfinite(values)] = 0.0
    low, high = float(values.min()), float(values.max())
    ranges = [float(_BYTE), float(_WORD)] if integers else [1.0, float(_BYTE), float(_WORD)]
    if bits < FULL_DEPTH and _are_words(low, high, integers=integers):
        ranges = [float(top_of(bits))]
        np.minimum(values, ranges[0], out=values)
        high = min(high, ranges[0])
    top = next((top for top in ranges if high <= top), None)
    if low < 0 or top is None:
        interval = f"its own {low:g} to {high:g}"
    else:
        low, high, interval = 0.0, top, f"0 to {top:g}"
    values -= low
    values *= _BYTE / ((high - low) or 1.0)
    return np.rint(values, out=values).astype(np.uint8), interval
