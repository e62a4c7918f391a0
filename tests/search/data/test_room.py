"""Pixels that would fill the memory are in a file: the set is the same, and nothing is left of the file."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.data import room
from search.data.images import in_order_of, read_images
from search.data.room import empty_pixels
from search.native import memory
from tests.pictures import make_pictures
from tests.search.shapes import refusal


@pytest.fixture
def little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for large files, which all pixels are from now on."""
    (tmp_path / "large").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "large"))
    monkeypatch.setattr(room, "SHARE", 0.0)
    return tmp_path / "large"


@pytest.mark.parametrize("colour", [False, True], ids=["grey", "colour"])
def test_a_set_in_a_file_is_the_same_set(tmp_path: Path, request: pytest.FixtureRequest, colour: bool) -> None:
    pictures = make_pictures(tmp_path / "pictures", {"a": 5, "b": 4}, testing={"c": 1, "a": 2}, colour=colour)
    before = read_images(pictures)
    backwards = before.paths[::-1]
    large = request.getfixturevalue("little_memory")
    after = read_images(pictures)
    assert isinstance(after.pixels, np.memmap) and not isinstance(before.pixels, np.memmap)
    assert not [*large.iterdir()], "the file has no name"
    for one, other in ((before, after), (in_order_of(before, backwards), in_order_of(after, backwards))):
        np.testing.assert_array_equal(one.pixels, other.pixels)
        assert one.pixels.shape == (11, 8, 8, 3 if colour else 1) and isinstance(other.pixels, np.memmap)
        assert (one.fingerprint, one.paths) == (other.fingerprint, other.paths)
        assert replace(one, pixels=other.pixels).notes == other.notes


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="reads the files that are open from /proc")
@pytest.mark.usefixtures("little_memory")
def test_its_room_on_disk_is_taken_at_once() -> None:
    """Else a disk that others fill meanwhile ends the process by SIGBUS, without a word."""
    pixels = empty_pixels((40, 64, 64, 3))
    found = []
    for opened in Path("/proc/self/fd").iterdir():
        with suppress(OSError):  # that of the list itself
            found.append(opened.stat())
    (file,) = (about for about in found if about.st_nlink == 0 and about.st_size == pixels.nbytes)
    assert 512 * file.st_blocks >= pixels.nbytes


def test_without_room_on_disk_it_is_refused_with_what_to_do(little_memory: Path) -> None:
    assert refusal(lambda: empty_pixels((10**9, 1000, 1000, 3))) == (
        "1,000,000,000 images of 1000 x 1000 pixels take 3e+06 GB, more than a quarter of this machine's memory of "
        f"{memory() / 1e9:.3g} GB, and cannot be kept in a file in {little_memory}: there is not so much free; free "
        "some space, set TMPDIR to a folder with room, or read the images smaller with --image-size"
    )
    assert not [*little_memory.iterdir()]
