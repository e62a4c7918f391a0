"""Small folders of images for tests: learnable ones, and single files with something special about them."""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.export.inputs import InputFile, open_inputs

TWO_CLASSES: Mapping[str, int] = {"a": 10, "b": 10}


def make_pictures(
    root: Path,
    classes: Mapping[str, int] = TWO_CLASSES,
    *,
    testing: Mapping[str, int] | None = None,
    size: int = 8,
    seed: int = 0,
    learnable: bool = True,
    colour: bool = False,
    bright: int = 150,
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
        bright: how much brighter that place is; below about 20 the noise hides some.
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
                    pixels[bright_part(order.index(name), size)] += bright
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


def bomb(path: Path, side: int = 30_000) -> Path:
    """A valid black PNG of `side` x `side` pixels in a small file, made without holding its pixels.

    One packed megabyte of zeros is written again and again, and the checksum of zeros (Adler-32) is known.
    """
    length = side * (side + 1)  # each row begins with a filter byte
    block = 1 << 20
    packer = zlib.compressobj(9, wbits=-15)
    repeated = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    packer = zlib.compressobj(9, wbits=-15)
    rest = packer.compress(bytes(length % block)) + packer.flush()
    checksum = struct.pack(">I", (length % 65521) << 16 | 1)
    packed = b"\x78\xda" + repeated * (length // block) + rest + checksum
    return write_bytes(path, png_bytes(side, side, packed))


def write_bytes(path: Path, data: bytes) -> Path:
    """Write a file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def png_bytes(width: int, height: int, data: bytes = b"") -> bytes:
    """An 8-bit grey PNG put together by hand: `data` is its compressed pixels, unchecked."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = (_chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def make_trouble(root: Path) -> Path:
    """Write a folder with everything in it that has gone wrong for somebody, in images of 16 x 16, and return it.

    Four classes: 'bag' and 'sneaker' of 12 plain images, 'été boots ☀' of 10, 'tiny_trouser' of 3; testing images
    of the first three, and of a class that training lacks. The tests of the images say what is planted where.
    """
    bag, sneaker = root / "training" / "bag", root / "training" / "sneaker"
    make_pictures(
        root,
        {"bag": 12, "sneaker": 12, "été boots ☀": 10, "tiny_trouser": 3},
        testing={"bag": 3, "sneaker": 3, "été boots ☀": 3, "only_in_testing": 4},
        size=16,
    )
    _plant_damage(bag, sneaker)
    _plant_other_files(root, bag, sneaker)
    _plant_modes(bag, sneaker)
    _plant_copies(root, bag, sneaker)
    _plant_names(sneaker)
    (root / "training" / "empty_class").mkdir()
    return root


def halves(mode: str, upper: Any, lower: Any, side: int = 16) -> Image.Image:
    """An image of two colours, one above the other."""
    image = Image.new(mode, (side, side), lower)
    image.paste(upper, (0, 0, side, side // 2))
    return image


def _plant_damage(bag: Path, sneaker: Path) -> None:
    generator = np.random.default_rng(99)
    whole = write(bag / "truncated.png", noise(generator, 64, 3)).read_bytes()
    write_bytes(bag / "truncated.png", whole[: len(whole) // 2])
    whole = write(bag / "truncated.jpg", noise(generator, 64, 3), quality=95).read_bytes()
    write_bytes(bag / "truncated.jpg", whole[: len(whole) // 2])
    write_bytes(bag / "zero_bytes.jpg", b"")
    whole = write(bag / "bad_crc.png", plain(3, 16, 16)).read_bytes()
    end = whole.index(b"IEND") - 8  # the checksum of the pixels: decoding does not look at it
    write_bytes(bag / "bad_crc.png", whole[:end] + bytes(4) + whole[end + 4 :])
    write_bytes(bag / "bad_header.png", whole.replace(b"IHDR", b"IHDX"))
    bomb(sneaker / "bomb_30000x30000.png")
    write_bytes(sneaker / "bomb_header_only.png", png_bytes(30_000, 30_000))
    write_bytes(sneaker / "just_too_large.png", png_bytes(10_000, 5_001))
    write(bag / "one_pixel.png", plain(5, 1, 1))
    write(bag / "strip_8x200.png", plain(6, 8, 200))


def _plant_other_files(root: Path, bag: Path, sneaker: Path) -> None:
    write_bytes(sneaker / "text_named.png", b"These are words, not pixels.\n")
    write_bytes(sneaker / "notes.txt", b"remember the milk\n")
    write_bytes(sneaker / "Thumbs.db", b"\xd0\xcf\x11\xe0")
    write_bytes(sneaker / "layers.psd", b"8BPS\0\1")
    write_bytes(bag / "._bag_00001.png", b"\0\x05\x16\x07")
    write_bytes(bag / "drawing.svg", b"<svg xmlns='http://www.w3.org/2000/svg'/>")
    write(root / "training" / ".ipynb_checkpoints" / "bag-checkpoint.png", plain(7))
    write(root / "training" / "stray_in_root.png", plain(8))
    write_bytes(root / "README.md", b"# Bags and sneakers\n")
    write(bag / "nested" / "deeper" / "inside.png", plain(9, 16, 16))
    (bag / "dangling.png").symlink_to("nowhere.png")
    (bag / "loop").symlink_to("..")
    (root / "training" / "linked_class").symlink_to("bag")


def _plant_modes(bag: Path, sneaker: Path) -> None:
    words = np.full((16, 16), 65535, np.uint16)
    words[:8] = 257 * 100
    write(sneaker / "grey16.png", Image.fromarray(words))
    write(sneaker / "grey32.tiff", Image.fromarray(np.rot90(words, 2).astype(np.float32) / 65535))
    write(sneaker / "grey_L.png", halves("L", 10, 20))
    write(sneaker / "bits_1.png", halves("1", 1, 0))
    write(sneaker / "grey_alpha_LA.png", halves("LA", (40, 255), (0, 0)))
    write(bag / "rgba.png", halves("RGBA", (255, 0, 0, 0), (0, 0, 0, 128)))
    palette = halves("P", 0, 1)
    palette.putpalette([200, 100, 50, 10, 20, 30])
    write(bag / "palette.png", palette)
    write(bag / "palette_transparent.gif", palette, transparency=0)
    write(bag / "grey_transparent.png", halves("L", 10, 30), transparency=10)
    write(bag / "cmyk.jpg", halves("CMYK", (0, 255, 255, 0), (0, 0, 0, 0)), quality=95)
    frames = [plain(90, 16, 16), plain(150, 16, 16), plain(210, 16, 16)]
    write(bag / "animated.gif", frames[0], save_all=True, append_images=frames[1:])
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    upright = halves("L", 250, 5)
    write(bag / "exif_rotated.jpg", upright.transpose(Image.Transpose.ROTATE_90), exif=exif, quality=95)
    write(bag / "exif_damaged.jpg", plain(60, 16, 16), exif=b"Exif\0\0MM\0*\xff\xff\xff\xff")
    for number, ending in enumerate(("webp", "tiff", "bmp")):
        write(sneaker / f"pic.{ending}", plain(100 + number, 16, 16).convert("RGB"))
    write(sneaker / "UPPER.PNG", plain(110, 16, 16))
    write(sneaker / "jpeg_named.png", plain(111, 16, 16), format="JPEG")
    write(sneaker / "no_extension", plain(112, 16, 16), format="PNG")
    write(bag / "large_5000x4000.jpg", plain(113, 4000, 5000))


def _plant_copies(root: Path, bag: Path, sneaker: Path) -> None:
    picture = write(bag / "copy.png", noise(np.random.default_rng(98), 16)).read_bytes()
    write_bytes(sneaker / "copy_of_bag.png", picture)
    write_bytes(root / "testing" / "bag" / "leak.png", picture)
    write_bytes(bag / "copy (1).png", picture)
    write(bag / "copy_other_format.bmp", Image.open(bag / "copy.png").convert("RGB"))
    (bag / "link_to_copy.png").symlink_to("copy.png")


def _plant_names(sneaker: Path) -> None:
    names = [
        "with space & 'quote' #1 100%.png",
        "写真_ñandú_🙂.png",
        "e\u0301_decomposed.png",
        "line\nbreak,comma.png",
        "n" * 200 + ".png",
        "\x1b[31mred\x1b[0m\u202egnp.png",
        os.fsdecode(b"caf\xe9_latin1.png"),
    ]
    for number, name in enumerate(names):
        write(sneaker / name, plain(120 + number, 16, 16))


def list_inputs(given: Iterable[Path]) -> list[InputFile]:
    """Files to classify that are there without unpacking anything, see `open_inputs`."""
    with open_inputs(given) as files:
        return files
