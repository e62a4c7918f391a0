"""Small versions of a study's images, and files that must not be read."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from search.data.folds import image_records
from search.data.images import read_images
from search.data.places import Place, opened
from search.data.thumbnails import MOST_PIXELS, SIDE, thumbnails
from storage.records import ImageRecord


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three pictures: 8 x 8, 300 x 150, and one that is turned upright."""
    generator = np.random.default_rng(0)
    for name, size in (("a/small", (8, 8)), ("a/wide", (150, 300)), ("b/tall", (40, 20)), ("b/other", (9, 9))):
        path = tmp_path / "pictures" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(generator.integers(0, 255, (*size, 3), np.uint8)).save(path)
    return tmp_path / "pictures"


def shown(root: Path, images: Iterable[ImageRecord], most: int = MOST_PIXELS) -> dict[int, NDArray[np.uint8]]:
    return thumbnails([Place(root, root)], images, most=most)


def records(root: Path) -> dict[str, ImageRecord]:
    return {image.path: image for image in image_records(read_images(root))}


def test_they_keep_their_proportions_and_are_not_enlarged(root: Path) -> None:
    images = records(root)
    small = shown(root, images.values())
    shapes = {path: small[image.row].shape for path, image in images.items()}
    assert shapes["a/small.png"] == (8, 8, 3)
    assert shapes["a/wide.png"] == (SIDE // 2, SIDE, 3)
    original = np.asarray(Image.open(root / "a" / "small.png"))
    assert (small[images["a/small.png"].row] == original).all()


def test_what_is_gone_changed_or_damaged_is_left_out(root: Path) -> None:
    images = records(root)
    (root / "a" / "small.png").unlink()
    Image.new("RGB", (150, 300)).save(root / "a" / "wide.png")
    (root / "b" / "tall.png").write_bytes(b"no picture")
    assert [*shown(root, images.values())] == [images["b/other.png"].row]
    assert shown(root / "elsewhere", images.values()) == {}


def test_a_file_outside_of_the_folder_is_not_read_even_with_the_right_digest(root: Path) -> None:
    """A study of a stranger may name any file, and so may a link in a folder of a stranger."""
    image = records(root)["b/other.png"]
    outside = root.parent / "private.png"
    (root / "b" / "other.png").rename(outside)
    (root / "b" / "other.png").symlink_to(outside)
    paths = ["b/other.png", "../private.png", str(outside), "b/../../private.png", "b", "", "a\0b", "x" * 5000]
    assert shown(root, [replace(image, path=path) for path in paths]) == {}
    outside.rename(root / "a" / "moved.png")
    assert [*shown(root, [replace(image, path="a/moved.png")])] == [image.row]


def test_with_another_digest_nothing_is_shown(root: Path) -> None:
    image = records(root)["b/other.png"]
    assert shown(root, [replace(image, digest="0" * 64)]) == {}


def test_only_so_many_pixels_are_decoded(root: Path) -> None:
    images = [records(root)[path] for path in ("a/small.png", "b/other.png", "a/wide.png", "b/tall.png")]
    assert [*shown(root, images, most=8 * 8 + 9 * 9)] == [images[0].row, images[1].row]


def test_of_an_archive_only_what_is_shown_is_unpacked(root: Path, tmp_path: Path) -> None:
    images = list(records(root).values())
    with zipfile.ZipFile(tmp_path / "pictures.zip", "w") as archive:
        for image in images:
            archive.write(root / image.path, image.path)
    wanted = [image for image in images if image.path != "a/wide.png"][:2]
    with opened([tmp_path / "pictures.zip"], [image.path for image in wanted]) as places:
        assert {*thumbnails(places, images)} == {image.row for image in wanted}
        assert len([path for path in places[0].folder.rglob("*") if path.is_file()]) == 2
        folder = places[0].folder
    assert not folder.exists()
