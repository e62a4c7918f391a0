"""Archives of pictures: what is in them is read, and nothing outside of a temporary folder is written."""

from __future__ import annotations

import gzip
import io
import os
import stat
import struct
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from search.data import archives
from search.data.archives import parts_of, unpacked
from search.data.images import read_images
from search.data.origin import is_archive, stem_of
from search.data.tree import Note
from search.errors import UsageError
from tests.pictures import noise


def png(number: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(noise(np.random.default_rng(number), 8)).save(stream, "PNG")
    return stream.getvalue()


SOUND = {f"{label}/{number}.png": png(10 * place + number) for place, label in enumerate("ab") for number in range(3)}


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An own folder of temporary files, empty again after each test."""
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    yield place
    assert list(place.iterdir()) == []


def write_zip(path: Path, more: list[tuple[str | zipfile.ZipInfo, bytes]], **sound: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in {**SOUND, **sound}.items():
            archive.writestr(name, content)
        for info, content in more:
            archive.writestr(info, content)
    return path


def write_tar(path: Path, more: list[tuple[tarfile.TarInfo, bytes]]) -> Path:
    with tarfile.open(path, "w:gz" if path.name.endswith("gz") else "w") as archive:
        for name, content in SOUND.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member, content in more:
            archive.addfile(member, io.BytesIO(content))
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    made = tarfile.TarInfo(name)
    made.type, made.linkname, made.size = kind, link, size
    return made


def notes_of(path: Path) -> list[Note]:
    images = read_images(path)
    assert len(images.paths) == 6 and images.classes == ("a", "b")
    return [note for note in images.notes if note.kind != "few images"]


def kinds(path: Path) -> list[tuple[str, str]]:
    notes = notes_of(path)
    assert all(note.left_out for note in notes)
    return [(note.path, note.kind) for note in notes]


def refusal(path: Path) -> str:
    with pytest.raises(UsageError) as refused:
        read_images(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def link_in_zip(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def test_names_that_lead_out_are_left_out(tmp_path: Path) -> None:
    outside = ["../out.png", "a/../../out.png", "/abs.png", "\\\\host\\x.png", "C:\\x.png", "a\\..\\..\\x.png", ".."]
    path = write_zip(tmp_path / "p.zip", [(name, png(50)) for name in outside])
    assert {kind for _, kind in kinds(path)} == {"odd name"} and len(kinds(path)) == len(outside)
    more = [(member(name, size=5), b"12345") for name in ("../out.png", "a/../../out.png")]
    assert {kind for _, kind in kinds(write_tar(tmp_path / "p.tar.gz", more))} == {"odd name"}
    assert sorted(each.name for each in tmp_path.iterdir()) == ["p.tar.gz", "p.zip", "temporary"]


def test_links_devices_and_sparse_files_are_left_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "p.zip", [(link_in_zip("a/link.png"), b"/etc/hostname")])
    assert kinds(path) == [("a/link.png", "link")]
    more = [
        (member("a/soft.png", tarfile.SYMTYPE, "/etc/hostname"), b""),
        (member("a/hard.png", tarfile.LNKTYPE, "a/0.png"), b""),
        (member("a/pipe.png", tarfile.FIFOTYPE), b""),
        (member("a/disk.png", tarfile.BLKTYPE), b""),
        (member("b", tarfile.SYMTYPE, "/etc"), b""),
    ]
    assert kinds(write_tar(tmp_path / "p.tar", more)) == [
        ("a/disk.png", "not an image"),
        ("a/hard.png", "link"),
        ("a/pipe.png", "not an image"),
        ("a/soft.png", "link"),
        ("b", "link"),
    ]


def test_what_is_no_picture_is_not_unpacked(tmp_path: Path) -> None:
    more = ["README.md", "a/setup.py", "a/more.zip", "a/.hidden.png", "__MACOSX/a/0.png", "b/Thumbs.db"]
    path = write_zip(tmp_path / "p.zip", [(name, b"x") for name in more])
    assert dict(kinds(path)) == {
        "README.md": "not an image",
        "a/setup.py": "not an image",
        "a/more.zip": "not an image",
        "a/.hidden.png": "hidden",
        "__MACOSX/a/0.png": "hidden",
        "b/Thumbs.db": "hidden",
    }
    with unpacked(path) as found:
        assert len([each for each in found.folder.rglob("*") if each.is_file()]) == 6


def test_of_two_members_of_one_name_the_first_is_read(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = write_zip(tmp_path / "p.zip", [("a/0.png", png(70)), ("a\\1.png", png(71)), ("a/2.png/x.png", png(72))])
    plain = write_zip(tmp_path / "plain.zip", [])
    assert read_images(path).fingerprint == read_images(plain).fingerprint
    assert [kind for _, kind in kinds(path)] == ["second of a name"] * 3


def test_an_encrypted_member_is_left_out(tmp_path: Path) -> None:
    path = write_zip(tmp_path / "p.zip", [("b/secret.png", png(60))])
    content = bytearray(path.read_bytes())
    for start, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):  # the last header of each kind: a flag says it is encrypted
        content[content.rindex(start) + offset] |= 1
    path.write_bytes(content)
    assert kinds(path) == [("b/secret.png", "encrypted")]


def test_a_damaged_member_of_a_zip_costs_no_other(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "p.zip", "w") as archive:
        for name, content in {**SOUND, "b/broken.png": png(61)}.items():
            archive.writestr(name, content)
    damaged = bytearray((tmp_path / "p.zip").read_bytes())
    damaged[damaged.rindex(b"IDAT") + 6] ^= 0xFF
    (tmp_path / "p.zip").write_bytes(damaged)
    assert kinds(tmp_path / "p.zip") == [("b/broken.png", "unreadable")]


@pytest.mark.parametrize("name", ["p.zip", "p.tar", "p.tar.gz", "p.tgz"])
def test_an_archive_that_was_cut_short_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    whole = write_zip(path, []) if name.endswith("zip") else write_tar(path, [])
    content = whole.read_bytes()
    for length in (0, 3, 100, len(content) // 2):
        path.write_bytes(content[:length])
        assert refusal(path).startswith(f"{path}: ")


def test_one_that_is_not_what_its_name_says_is_read_by_content(tmp_path: Path) -> None:
    assert notes_of(write_zip(tmp_path / "p.zip", []).rename(tmp_path / "p.tar")) == []
    assert notes_of(write_tar(tmp_path / "p.tgz", []).rename(tmp_path / "q.zip")) == []


class TestLimits:
    def test_a_member_that_is_too_large_is_left_out_without_unpacking_it(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archives, "MAX_BYTES", 10_000)
        path = write_zip(tmp_path / "p.zip", [("a/large.png", bytes(10_001))])
        assert kinds(path) == [("a/large.png", "oversized")]
        large = [(member("a/large.png", size=10_001), bytes(10_001))]
        assert kinds(write_tar(tmp_path / "p.tgz", large)) == [("a/large.png", "oversized")]

    @pytest.mark.parametrize("name", ["p.zip", "p.tgz"])
    def test_a_bomb_is_refused(self, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archives, "LEAST_LIMIT", 1_000_000)
        path = tmp_path / name
        if name.endswith("zip"):
            write_zip(path, [(f"a/{number}.bmp", bytes(400_000)) for number in range(10)])
        else:
            write_tar(path, [(member(f"a/{number}.bmp", size=400_000), bytes(400_000)) for number in range(10)])
        assert "it would unpack to" in refusal(path)

    def test_so_is_one_that_claims_less_than_it_holds(self, tmp_path: Path) -> None:
        path = write_zip(tmp_path / "p.zip", [("a/liar.bmp", bytes(1_000_000))])
        content = bytearray(path.read_bytes())
        for start, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
            place = content.rindex(start) + offset
            content[place : place + 4] = struct.pack("<I", 1000)
        path.write_bytes(content)
        assert kinds(path) == [("a/liar.bmp", "unreadable")]

    def test_a_header_of_gigabytes_is_not_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(archives, "_MAX_PIECE", 100_000)
        name = member("././@PaxHeader", tarfile.XHDTYPE, size=1_000_000)
        with gzip.open(tmp_path / "p.tgz", "wb") as stream:
            stream.write(name.tobuf() + bytes(1_000_000))
        assert "MB of names" in refusal(tmp_path / "p.tgz")

    def test_many_members_are_refused_and_many_notes_are_counted(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = write_zip(tmp_path / "p.zip", [(f"a/{number}.txt", b"") for number in range(20)])
        monkeypatch.setattr(archives, "_NOTES", 5)
        assert len(notes_of(path)) == 6
        assert notes_of(path)[0] == Note(".", "not an image", "… and 15 more in the archive.", True)
        monkeypatch.setattr(archives, "MAX_MEMBERS", 20)
        assert "more than 20 members" in refusal(path)

    def test_no_room_for_it_is_said_with_the_variable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
        path = write_zip(tmp_path / "p.zip", [])
        assert "cannot be (No such file or directory); name another place with the variable TMPDIR" in refusal(path)


def test_names() -> None:
    assert parts_of("a/b.png") == parts_of("./a//b.png") == parts_of("a\\b.png") == ("a", "b.png")
    for name in ("", "/", "..", "a/../b", "/a", "C:/a", "a\0b", "x" * 256, "/".join("a" * 40), "\ud800/a"):
        assert parts_of(name) is None, name


def test_what_an_archive_is(tmp_path: Path) -> None:
    for name in ("p.zip", "q.tar.gz", "R.TGZ", "s.tar"):
        (tmp_path / name).touch()
        assert is_archive(tmp_path / name)
    assert [stem_of(tmp_path / name) for name in ("p.zip", "q.tar.gz", "R.TGZ", "s.tar")] == ["p", "q", "R", "s"]
    (tmp_path / "folder.zip").mkdir()
    assert not is_archive(tmp_path / "folder.zip") and stem_of(tmp_path / "folder.zip") == "folder.zip"


PART = st.one_of(st.sampled_from(["a", "b", "..", ".", "", "x.png", "C:", "con", "~"]), st.text(max_size=12))
NAME = st.lists(PART, min_size=1, max_size=5).map("/".join)


@given(names=st.lists(NAME, max_size=5), cut=st.integers(0, 400), flips=st.lists(st.integers(0, 5000), max_size=3))
@settings(max_examples=120, deadline=None)
@pytest.mark.parametrize("ending", ["zip", "tar.gz"])
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_any_archive_is_read_or_refused_and_writes_nowhere_else(
    tmp_path_factory: pytest.TempPathFactory, ending: str, names: list[str], cut: int, flips: list[int]
) -> None:
    place = tmp_path_factory.mktemp("any")
    path = place / f"p.{ending}"
    safe = [name for name in names if "\0" not in name and not any("\ud800" <= letter <= "\udfff" for letter in name)]
    if ending == "zip":
        write_zip(path, [(name or "x", png(1)) for name in safe])
    else:
        write_tar(path, [(member(name, size=len(png(1))), png(1)) for name in safe])
    content = bytearray(path.read_bytes())
    for flip in flips:
        content[flip % len(content)] ^= 0xFF
    path.write_bytes(content[: len(content) - cut] if cut > 200 else content)
    try:
        with unpacked(path) as found:
            files = [each for each in found.folder.rglob("*") if not each.is_dir()]
            assert all(each.is_file() and not each.is_symlink() for each in files)
            assert all(
                os.path.commonpath([found.folder.resolve(), each.resolve()]) == str(found.folder.resolve())
                for each in files
            )
    except UsageError as error:
        assert str(error).startswith(f"{path}: ")
    assert [each.name for each in place.iterdir()] == [path.name]
