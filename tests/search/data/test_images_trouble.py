"""A folder full of trouble: each planted thing is read or left out as it should be, and named in a note."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from search.data.images import ImageSet, read_images
from search.text import printable
from tests.pictures import make_trouble

LEFT_OUT = [
    ("training/bag/truncated.png", "unreadable", "Cannot be decoded"),
    ("training/bag/truncated.jpg", "unreadable", "truncated"),
    ("training/bag/zero_bytes.jpg", "unreadable", "An empty file"),
    ("training/bag/bad_crc.png", "unreadable", "checksum"),
    ("training/bag/bad_header.png", "unreadable", "header is damaged"),
    ("training/sneaker/bomb_30000x30000.png", "oversized", "900 megapixels by its header"),
    ("training/sneaker/bomb_header_only.png", "oversized", "without decoding"),
    ("training/sneaker/just_too_large.png", "oversized", "10000 x 5001 pixels"),
    ("training/sneaker/text_named.png", "not an image", "by its content"),
    ("training/sneaker/notes.txt", "not an image", "by its content"),
    ("training/bag/drawing.svg", "not an image", "by its content"),
    ("README.md", "not an image", "by its content"),
    ("training/sneaker/layers.psd", "unsupported format", "convert it"),
    ("training/sneaker/Thumbs.db", "hidden", "ignored"),
    ("training/bag/._bag_00001.png", "hidden", "ignored"),
    ("training/.ipynb_checkpoints", "hidden", "ignored"),
    ("training/stray_in_root.png", "outside any class", "left out"),
    ("training/bag/dangling.png", "link", "leads nowhere"),
    ("training/bag/loop", "link", "not followed"),
    ("training/linked_class", "link", "not followed"),
    ("training/empty_class", "empty class", "not a class of the model"),
    ("testing/only_in_testing", "class missing from training", "4 testing images but no training images"),
]

READ_WITH_A_NOTE = [
    ("training/bag/nested/deeper", "nested", "its 1 files count"),
    ("training/sneaker/grey16.png", "16-bit", "scaled"),
    ("training/sneaker/grey32.tiff", "32-bit", "from 0 to 1"),
    ("training/sneaker/grey_alpha_LA.png", "transparent", "on white"),
    ("training/bag/rgba.png", "transparent", "on white"),
    ("training/bag/palette_transparent.gif", "transparent", "on white"),
    ("training/bag/grey_transparent.png", "transparent", "on white"),
    ("training/bag/cmyk.jpg", "CMYK", "converted"),
    ("training/bag/animated.gif", "animated", "only the first"),
    ("training/bag/exif_rotated.jpg", "turned upright", "EXIF"),
    ("training/bag/one_pixel.png", "tiny", "1 x 1"),
    ("training/bag/strip_8x200.png", "tiny", "200 x 8"),
    ("training/sneaker/jpeg_named.png", "ending", "Is JPEG by content"),
    ("training/sneaker/no_extension", "ending", "Is PNG by content"),
    ("training/bag/copy.png", "copy", "'training/bag/copy (1).png' in the same class"),
    ("training/bag/copy_other_format.bmp", "copy", "in the same class"),
    ("training/bag/link_to_copy.png", "copy", "in the same class"),
    ("training/sneaker/copy_of_bag.png", "copy", "contradictory labels"),
    ("testing/bag/leak.png", "copy", "leak"),
    ("training/sneaker/line\nbreak,comma.png", "odd name", "control characters"),
    ("training/sneaker/\x1b[31mred\x1b[0m\u202egnp.png", "odd name", "control characters"),
    ("training/sneaker/caf\\xe9_latin1.png", "odd name", "not valid UTF-8"),
    ("training/tiny_trouser", "few images", "Only 3 training images"),
    ("training/tiny_trouser", "class missing from testing", "no testing images"),
]

# path below training, values at the top and at the bottom
PIXELS: list[tuple[str, tuple[int, int, int], tuple[int, int, int]]] = [
    ("sneaker/grey16.png", (100, 100, 100), (255, 255, 255)),
    ("sneaker/grey32.tiff", (255, 255, 255), (100, 100, 100)),
    ("sneaker/grey_L.png", (10, 10, 10), (20, 20, 20)),
    ("sneaker/bits_1.png", (255, 255, 255), (0, 0, 0)),
    ("sneaker/grey_alpha_LA.png", (40, 40, 40), (255, 255, 255)),
    ("bag/rgba.png", (255, 255, 255), (127, 127, 127)),
    ("bag/palette.png", (200, 100, 50), (10, 20, 30)),
    ("bag/palette_transparent.gif", (255, 255, 255), (10, 20, 30)),
    ("bag/grey_transparent.png", (255, 255, 255), (30, 30, 30)),
    ("bag/animated.gif", (90, 90, 90), (90, 90, 90)),
    ("bag/cmyk.jpg", (254, 0, 0), (255, 255, 255)),
    ("bag/exif_rotated.jpg", (250, 250, 250), (5, 5, 5)),
    ("bag/exif_damaged.jpg", (60, 60, 60), (60, 60, 60)),
    ("bag/nested/deeper/inside.png", (9, 9, 9), (9, 9, 9)),
    ("sneaker/pic.webp", (100, 100, 100), (100, 100, 100)),
    ("sneaker/pic.tiff", (101, 101, 101), (101, 101, 101)),
    ("sneaker/pic.bmp", (102, 102, 102), (102, 102, 102)),
    ("sneaker/UPPER.PNG", (110, 110, 110), (110, 110, 110)),
    ("sneaker/jpeg_named.png", (111, 111, 111), (111, 111, 111)),
    ("sneaker/no_extension", (112, 112, 112), (112, 112, 112)),
    ("bag/large_5000x4000.jpg", (113, 113, 113), (113, 113, 113)),
    ("sneaker/with space & 'quote' #1 100%.png", (120, 120, 120), (120, 120, 120)),
    ("sneaker/写真_ñandú_🙂.png", (121, 121, 121), (121, 121, 121)),
    ("sneaker/e\u0301_decomposed.png", (122, 122, 122), (122, 122, 122)),
    ("sneaker/line\nbreak,comma.png", (123, 123, 123), (123, 123, 123)),
    ("sneaker/" + "n" * 200 + ".png", (124, 124, 124), (124, 124, 124)),
    ("sneaker/\x1b[31mred\x1b[0m\u202egnp.png", (125, 125, 125), (125, 125, 125)),
    ("sneaker/caf\\xe9_latin1.png", (126, 126, 126), (126, 126, 126)),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_trouble(tmp_path_factory.mktemp("trouble"))


@pytest.fixture(scope="module")
def images(folder: Path) -> ImageSet:
    return read_images(folder)


@pytest.mark.parametrize(("path", "kind", "said"), LEFT_OUT, ids=lambda value: ascii(value)[:40])
def test_left_out_and_named(images: ImageSet, path: str, kind: str, said: str) -> None:
    (note,) = (note for note in images.notes if note.path == path)
    assert (note.kind, note.left_out) == (kind, True)
    assert said in note.message
    assert not any(read.startswith(path) for read in images.paths)


@pytest.mark.parametrize(("path", "kind", "said"), READ_WITH_A_NOTE, ids=lambda value: ascii(value)[:40])
def test_read_and_named(images: ImageSet, path: str, kind: str, said: str) -> None:
    (note,) = (note for note in images.notes if (note.path, note.kind) == (path, kind))
    assert said in note.message
    assert not note.left_out
    assert any(read.startswith(path) for read in images.paths)


@pytest.mark.parametrize(("path", "top", "bottom"), PIXELS, ids=lambda value: ascii(value)[:40])
def test_pixels_are_right(images: ImageSet, path: str, top: tuple[int, int, int], bottom: tuple[int, int, int]) -> None:
    pixels = images.pixels[images.paths.index(f"training/{path}")].astype(int)
    lossy = 3 if path.endswith((".jpg", ".webp")) else 0
    assert abs(pixels[:7] - top).max() <= lossy
    assert abs(pixels[9:] - bottom).max() <= lossy


def test_nothing_else_is_noted(images: ImageSet) -> None:
    planted = [(path, kind) for path, kind, _ in LEFT_OUT + READ_WITH_A_NOTE]
    assert sorted((note.path, note.kind) for note in images.notes) == sorted(planted)


def test_the_classes_are_those_with_training_images(images: ImageSet) -> None:
    assert images.classes == ("bag", "sneaker", "tiny_trouser", "été boots ☀")
    assert images.pixels.shape == (len(images.paths), 16, 16, 3)
    assert len(images.paths) == len(set(images.paths)) == len(images.labels) == len(images.digests)


def test_all_text_can_be_stored_and_printed(images: ImageSet) -> None:
    texts = [
        *images.paths,
        *images.classes,
        *(text for note in images.notes for text in (note.path, note.message)),
    ]
    json.dumps(texts, ensure_ascii=False).encode("utf-8")
    assert all(printable(note.message) == note.message for note in images.notes)
    assert all(printable(text).isprintable() for text in texts)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from Linux's /proc")
def test_nothing_is_printed_and_memory_stays_small(folder: Path) -> None:
    # Not ru_maxrss: a child inherits its parent's, and this one's parent may have imported TensorFlow.
    code = (
        "import sys; from pathlib import Path; from search.data.images import read_images; "
        "read_images(Path(sys.argv[1])); "
        "print(*[l.split()[1] for l in Path('/proc/self/status').read_text().splitlines() if l.startswith('VmHWM')])"
    )
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    assert int(done.stdout) * 1024 < 500_000_000  # of which a bomb alone would be 900
