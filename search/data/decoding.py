"""One image file to pixels: upright, opaque, 8-bit grey or RGB. A bad file gives a remark, not an error."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, UnidentifiedImageError

from search.native import no_stderr

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF")
MAX_PIXELS = 50_000_000
LARGE_PIXELS = 13_000_000
"""More than a usual photograph has. A thread keeps the memory of its largest image, so one thread reads these."""
MAX_BYTES = 500_000_000  # 50 megapixels of 16-bit RGBA are 400 MB; a WEBP is read whole before its size is known

_MAGIC = (b"\x89PNG", b"\xff\xd8", b"GIF8", b"BM", b"RIFF", b"II*\0", b"MM\0*")
_ENDINGS = {
    "PNG": {".png", ".apng"},
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif", ".jif"},
    "GIF": {".gif"},
    "BMP": {".bmp", ".dib"},
    "WEBP": {".webp"},
    "TIFF": {".tif", ".tiff"},
}
IMAGE_ENDINGS = frozenset().union(*_ENDINGS.values())
_OTHER_FORMATS = frozenset(
    {
        ".heic",
        ".heif",
        ".avif",
        ".jxl",
        ".jp2",
        ".psd",
        ".ico",
        ".tga",
        ".dcm",
        ".nef",
        ".cr2",
        ".cr3",
        ".arw",
        ".dng",
    }
)
_ORIENTATION = 0x0112  # the EXIF tag
# Pillow's ImageOps.exif_transpose turns in the same way, but raises where EXIF is damaged, and does not return
# whether it turned.
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS = frozenset({5, 6, 7, 8})
_WORD = 65535  # the largest 16-bit value
_STRIP_PIXELS = 1 << 20


@dataclass(frozen=True)
class FileRemark:
    """Kind and message of a note on a file."""

    kind: str
    message: str


@dataclass(frozen=True)
class Header:
    """What is known of a file before it is decoded."""

    height: int  # pixels, upright
    width: int
    alone: bool  # it must be decoded in the main thread
    remarks: tuple[FileRemark, ...]


@dataclass(frozen=True)
class Picture:
    """A decoded image."""

    pixels: NDArray[np.uint8]  # [height, width, 1 or 3]
    digest: str  # SHA-256 (hex) of the upright full-size pixels: mode, size, bytes
    remarks: tuple[FileRemark, ...]


class _OversizedError(Exception):
    """Its message says what is too large."""


@contextmanager
def quiet() -> Iterator[None]:
    """Hide Pillow's warnings and log lines: what matters in them becomes a note.

    Call it in the main thread, around all reading: warning filters belong to the process, not to a thread.
    """
    logger = logging.getLogger("PIL")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def read_header(path: Path) -> Header | FileRemark:
    """Size and format of a file, without decoding it; a `FileRemark` says why it cannot be used."""
    try:
        _check_bytes(path)
        with path.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
            _check_pixels(image)
            width, height = image.size
            if _orientation(image, decoded=False) in _SIDEWAYS:
                width, height = height, width
            remarks = _shape_remarks(height, width) + _ending_remarks(path, image.format or "")
            if image.format == "PNG":
                image.verify()  # checksums of all chunks: decoding skips that of the pixels
            alone = image.format == "TIFF" or height * width > LARGE_PIXELS
            return Header(height, width, alone, remarks)
    except Exception as error:  # noqa: BLE001 — Pillow's decoders raise anything on hostile bytes; one bad file is a note
        return _why(path, error)


def decode(path: Path, size: tuple[int, int]) -> Picture | FileRemark:
    """Decode a file and resize it to `size`, (height, width); a `FileRemark` says why that cannot be.

    Turned upright by EXIF; transparency blended on white; 16-bit and 32-bit grey scaled to 0..255; the first
    frame of an animation. Resized with Pillow's BILINEAR, which averages over all source pixels when
    shrinking and, other than LANCZOS, never overshoots: hard edges of icons and drawings keep their values.
    """
    try:
        _check_bytes(path)
        remarks: list[FileRemark] = []
        flat = _grey_if_grey(_upright(path, remarks))
        digest = _digest(flat)
        height, width = size
        small = np.asarray(flat.resize((width, height), Image.Resampling.BILINEAR))
        return Picture(small.reshape(height, width, -1), digest, tuple(remarks))
    except Exception as error:  # noqa: BLE001 — as in read_header
        return _why(path, error)


# ---- what a file may be


def _check_bytes(path: Path) -> None:
    length = path.stat().st_size
    if length > MAX_BYTES:
        raise _OversizedError(f"{length / 1e6:.0f} MB in one file")


def _check_pixels(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise _OversizedError(f"{width} x {height} pixels by its header")


def _why(path: Path, error: Exception) -> FileRemark:
    """The remark on a file that could not be read because of this error."""
    if isinstance(error, Image.DecompressionBombError):
        count = re.search(r"\d{6,}", str(error))  # Pillow raises before the size can be asked
        error = _OversizedError(f"{int(count[0]) / 1e6:.0f} megapixels by its header" if count else "a huge image")
    if isinstance(error, _OversizedError):
        limit = f"at most {MAX_PIXELS // 1_000_000} megapixels and {MAX_BYTES // 1_000_000} MB are read"
        return FileRemark("oversized", f"Too large ({error}; {limit}): left out without decoding it.")
    if isinstance(error, UnidentifiedImageError):
        return _unidentified(path)
    if isinstance(error, OSError) and error.strerror:  # from the system, not from Pillow
        return FileRemark("unreadable", f"Cannot be read ({error.strerror}): left out.")
    reason = " ".join(str(error).split())[:200] or type(error).__name__
    return FileRemark("unreadable", f"Cannot be decoded ({reason}): left out.")


def _unidentified(path: Path) -> FileRemark:
    ending = path.suffix.lower()
    try:
        with path.open("rb") as stream:
            start = stream.read(16)
    except OSError as error:
        return FileRemark("unreadable", f"Cannot be read ({error.strerror}): left out.")
    if start.startswith(_MAGIC):
        return FileRemark("unreadable", "Begins like an image, but its header is damaged: left out.")
    if not start and ending in IMAGE_ENDINGS:
        return FileRemark("unreadable", "An empty file: left out.")
    if ending in _OTHER_FORMATS:
        return FileRemark("unsupported format", f"Format {ending} is not read: convert it to PNG or JPEG. Left out.")
    return FileRemark("not an image", f"Not one of {', '.join(FORMATS)} by its content: left out.")


def _shape_remarks(height: int, width: int) -> tuple[FileRemark, ...]:
    min_side, max_ratio = 8, 20
    if min(height, width) < min_side or max(height, width) > max_ratio * min(height, width):
        message = f"Only {height} x {width} pixels (height x width): kept, but hardly a picture once resized."
        return (FileRemark("tiny", message),)
    return ()


def _ending_remarks(path: Path, format_name: str) -> tuple[FileRemark, ...]:
    format_name = "JPEG" if format_name == "MPO" else format_name  # what phones write: JPEG with a second picture
    if path.suffix.lower() in _ENDINGS.get(format_name, IMAGE_ENDINGS):
        return ()
    return (FileRemark("ending", f"Is {format_name} by content though not by its ending: read as {format_name}."),)


def _has_frames(image: Image.Image) -> bool:
    if image.format == "MPO":
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception:  # noqa: BLE001 — the search for a second frame may reach damaged bytes
        return False


def _orientation(image: Image.Image, decoded: bool) -> int:
    """EXIF orientation 1 to 8; 1 where there is none or it is damaged.

    1 for TIFF too: Pillow turns those itself. Before a PNG is decoded its EXIF is read only if it comes before the
    pixels, since Pillow would decode the whole file to find it behind them.
    """
    if image.format == "TIFF" or (image.format == "PNG" and not decoded and "exif" not in image.info):
        return 1
    try:
        return int(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # noqa: BLE001 — EXIF is a format with many ways to be damaged
        return 1


# ---- pixels


def _upright(path: Path, remarks: list[FileRemark]) -> Image.Image:
    """The file's first frame, upright, 'L' or 'RGB'. The decoder and its memory are freed on return."""
    with path.open("rb") as stream, Image.open(stream, formats=FORMATS) as image:
        _check_pixels(image)
        if _has_frames(image):
            remarks.append(FileRemark("animated", "Has more than one frame: only the first is used."))
        with no_stderr() if image.format == "TIFF" else nullcontext():
            image.load()
        turn = _UPRIGHT.get(_orientation(image, decoded=True))
        flat = _flatten(image, remarks)
    if turn is None:
        return flat
    remarks.append(FileRemark("turned upright", "Turned upright, as its EXIF orientation says."))
    return flat.transpose(turn)


