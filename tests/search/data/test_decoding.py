"""One file at a time: what becomes of its pixels, and of bytes that are no image."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, ImageOps, PngImagePlugin

from search.data import decoding
from search.data.decoding import FileRemark, Header, Picture, decode, quiet, read_header
from search.data.formats import readable
from tests.pictures import halves, write, write_bytes

# The EXIF orientation, and what a camera held that way stores of an upright picture.
STORED = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def picture_of(path: Path, size: tuple[int, int]) -> Picture:
    picture = decode(path, size)
    assert isinstance(picture, Picture), picture
    return picture


def remark_of(path: Path) -> FileRemark:
    remark = decode(path, (8, 8))
    assert isinstance(remark, FileRemark)
    return remark


def grey_of(path: Path, pixels: NDArray[np.generic]) -> list[int]:
    """What a one-row image of these values becomes."""
    write(path, Image.fromarray(pixels.reshape(1, -1)))
    decoded: list[int] = picture_of(path, (1, pixels.size)).pixels[0, :, 0].tolist()
    return decoded


class TestUpright:
    @pytest.mark.parametrize("ending", ["jpg", "png", "webp", "tiff"])
    @pytest.mark.parametrize("orientation", STORED)
    def test_every_orientation_in_every_format_that_has_one(
        self, tmp_path: Path, ending: str, orientation: int
    ) -> None:
        upright = Image.new("L", (48, 32), 20)
        upright.paste(220, (0, 0, 16, 16))
        turn = STORED[orientation]
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"lossless": True} if ending == "webp" else {}
        stored = upright if turn is None else upright.transpose(turn)
        path = write(tmp_path / f"x.{ending}", stored, exif=exif, **options)
        header = read_header(path)
        assert isinstance(header, Header)
        assert (header.height, header.width) == (32, 48)
        difference = picture_of(path, (32, 48)).pixels[:, :, 0].astype(int) - np.asarray(upright)
        assert abs(difference).max() <= 3

    @pytest.mark.parametrize("ending", ["png", "webp"])
    def test_exif_that_is_no_exif_costs_the_picture_nothing(self, tmp_path: Path, ending: str) -> None:
        options = {"lossless": True} if ending == "webp" else {}
        stored = halves("RGB", (255, 0, 0), (0, 0, 255))
        path = write(tmp_path / f"x.{ending}", stored, exif=b"Exif\0\0" + b"\xff" * 30, **options)
        with Image.open(path) as image, pytest.raises(SyntaxError):  # so Pillow's own function is not used
            ImageOps.exif_transpose(image)
        assert isinstance(read_header(path), Header)
        assert (picture_of(path, (16, 16)).pixels == np.asarray(stored)).all()

    @pytest.mark.parametrize("orientation", STORED)
    def test_it_turns_as_pillow_does(self, tmp_path: Path, orientation: int) -> None:
        exif = Image.Exif()
        exif[0x0112] = orientation
        noise = np.random.default_rng(orientation).integers(0, 255, (6, 9, 3), np.uint8)
        path = write(tmp_path / "x.png", Image.fromarray(noise), exif=exif)
        with Image.open(path) as image:
            upright = np.asarray(ImageOps.exif_transpose(image))
        assert (picture_of(path, upright.shape[:2]).pixels == upright).all()


class TestGreyOfMoreThan8Bits:
    def test_16_bits_are_divided_by_257_and_rounded(self, tmp_path: Path) -> None:
        words = np.array([0, 128, 129, 257, 385, 386, 65406, 65407, 65535], np.uint16)
        assert grey_of(tmp_path / "x.png", words) == [0, 0, 1, 1, 1, 2, 254, 255, 255]

    def test_16_bits_of_either_byte_order(self, tmp_path: Path) -> None:
        words = np.array([0, 25700, 65535], np.uint16)
        assert grey_of(tmp_path / "x.tiff", words) == [0, 100, 255]
        big = Image.frombytes("I;16B", (3, 1), words.astype(">u2").tobytes())
        assert picture_of(write(tmp_path / "big.tiff", big), (1, 3)).pixels[0, :, 0].tolist() == [0, 100, 255]

    def test_a_transparent_16_bit_value_is_white(self, tmp_path: Path) -> None:
        words = np.array([[0, 25700, 65535]], np.uint16)
        path = write(tmp_path / "x.png", Image.fromarray(words), transparency=25700)
        assert picture_of(path, (1, 3)).pixels[0, :, 0].tolist() == [0, 255, 255]

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (np.array([0, 100, 255], np.int32), [0, 100, 255]),
            (np.array([0, 25700, 65535], np.int32), [0, 100, 255]),
            (np.array([-100, 0, 155], np.int32), [0, 100, 255]),
            (np.array([0.0, 0.5, 1.0], np.float32), [0, 128, 255]),
            (np.array([0.0, 100.0, 255.0], np.float32), [0, 100, 255]),
            (np.array([0.0, 25700.0, 65535.0], np.float32), [0, 100, 255]),
            (np.array([0.0, 1e6, 2.55e6], np.float32), [0, 100, 255]),
            (np.array([np.nan, np.inf, 1.0], np.float32), [0, 0, 255]),
            (np.array([7.0, 7.0, 7.0], np.float32), [7, 7, 7]),
            (np.array([-7.0, -7.0, -7.0], np.float32), [0, 0, 0]),
        ],
    )
    def test_32_bits_by_the_smallest_usual_range(
        self, tmp_path: Path, values: NDArray[np.generic], expected: list[int]
    ) -> None:
        assert grey_of(tmp_path / "x.tiff", values) == expected


class TestFormatsThatOthersRead:
    @pytest.mark.parametrize(
        ("header", "pixels", "expected"),
        [
            (b"P1 3 1\n", b"1 0 1\n", [0, 255, 0]),
            (b"P2 3 1 255\n", b"0 100 255\n", [0, 100, 255]),
            (b"P2 # words\n3 1\n15\n", b"0 3 15\n", [0, 51, 255]),
            (b"P4 3 1\n", b"\xa0", [0, 255, 0]),
            (b"P5 3 1 255\n", bytes([0, 100, 255]), [0, 100, 255]),
            (b"P5 3 1 65535\n", np.array([0, 25700, 65535], ">u2").tobytes(), [0, 100, 255]),
            (b"P5 3 1 4095\n", np.array([0, 2048, 4095], ">u2").tobytes(), [0, 128, 255]),
            (b"P3 1 1 255\n", b"7 8 9\n", [7, 8, 9]),
            (b"P6 1 1 255\n", bytes([7, 8, 9]), [7, 8, 9]),
        ],
    )
    def test_portable_maps(self, tmp_path: Path, header: bytes, pixels: bytes, expected: list[int]) -> None:
        path = write_bytes(tmp_path / "x.pnm", header + pixels)
        read = read_header(path)
        assert isinstance(read, Header) and [remark.kind for remark in read.remarks] == ["tiny"]
        assert picture_of(path, (1, read.width)).pixels.ravel().tolist() == expected

    @pytest.mark.parametrize(
        ("ending", "options"),
        [("avif", {"quality": 100}), ("jp2", {}), ("heic", {"quality": -1})],
    )
    def test_formats_that_need_a_library(self, tmp_path: Path, ending: str, options: dict[str, int]) -> None:
        name = {"avif": "AVIF", "jp2": "JPEG2000", "heic": "HEIF"}[ending]
        if name not in readable():
            pytest.skip(f"{name} is not read here")
        image = Image.new("RGB", (48, 32), (200, 30, 30))
        path = write(tmp_path / f"x.{ending}", image, **options)
        header = read_header(path)
        assert isinstance(header, Header) and (header.height, header.width, header.remarks) == (32, 48, ())
        assert abs(picture_of(path, (8, 8)).pixels.astype(int) - (200, 30, 30)).max() <= 8
        renamed = read_header(path.rename(tmp_path / "x.jpg"))
        assert isinstance(renamed, Header) and f"Is {name} by content" in renamed.remarks[0].message

    @pytest.mark.parametrize("ending", ["ppm", "jp2", "avif", "heic"])
    def test_too_many_pixels_are_refused_before_decoding(
        self, tmp_path: Path, ending: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(decoding, "MAX_PIXELS", 48 * 32 - 1)
        try:
            path = write(tmp_path / f"x.{ending}", Image.new("RGB", (48, 32)))
        except (ValueError, KeyError):
            pytest.skip("this format is not written here")
        header = read_header(path)
        assert isinstance(header, FileRemark) and header.kind == "oversized"
        assert "48 x 32 pixels by its header" in header.message

    @pytest.mark.parametrize(
        ("start", "ending", "said"),
        [
            (b"\0\0\0\x0cJXL \r\n\x87\n", "jpg", "Format JPEG XL is not read: convert it to PNG or JPEG."),
            (b"\0\0\0\x0cJXL \r\n\x87\n", "jxl", "Format JPEG XL is not read"),
            (b"8BPS", "png", "Format PSD is not read"),
            (b"nothing that is known", "tga", "Format .tga is not read"),
        ],
    )
    def test_others_are_known_by_content_or_by_name(self, tmp_path: Path, start: bytes, ending: str, said: str) -> None:
        remark = remark_of(write_bytes(tmp_path / f"x.{ending}", start.ljust(40, b" ")))
        assert remark.kind == "unsupported format" and remark.message.startswith(said)


class TestTiffOfManyBands:
    @staticmethod
    def tiff(path: Path, bands: int, bits: int = 8, kind: int = 1, extra: int = 0) -> Path:
        """A TIFF of 8 x 8 pixels put together by hand, its bands one after the other in each pixel."""
        entries = [
            (256, 3, [8]),
            (257, 3, [8]),
            (258, 3, [bits] * bands),
            (259, 3, [1]),
            (262, 3, [2 if bands >= 3 else 1]),
            (273, 4, [8]),
            (277, 3, [bands]),
            (278, 3, [8]),
            (279, 4, [64 * bands * bits // 8]),
            *([(338, 3, [0] * extra)] if extra else []),
            (339, 3, [kind] * bands),
        ]
        pixels = bytes(64 * bands * bits // 8)
        directory = 8 + len(pixels)
        values_at = directory + 2 + 12 * len(entries) + 4
        table, values = struct.pack("<H", len(entries)), b""
        for tag, size, numbers in entries:
            packed = struct.pack("<" + {3: "H", 4: "I"}[size] * len(numbers), *numbers)
            if len(packed) > 4:
                table += struct.pack("<HHII", tag, size, len(numbers), values_at + len(values))
                values += packed
            else:
                table += struct.pack("<HHI", tag, size, len(numbers)) + packed.ljust(4, b"\0")
        return write_bytes(path, b"II*\0" + struct.pack("<I", directory) + pixels + table + bytes(4) + values)

    @pytest.mark.parametrize(
        ("bands", "bits", "kind", "said"),
        [
            (
                8,
                16,
                1,
                "8 bands of 16-bit integers, which is not read: save three of its bands as RGB, or one as grey.",
            ),
            (2, 32, 3, "2 bands of 32-bit floating-point numbers"),
            (3, 32, 3, "3 bands of 32-bit floating-point numbers"),
            (1, 64, 3, "1 band of 64-bit floating-point numbers, which is not read: save it as PNG, of 8 or 16 bits."),
        ],
    )
    def test_is_named_as_what_it_is(self, tmp_path: Path, bands: int, bits: int, kind: int, said: str) -> None:
        remark = remark_of(self.tiff(tmp_path / "x.tif", bands, bits, kind))
        assert remark.kind == "unsupported format" and said in remark.message

    def test_bands_beyond_the_colours_are_dropped_with_a_remark(self, tmp_path: Path) -> None:
        picture = picture_of(self.tiff(tmp_path / "x.tif", 5, extra=2), (8, 8))
        assert [remark.message for remark in picture.remarks] == ["Has 5 bands: read are the first 3 alone."]

    def test_a_damaged_one_stays_damaged(self, tmp_path: Path) -> None:
        path = self.tiff(tmp_path / "x.tif", 8)
        with quiet():
            assert remark_of(write_bytes(path, path.read_bytes()[:300])).kind == "unreadable"


class TestTransparency:
    def test_a_transparent_colour_is_white(self, tmp_path: Path) -> None:
        image = halves("RGB", (255, 0, 0), (0, 0, 255))
        path = write(tmp_path / "x.png", image, transparency=(255, 0, 0))
        pixels = picture_of(path, (16, 16)).pixels
        assert (pixels[:8] == 255).all()
        assert (pixels[8:] == (0, 0, 255)).all()

    def test_transparency_in_a_palette_can_be_partial(self, tmp_path: Path) -> None:
        image = halves("P", 0, 1)
        image.putpalette([0, 0, 0, 0, 0, 0])
        path = write(tmp_path / "x.png", image, transparency=bytes([128, 255]))
        assert picture_of(path, (16, 16)).pixels[[0, 15], 0, 0].tolist() == [127, 0]

    def test_an_alpha_channel_without_any_is_no_news(self, tmp_path: Path) -> None:
        picture = picture_of(write(tmp_path / "x.png", halves("RGBA", (9, 8, 7, 255), (1, 2, 3, 255))), (16, 16))
        assert picture.pixels[[0, 15], 0].tolist() == [[9, 8, 7], [1, 2, 3]]
        assert picture.remarks == ()

    def test_hidden_colours_make_no_difference(self, tmp_path: Path) -> None:
        one = write(tmp_path / "1.png", halves("RGBA", (255, 0, 0, 0), (1, 2, 3, 255)))
        other = write(tmp_path / "2.png", halves("RGBA", (0, 255, 0, 0), (1, 2, 3, 255)))
        assert picture_of(one, (16, 16)).digest == picture_of(other, (16, 16)).digest


class TestDigest:
    def test_of_a_large_image_is_that_of_its_bytes(self, tmp_path: Path) -> None:
        pixels = np.random.default_rng(0).integers(0, 255, (1500, 1400), np.uint8)  # more than one strip
        one = picture_of(write(tmp_path / "1.bmp", pixels), (8, 8)).digest
        pixels[-1, -1] ^= 1
        assert one != picture_of(write(tmp_path / "2.bmp", pixels), (8, 8)).digest

    def test_tells_shapes_of_the_same_bytes_apart(self, tmp_path: Path) -> None:
        flat = np.zeros(64, np.uint8)
        paths = [write(tmp_path / f"{h}.png", flat.reshape(h, -1)) for h in (4, 8, 16)]
        assert len({picture_of(path, (8, 8)).digest for path in paths}) == 3


class TestHostileFiles:
    def test_a_file_too_long_is_not_opened(self, tmp_path: Path) -> None:
        path = write(tmp_path / "x.png", halves("L", 1, 2))
        with path.open("r+b") as file:
            file.truncate(600_000_000)  # sparse: takes no room on the disk
        assert remark_of(path).kind == "oversized"
        assert "600 MB in one file" in remark_of(path).message

    def test_a_webp_canvas_beyond_the_limit(self, tmp_path: Path) -> None:
        frames = io.BytesIO()
        other = halves("RGB", "red", "blue")
        halves("RGB", "blue", "red").save(frames, "WEBP", save_all=True, append_images=[other])
        data = bytearray(frames.getvalue())
        canvas = data.index(b"VP8X") + 12  # width - 1 and height - 1, three bytes each
        data[canvas : canvas + 6] = (16_383).to_bytes(3, "little") * 2
        header = read_header(write_bytes(tmp_path / "x.webp", bytes(data)))
        assert isinstance(header, FileRemark)
        assert header.kind == "oversized"

    def test_libtiff_prints_nothing(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        path = write(tmp_path / "x.tiff", halves("RGB", "red", "blue"), compression="tiff_lzw")
        data = path.read_bytes()
        for start in range(8, 40, 4):
            write_bytes(path, data[:start] + b"\xff" * 4 + data[start + 4 :])
            with quiet():
                decode(path, (8, 8))
        os.write(2, b"still here")
        assert capfd.readouterr().err == "still here"

    @settings(max_examples=300, deadline=None)
    @given(data=st.data())
    def test_any_bytes_end_as_a_picture_or_a_remark(
        self, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        bytes_ = bytearray(data.draw(st.sampled_from(WHOLE_FILES)))
        for _ in range(data.draw(st.integers(0, 4))):
            bytes_[data.draw(st.integers(0, len(bytes_) - 1))] = data.draw(st.integers(0, 255))
        path = tmp_path_factory.getbasetemp() / "any"
        path.write_bytes(bytes_[: data.draw(st.integers(0, len(bytes_)))])
        with quiet():
            assert isinstance(read_header(path), Header | FileRemark)
            answer = decode(path, (5, 7))
        assert isinstance(answer, FileRemark) or answer.pixels.shape in {(5, 7, 1), (5, 7, 3)}


def _whole_files() -> list[bytes]:
    """A small valid file of every format and compression."""
    image = Image.fromarray(np.random.default_rng(3).integers(0, 255, (16, 16, 4), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = 6
    rgb, grey = image.convert("RGB"), image.convert("L")
    wanted: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("PNG", image, {}),
        ("PNG", image.convert("P"), {}),
        ("PNG", grey, {"exif": exif}),
        ("JPEG", rgb, {"exif": exif}),
        ("JPEG", image.convert("CMYK"), {"progressive": True}),
        ("GIF", image.convert("P"), {"save_all": True, "append_images": [image.rotate(90).convert("P")]}),
        ("BMP", rgb, {}),
        ("BMP", image.convert("P"), {}),
        ("WEBP", image, {}),
        ("WEBP", image, {"save_all": True, "append_images": [image.rotate(90)], "exif": exif}),
        *(("TIFF", rgb, {"compression": name}) for name in (None, "tiff_lzw", "tiff_deflate", "jpeg", "packbits")),
        *(("TIFF", grey.convert(mode), {}) for mode in ("I", "F", "I;16")),
    ]
    files = []
    for format_name, picture, options in wanted:
        stream = io.BytesIO()
        picture.save(stream, format_name, **options)
        files.append(stream.getvalue())
    return files


WHOLE_FILES = _whole_files()


def test_a_text_in_a_png_is_no_patient(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("patient", "P1")
    halves("L", 0, 255).save(tmp_path / "x.png", pnginfo=text)
    header = read_header(tmp_path / "x.png")
    assert isinstance(header, Header) and header.patient is None
