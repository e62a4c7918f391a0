"""What is said of files of formats that an installation does not read."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.data.decoding import FileRemark, decode
from search.data.formats import READ, endings_of, format_of, readable, unsupported
from tests.pictures import write_bytes

FEW = ("PNG", "JPEG")


def iso(brand: bytes) -> bytes:
    return b"\0\0\0\x18ftyp" + brand + bytes(4)


@pytest.mark.parametrize(
    ("start", "ending", "said"),
    [
        (iso(b"heic"), ".heic", "Format .heic is not read here: `pip install pillow-heif` reads it, or convert it"),
        (iso(b"heic"), ".jpg", "Format HEIC is not read here: `pip install pillow-heif`"),
        (iso(b"mif1"), ".hif", "Format .hif is not read here"),
        (iso(b"avif"), ".png", "Format AVIF is not read here: convert it to PNG or JPEG."),
        (b"\0\0\0\x0cjP  \r\n\x87\n", ".jp2", "Format .jp2 is not read here"),
        (b"", ".heic", "Format .heic is not read here"),
    ],
)
def test_a_format_that_needs_a_library_comes_with_the_step(start: bytes, ending: str, said: str) -> None:
    message = unsupported(start, ending, FEW)
    assert message is not None and message.startswith(said)
    assert unsupported(start, ending, [each.name for each in READ]) is None


@pytest.mark.parametrize(
    ("start", "ending", "said"),
    [
        (b"8BPS", ".png", "Format PSD is not read: convert it to PNG or JPEG."),
        (b"\xff\x0a", ".jxl", "Format JPEG XL is not read"),
        (b"unknown", ".nef", "Format .nef is not read"),
    ],
)
def test_a_format_that_is_never_read_is_named(start: bytes, ending: str, said: str) -> None:
    assert (unsupported(start, ending, readable()) or "").startswith(said)


@pytest.mark.parametrize(
    ("start", "ending"), [(b"words", ".png"), (b"\x89PNG", ".heic"), (b"", ".jpg"), (b"a,b", ".csv")]
)
def test_any_other_file_is_not_one_of_these(start: bytes, ending: str) -> None:
    assert unsupported(start, ending, FEW) is None


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "`git lfs pull` fetches it"),
        (b"/annex/objects/SHA256E-s10--00.png\n", "`git annex get` fetches it"),
        (b"\n<!DOCTYPE html>\n<title>404</title>", "Is a web page"),
        (b"<HTML><body>", "Is a web page"),
    ],
)
def test_what_stands_in_the_place_of_a_picture_is_named(content: bytes, said: str, tmp_path: Path) -> None:
    remark = decode(write_bytes(tmp_path / "x.png", content), (8, 8))
    assert isinstance(remark, FileRemark) and remark.kind == "not an image" and said in remark.message


def test_every_format_has_endings_of_its_own_and_the_usual_ones_are_always_read() -> None:
    endings = [ending for each in READ for ending in endings_of(each.name)]
    assert len(endings) == len(set(endings))
    assert {"PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM"} <= set(readable())
    assert format_of(b"") is None