def _flatten(image: Image.Image, remarks: list[FileRemark]) -> Image.Image:
    """The image as opaque 8-bit 'L' or 'RGB'."""
    if image.mode.startswith("I;16"):
        remarks.append(FileRemark("16-bit", "16-bit grey, scaled to 0..255 by 257."))
        return _from_words(image)
    if image.mode in {"I", "F"}:
        return _from_numbers(image, remarks)
    if image.has_transparency_data:
        return _on_white(image if image.mode == "RGBA" else image.convert("RGBA"), remarks)
    if image.mode == "CMYK":
        remarks.append(FileRemark("CMYK", "Printing colours (CMYK), converted to RGB without a colour profile."))
    if image.mode in {"L", "RGB"}:
        return image.copy()  # outlives the file
    return image.convert("L" if image.mode == "1" else "RGB")


def _on_white(image: Image.Image, remarks: list[FileRemark]) -> Image.Image:
    alpha = image.getchannel("A")
    if alpha.getextrema() == (255, 255):
        return image.convert("RGB")
    remarks.append(FileRemark("transparent", "Has transparency: blended on white."))
    white = Image.new("RGB", image.size, "white")
    white.paste(image, mask=alpha)
    return white


def _from_words(image: Image.Image) -> Image.Image:
    """Grey 0..65535 to 0..255, rounded; a transparent value (PNG's tRNS) is white."""
    words: NDArray[np.uint16] = np.asarray(image).astype(np.uint16, copy=False)
    grey = (words // 257 + (words % 257 > 128)).astype(np.uint8)  # 65535 / 255, and half of it
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[words == transparent] = 255
    return Image.fromarray(grey)


def _from_numbers(image: Image.Image, remarks: list[FileRemark]) -> Image.Image:
    """32-bit grey to 0..255 by the smallest of the usual ranges that holds it, else by its own extremes."""
    values = np.array(image, np.float32)
    values[~np.isfinite(values)] = 0.0
    low, high = float(values.min()), float(values.max())
    ranges = [255.0, float(_WORD)] if image.mode == "I" else [1.0, 255.0, float(_WORD)]
    top = next((top for top in ranges if high <= top), None)
    if low < 0 or top is None:
        interval = f"its own {low:g} to {high:g}"
    else:
        low, high, interval = 0.0, top, f"0 to {top:g}"
    remarks.append(FileRemark("32-bit", f"32-bit grey, scaled from {interval} to 0..255."))
    values -= low
    values *= 255.0 / ((high - low) or 1.0)
    return Image.fromarray(np.rint(values, out=values).astype(np.uint8))


def _grey_if_grey(image: Image.Image) -> Image.Image:
    """'L' where the three channels of an RGB image are equal, so that grey is grey in any file format."""
    if image.mode == "L":
        return image
    red, green, blue = image.split()
    if ImageChops.difference(red, green).getbbox() or ImageChops.difference(red, blue).getbbox():
        return image
    return red


def _digest(image: Image.Image) -> str:
    """SHA-256 of mode, size and bytes, in strips: a 50-megapixel image is not copied whole."""
    digest = hashlib.sha256(f"{image.mode} {image.width}x{image.height} ".encode())
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        digest.update(image.crop((0, top, image.width, min(top + rows, image.height))).tobytes())
    return digest.hexdigest()
