"""One image file to pixels: upright, opaque, 8-bit grey or RGB. A bad file gives a remark, not an error."""

from __future__ import annotations

import hashlib
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops, TiffImagePlugin, UnidentifiedImageError

from search.data.depth import (
    FULL,
    Extent,
    Scale,
    extent_of,
    is_deep,
    is_words,
    numbers_to_grey,
    outside,
    words_of,
    words_to_grey,
)
from search.data.dicom import FORMAT as DICOM
from search.data.formats import IMAGE_ENDINGS, START_BYTES, endings_of, format_of, placeholder, readable, unsupported
from search.native import no_stderr

MAX_PIXELS = 50_000_000
LARGE_PIXELS = 13_000_000
"""More than a usual photograph has. A thread keeps the memory of its largest image, so one thread reads these."""
MAX_BYTES = 500_000_000  # 50 megapixels of 16-bit RGBA are 400 MB; a WEBP is read whole before its size is known

CLIPPED = 0.01  # share of a file's values outside of a window of grey, from which on it is said

_ORIENTATION = 0x0112  # the EXIF tag
_CAMERA, _TAKEN, _FRACTION = 0x8769, 0x9003, 0x9291  # EXIF's table of the camera, and two of its tags
_SIDES, _BITS_PER_SAMPLE, _SAMPLES_PER_PIXEL, _SAMPLE_FORMAT = (256, 257), 258, 277, 339  # TIFF tags
_SAMPLE_FORMATS = {1: "integers", 2: "signed integers", 3: "floating-point numbers", 6: "complex numbers"}
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
    deep: bool  # grey of more than 8 bits
    remarks: tuple[FileRemark, ...]
    patient: str | None = None  # PatientID of DICOM
    taken: float | None = None  # seconds, when the camera took it by its own clock; None: EXIF does not say


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
        with path.open("rb") as stream, Image.open(stream, formats=readable()) as image:
            _check_pixels(image)
            width, height = image.size
            if _orientation(image, decoded=False) in _SIDEWAYS:
                width, height = height, width
            remarks, taken = _shape_remarks(height, width) + _ending_remarks(path, image.format or ""), _taken(image)
            if image.format == "PNG":
                image.verify()  # checksums of all chunks: decoding skips that of the pixels
            alone = image.format in ("TIFF", DICOM) or height * width > LARGE_PIXELS
            patient = image.info.get("patient") if image.format == DICOM else None  # of a PNG it is any text
            return Header(height, width, alone, is_deep(image), remarks, patient, taken)
    except Exception as error:  # noqa: BLE001 — Pillow's decoders raise anything on hostile bytes; one bad file is a note
        return _why(path, error)


def extent(path: Path) -> Extent | None:
    """The values of a file of deep grey, see `extent_of`; None also where it cannot be decoded."""
    try:
        _check_bytes(path)
        with _opened(path) as image:
            _load(image)
            return extent_of(image) if is_deep(image) else None
    except Exception:  # noqa: BLE001 — as in read_header; `decode` says why
        return None


def decode(path: Path, size: tuple[int, int], scale: Scale = FULL) -> Picture | FileRemark:
    """Decode a file and resize it to `size`, (height, width); a `FileRemark` says why that cannot be.

    Turned upright by EXIF; transparency blended on white; 16-bit grey scaled from `scale` to 0..255, and
    32-bit grey from its own range; the first frame of an animation. Resized with Pillow's BILINEAR, which averages over
    all source pixels when shrinking and, other than LANCZOS, never overshoots: hard edges of icons and drawings keep
    their values.
    """
    try:
        _check_bytes(path)
        remarks: list[FileRemark] = []
        flat = _grey_if_grey(_upright(path, scale, remarks))
        digest = _digest(flat)
        height, width = size
        small = np.asarray(flat.resize((width, height), Image.Resampling.BILINEAR))
        return Picture(small.reshape(height, width, -1), digest, tuple(remarks))
    except Exception as error:  # noqa: BLE001 — as in read_header
        return _why(path, error)


def glance(path: Path, size: tuple[int, int], scale: Scale = FULL) -> NDArray[np.uint8] | FileRemark:
    """The pixels of `decode`, nearly: a JPEG is decoded at an eighth, a quarter or half, but at least at twice `size`.

    That takes a fraction of the time for photographs. What is stored is decoded whole.
    """
    try:
        _check_bytes(path)
        flat = _grey_if_grey(_upright(path, scale, [], 2 * max(size)))
        height, width = size
        return np.asarray(flat.resize((width, height), Image.Resampling.BILINEAR)).reshape(height, width, -1)
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
            start = stream.read(START_BYTES)
    except OSError as error:
        return FileRemark("unreadable", f"Cannot be read ({error.strerror}): left out.")
    if step := unsupported(start, ending, readable()):
        return FileRemark("unsupported format", f"{step} Left out.")
    name = format_of(start)
    if name == "TIFF" and (bands := _bands(path)):
        return FileRemark("unsupported format", f"{bands} Left out.")
    if name or (not start and ending in IMAGE_ENDINGS):
        what = "Begins like an image, but its header is damaged" if name else "An empty file"
        return FileRemark("unreadable", f"{what}: left out.")
    if message := placeholder(start):
        return FileRemark("not an image", f"{message} Left out.")
    return FileRemark("not an image", f"Not one of {', '.join(readable())} by its content: left out.")


