"""Formats of image files: those that are read, those only known by name, and what a user can do about these."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from PIL import features

from search.data import dicom

_CONVERT = "convert it to PNG or JPEG"


@dataclass(frozen=True)
class Format:
    """A format that Pillow can read, perhaps only with a package or a library."""

    name: str  # Pillow's
    endings: frozenset[str]  # of file names, in lower case
    available: Callable[[], bool] = lambda: True  # whether this installation can read it
    step: str = ""  # what the user can do where it cannot


def _has_heif() -> bool:
    """Whether pillow-heif is installed; if so, Pillow knows HEIF from now on."""
    if find_spec("pillow_heif") is None:
        return False
    from pillow_heif import register_heif_opener

    register_heif_opener()
    return True


def _has_pydicom() -> bool:
    """Whether pydicom is installed; if so, Pillow knows DICOM from now on."""
    if find_spec("pydicom") is None:
        return False
    dicom.register()
    return True


def _endings(text: str) -> frozenset[str]:
    return frozenset(f".{ending}" for ending in text.split())


READ = (
    Format("PNG", _endings("png apng")),
    Format("JPEG", _endings("jpg jpeg jpe jfif jif")),
    Format("GIF", _endings("gif")),
    Format("BMP", _endings("bmp dib")),
    Format("WEBP", _endings("webp")),
    Format("TIFF", _endings("tif tiff")),
    Format("PPM", _endings("pgm ppm pbm pnm pfm")),
    Format("AVIF", _endings("avif avifs"), lambda: bool(features.check("avif")), _CONVERT),
    Format("JPEG2000", _endings("jp2 j2k j2c jpc jpf jpx"), lambda: bool(features.check("jpg_2000")), _CONVERT),
    Format("HEIF", _endings("heic heif hif"), _has_heif, f"`pip install pillow-heif` reads it, or {_CONVERT}"),
    Format(dicom.FORMAT, _endings("dcm dicom"), _has_pydicom, f"`pip install pydicom` reads it, or {_CONVERT}"),
)

IMAGE_ENDINGS = frozenset().union(*(each.endings for each in READ))
"""Endings of the names of images, whether this installation can read them or not."""

OTHER_ENDINGS = _endings("jxl psd ico tga nef cr2 cr3 arw dng exr hdr")
"""Endings of formats that are never read."""

_BRANDS = {  # of the box `ftyp` that ISO media files begin with
    **dict.fromkeys((b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1"), "HEIF"),
    **dict.fromkeys((b"avif", b"avis"), "AVIF"),
}
_STARTS = (
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"RIFF", "WEBP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"\0\0\0\x0cjP  ", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"8BPS", "PSD"),
)


_PLACEHOLDERS = (
    (b"version https://git-lfs", "Is a pointer of Git LFS, not the picture: `git lfs pull` fetches it."),
    (b"/annex/objects/", "Is a pointer of git-annex, not the picture: `git annex get` fetches it."),
    (b"<!doctype html", "Is a web page, as of a download that failed."),
    (b"<html", "Is a web page, as of a download that failed."),
)
START_BYTES = dicom.START + len(dicom.LETTERS)  # of a file, that tell what it is


@cache
def readable() -> tuple[str, ...]:
    """Pillow's names of the formats that this installation reads; also makes Pillow know those of other packages."""
    return tuple(each.name for each in READ if each.available())


def format_of(start: bytes) -> str | None:
    """The format that a file claims to have by its first bytes; None for an unknown one."""
    if start[4:8] == b"ftyp":
        return _BRANDS.get(start[8:12])
    if start[dicom.START :] == dicom.LETTERS:
        return dicom.FORMAT
    return next((name for beginning, name in _STARTS if start.startswith(beginning)), None)


def placeholder(start: bytes) -> str | None:
    """What a file is that stands in the place of a picture, by its first bytes; None for any other file."""
    return next((message for beginning, message in _PLACEHOLDERS if start.lstrip().lower().startswith(beginning)), None)


def endings_of(name: str) -> frozenset[str]:
    """The endings of a format's file names; of all formats for a name that is not in `READ`."""
    return next((each.endings for each in READ if each.name == name), IMAGE_ENDINGS)


def unsupported(start: bytes, ending: str, read: Collection[str]) -> str | None:
    """What to do about a file of a format that is not read; None for any other file.

    Args:
        start: the first `START_BYTES` of the file, or all if it is shorter.
        ending: of its name, in lower case, such as '.heic'.
        read: names of the formats that are read, see `readable`.
    """
    name = format_of(start)
    for each in READ:
        if each.name in read:
            continue
        if each.name == name or (name is None and ending in each.endings):
            return f"Format {_shown(each.name, ending)} is not read here: {each.step}."
    if name is None and ending in OTHER_ENDINGS:
        return f"Format {ending} is not read: {_CONVERT}."
    if name is not None and all(each.name != name for each in READ):
        return f"Format {name} is not read: {_CONVERT}."
    return None


def _shown(name: str, ending: str) -> str:
    return ending if ending in endings_of(name) else "HEIC" if name == "HEIF" else name
