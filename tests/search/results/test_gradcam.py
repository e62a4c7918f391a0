"""The file of where the saved model looks: written, read again, damaged, and from a stranger."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest

from search.results.gradcam import MOST_BYTES, Looks, read_looks, write_looks

MADE = "2026-01-01T00:00:00+00:00"


def looks() -> Looks:
    random = np.random.default_rng(0)
    maps = {row: random.integers(0, 255, (3, 4), np.uint8) for row in (7, 2, 90)}
    return Looks(MADE, 5, True, {7: 0, 2: 1, 90: 2}, maps)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_looks(tmp_path / "cache" / "looks.npz", looks())
    return tmp_path / "cache" / "looks.npz"


def test_what_was_written_is_read(path: Path) -> None:
    found, written = read_looks(path, MADE), looks()
    assert (found.made, found.trial, found.unseen, found.classes) == (MADE, 5, True, written.classes)
    assert {row: of.tolist() for row, of in found.maps.items()} == {
        row: of.tolist() for row, of in written.maps.items()
    }
    assert found.at(7, 0) is not None
    assert found.at(7, 1) is None, "it was looked for another class"
    assert found.at(8, 0) is None


def test_maps_of_another_choice_are_not_shown(path: Path) -> None:
    assert read_looks(path, "2026-01-02T00:00:00+00:00") == Looks()
    assert read_looks(path.with_name("none.npz"), MADE) == Looks()


def rewritten(path: Path, name: str, content: bytes) -> None:
    """With another content for one of its arrays."""
    with zipfile.ZipFile(path) as archive:
        parts = {part: archive.read(part) for part in archive.namelist()}
    parts[f"{name}.npy"] = content
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for part, data in parts.items():
            archive.writestr(part, data)


def header(shape: str, kind: str = "|u1") -> bytes:
    words = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(words).to_bytes(2, "little") + words.encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        header("(1000000000000, 1000, 1000)"),
        header("(-1, -1, 1)"),
        header("(3, 0, 0)"),
        header("(3, 3, 4)", "|O") + bytes(36),
        header("(3, 36)") + bytes(36 * 3),
        header("(2, 3, 4)") + bytes(24),
        header("((((((((((((3, 3, 4))") + bytes(36),
        header("(3, 3, 4)", "<f4") + bytes(144),
        header("(3, 1000, 1000)") + bytes(3 * MOST_BYTES),
        header("(3, 3, 4)") + b"\xff" * 24 + b"\x7f" * 12,
    ],
    ids=range(12),
)
def test_a_file_with_other_arrays_is_as_if_there_was_none(path: Path, content: bytes) -> None:
    rewritten(path, "maps", content)
    assert read_looks(path, MADE) == Looks()


def test_a_pickle_in_it_is_not_run(path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([print], object), allow_pickle=True)
    rewritten(path, "classes", stream.getvalue())
    assert read_looks(path, MADE) == Looks()


def test_damaged_files_are_as_if_there_was_none(path: Path) -> None:
    whole = path.read_bytes()
    for content in (b"", whole[:100], whole[:-30], bytes(reversed(whole)), b"x" * (MOST_BYTES + 1)):
        path.write_bytes(content)
        assert read_looks(path, MADE) == Looks()


def test_a_link_is_replaced_and_not_followed(path: Path, tmp_path: Path) -> None:
    (mine := tmp_path / "mine.txt").write_text("kept")
    path.unlink()
    path.symlink_to(mine)
    write_looks(path, looks())
    assert mine.read_text() == "kept"
    assert read_looks(path, MADE).maps