def _bands(path: Path) -> str | None:
    """What a TIFF holds that Pillow does not read, and what to do; None where its header cannot be read either."""
    try:
        with path.open("rb") as stream:
            tags = TiffImagePlugin.ImageFileDirectory_v2(stream.read(8))
            stream.seek(tags.next)
            tags.load(stream)
        bands, bits = int(tags.get(_SAMPLES_PER_PIXEL, 1)), int(tags.get(_BITS_PER_SAMPLE, (1,))[0])
        kind = int(tags.get(_SAMPLE_FORMAT, (1,))[0])
        (width,), (height,) = (tags[tag] if isinstance(tags[tag], tuple) else (tags[tag],) for tag in _SIDES)
    except Exception:  # noqa: BLE001 — as in read_header
        return None
    if not (width and height) or (bands in {1, 3} and bits in {1, 8, 16} and kind == 1):
        return None
    what = (
        f"a TIFF with {bands} {'band' if bands == 1 else 'bands'} of {bits}-bit {_SAMPLE_FORMATS.get(kind, 'numbers')}"
    )
    step = "save it as PNG, of 8 or 16 bits" if bands == 1 else "save three of its bands as RGB, or one as grey"
    return f"Is {what}, which is not read: {step}."


def _shape_remarks(height: int, width: int) -> tuple[FileRemark, ...]:
    min_side, max_ratio = 8, 20
    if min(height, width) < min_side or max(height, width) > max_ratio * min(height, width):
        message = f"Only {width} x {height} pixels (width x height): kept, but hardly a picture once resized."
        return (FileRemark("tiny", message),)
    return ()


def _ending_remarks(path: Path, format_name: str) -> tuple[FileRemark, ...]:
    format_name = "JPEG" if format_name == "MPO" else format_name  # what phones write: JPEG with a second picture
    if path.suffix.lower() in endings_of(format_name):
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


def _taken(image: Image.Image) -> float | None:
    """Seconds of EXIF's DateTimeOriginal with its fraction, as if in UTC; None as in `_orientation`."""
    if image.format == "TIFF" or (image.format == "PNG" and "exif" not in image.info):
        return None
    try:
        tags = image.getexif().get_ifd(_CAMERA)
        seconds = datetime.strptime(str(tags[_TAKEN])[:19], "%Y:%m:%d %H:%M:%S").replace(tzinfo=UTC).timestamp()
        fraction = str(tags.get(_FRACTION, "")).strip("\0 ")
        return seconds + (float(f"0.{fraction[:6]}") if fraction.isdecimal() else 0.0)
    except Exception:  # noqa: BLE001 — as in _orientation
        return None


# ---- pixels


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """A file within the limits, not yet decoded. The decoder and its memory are freed at the end."""
    with path.open("rb") as stream, Image.open(stream, formats=readable()) as image:
        _check_pixels(image)
        yield image


def _load(image: Image.Image) -> None:
    with no_stderr() if image.format == "TIFF" else nullcontext():
        image.load()
    _check_pixels(image)  # a HEIF file may be larger than its header says


def _upright(path: Path, scale: Scale, remarks: list[FileRemark], side: int | None = None) -> Image.Image:
    """The file's first frame, upright, 'L' or 'RGB'. `side`: pixels of the shorter side that are enough; None: all."""
    with _opened(path) as image:
        if side is not None:
            image.draft(None, (side, side))  # of JPEG alone
        if _has_frames(image):
            remarks.append(FileRemark("animated", "Has more than one frame: only the first is used."))
        _load(image)
        turn = _UPRIGHT.get(_orientation(image, decoded=True))
        flat = _flatten(image, scale, remarks)
    if turn is None:
        return flat
    remarks.append(FileRemark("turned upright", "Turned upright, as its EXIF orientation says."))
    return flat.transpose(turn)


def _flatten(image: Image.Image, scale: Scale, remarks: list[FileRemark]) -> Image.Image:
    """The image as opaque 8-bit 'L' or 'RGB'."""
    bands = int(getattr(image, "tag_v2", {}).get(_SAMPLES_PER_PIXEL, 1))  # of a TIFF
    if bands > len(image.getbands()):
        remarks.append(FileRemark("bands", f"Has {bands} bands: read are the first {len(image.getbands())} alone."))
    if image.format == DICOM:
        remarks.extend(FileRemark(DICOM, message) for message in image.info["remarks"])
    if is_deep(image):
        largest, share = outside(image, scale)
        if share > (CLIPPED if scale.bits is None else 0):
            message = f"Has values up to {largest}, and larger ones than {scale.high} are cut to it."
            if scale.bits is None:
                message = (
                    f"Has {share:.0%} of its values outside of {scale.low} to {scale.high}, to which they are cut."
                )
            remarks.append(FileRemark("clipped", message))
        return _from_words(image, scale, remarks) if is_words(image) else _from_numbers(image, scale, remarks)
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


def _from_words(image: Image.Image, scale: Scale, remarks: list[FileRemark]) -> Image.Image:
    message = f"16-bit grey, scaled from {scale.low} to {scale.high} to 0..255, as all such images here."
    remarks.append(FileRemark("16-bit", message))
    return Image.fromarray(words_to_grey(words_of(image), scale, image.info.get("transparency")))


def _from_numbers(image: Image.Image, scale: Scale, remarks: list[FileRemark]) -> Image.Image:
    grey, interval = numbers_to_grey(np.array(image, np.float32), scale, integers=image.mode == "I")
    remarks.append(FileRemark("32-bit", f"32-bit grey, scaled from {interval} to 0..255."))
    return Image.fromarray(grey)


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
