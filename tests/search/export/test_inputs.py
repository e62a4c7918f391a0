"""Pictures to classify: files, folders and archives, each called as the user knows it."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from search.errors import UsageError
from search.export.inputs import open_inputs
from tests.pictures import list_inputs, make_pictures


def packed(folder: Path, archive: Path) -> Path:
    """An archive of a folder's files, and of a text."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    if archive.suffix == ".zip":
        with zipfile.ZipFile(archive, "w") as written:
            for file in files:
                written.write(file, file.relative_to(folder))
            written.writestr("notes.txt", "no picture")
        return archive
    with tarfile.open(archive, "w:gz") as written_tar:
        for file in files:
            written_tar.add(file, str(file.relative_to(folder)))
    return archive


@pytest.mark.parametrize("name", ["new.zip", "new.tar.gz"])
def test_an_archive_has_the_pictures_of_the_folder_that_it_was_made_of(tmp_path: Path, name: str) -> None:
    folder = make_pictures(tmp_path / "new", {"a": 2, "b": 1}, size=8)
    archive, unpacked = packed(folder, tmp_path / name), list[tuple[int, int]]()
    with open_inputs([archive, folder], lambda *counts: unpacked.append(counts)) as files:
        inside = [file for file in files if file.member and not file.problem]
        plain = [file for file in files if not file.member]
        assert [file.shown for file in inside] == [
            file.shown.replace(str(folder), str(archive)) for file in plain
        ] and len(inside) == 3
        assert [file.path.read_bytes() for file in inside] == [file.path.read_bytes() for file in plain]
        problems = [file.shown for file in files if file.problem]
        assert problems == ([f"{archive}/notes.txt"] if name == "new.zip" else [])
    assert not any(file.path.exists() for file in inside)
    assert unpacked == [(1, 0), (2, 0), (3, 0)]


def test_what_cannot_be_listed_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for given, words in ((tmp_path / "none", "does not exist"), (tmp_path / "empty", "there are no files")):
        with pytest.raises(UsageError, match=words):
            list_inputs([given])
    zipfile.ZipFile(tmp_path / "empty.zip", "w").close()
    with pytest.raises(UsageError, match="there are no files"), open_inputs([tmp_path / "empty.zip"]):
        pass
