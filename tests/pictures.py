"""Small folders of images for tests: learnable ones, and single files with something special about them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TWO_CLASSES: Mapping[str, int] = {"a": 10, "b": 10}
_BLOCK = 1 << 20


def make_pictures(
    root: Path,
    classes: Mapping[str, int] = TWO_CLASSES,
    *,
    testing: Mapping[str, int] | None = None,
    size: int = 8,
    seed: int = 0,
    learnable: bool = True,
    colour: bool = False,
) -> Path:
    """Write a folder of PNG images, all different, and return it.

    Args:
        root: made where it is missing. Without `testing`: `root/<class>/*.png`; with it:
            `root/training/<class>/*.png` and `root/testing/<class>/*.png`.
        classes: class name -> number of training images.
        testing: class name -> number of testing images.
        size: side in pixels.
        seed: of the noise. Equal arguments give equal files.
        learnable: True: each class is bright in a place of its own (the first at the top, the second at the
            left, …, up to 8 classes), so a small network learns it in seconds. False: noise alone.
        colour: False: grey files; True: RGB files.
    """
    generator = np.random.default_rng(seed)
    parts = {root: classes} if testing is None else {root / "training": classes, root / "testing": testing}
    order = list(dict.fromkeys(name for counts in parts.values() for name in counts))
    for part, counts in parts.items():
        for name, count in counts.items():
            folder = part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = noise(generator, size, 3 if colour else 1)
                if learnable:
                    pixels[bright_part(order.index(name), size)] += 150
                write(folder / f"{number:04}.png", pixels)
    return root


def noise(generator: np.random.Generator, size: int, channels: int = 1) -> NDArray[np.uint8]:
    """Dark noise, 0 to 99: [size, size] for one channel, [size, size, 3] for three."""
    shape = (size, size) if channels == 1 else (size, size, channels)
    return generator.integers(0, 100, shape, np.uint8)


def bright_part(index: int, size: int) -> tuple[slice, slice]:
    """Where the images of a class are bright: halves first, then quarters."""
    first, last, every = slice(0, size // 2), slice(size // 2, size), slice(None)
    places = [
        (first, every),
        (every, first),
        (last, every),
        (every, last),
        (first, first),
        (first, last),
        (last, first),
        (last, last),
    ]
    return places[index]


def write(path: Path, pixels: NDArray[np.uint8] | Image.Image, **options: Any) -> Path:
    """Save pixels or an image, in the format of the ending unless `format=` says otherwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(path, **options)
    return path


def plain(value: int, height: int = 8, width: int = 8) -> Image.Image:
    """A grey image of one value."""
    return Image.new("L", (width, height), value)


def png_chunks(width: int, height: int, data: Iterable[bytes], bits: int = 8) -> bytes:
    """A grey PNG put together by hand: `data` are the parts of its compressed pixels, unchecked."""
    header = struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)
    parts = [_chunk(b"IHDR", header), *(_chunk(b"IDAT", part) for part in data), _chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bomb(path: Path, side: int = 30_000) -> Path:
    """A valid black PNG of `side` x `side` pixels in a small file, made without holding its pixels."""
    packer = zlib.compressobj(9)
    left = side * (side + 1)  # each row begins with a filter byte
    zeros = bytes(_BLOCK)
    packed = bytearray()
    while left:
        packed += packer.compress(zeros[: min(left, _BLOCK)])
        left -= min(left, _BLOCK)
    packed += packer.flush()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png_chunks(side, side, [bytes(packed)]))
    return path


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
