"""The study folder: what lies where, finding one, making one, and the commands to go on with it."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
import pytest

from search.data.images import read_images
from search.errors import UsageError
from search.study import config_file
from search.study.continuing import resume_command
from search.study.folder import StudyFolder
from storage import RunRecord, StorageError, Store
from tests.search.shapes import FOLDER, refusal, settings

FIND = StudyFolder.find


def make_study(folder: str) -> Path:
    Path(folder).mkdir(exist_ok=True)
    config_file.write(Path(folder), settings())
    return Path(folder)


def test_the_study_named_is_the_one(place: Path) -> None:
    make_study(FOLDER)
    make_study("other")
    assert FIND(Path(FOLDER)) == StudyFolder(Path(FOLDER))
    assert FIND(place / "other") == StudyFolder(place / "other")


def test_without_a_name_it_is_the_current_folder_or_the_only_one_in_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(FOLDER)
    assert FIND(None) == StudyFolder(Path(FOLDER))
    make_study(f"{FOLDER}/inner")
    monkeypatch.chdir(place / FOLDER)
    assert FIND(None) == StudyFolder(Path())


def test_none_or_several_are_refused_by_name(place: Path) -> None:
    assert place == Path.cwd()
    assert refusal(lambda: FIND(None)) == "there is no study here; name one, or make one with `search run IMAGES`"
    make_study("one")
    make_study("two")
    assert refusal(lambda: FIND(None)) == "there are several studies here; name one: one, two"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nowhere", "nowhere does not exist; `search run IMAGES` makes a study"),
        ("shapes", "shapes is not a study: it has no study.toml; `search run IMAGES` makes one"),
        (
            "shapes/training/top/0000.png",
            "shapes/training/top/0000.png is not a study: it has no study.toml; `search run IMAGES` makes one",
        ),
    ],
)
def test_what_is_no_study_is_refused(place: Path, name: str, message: str) -> None:
    assert refusal(lambda: FIND(Path(name))) == message
    assert not StudyFolder(place / name).is_study


def test_a_database_alone_makes_a_study_too(place: Path) -> None:
    folder = StudyFolder(place / FOLDER)
    assert (folder.is_study, folder.begun) == (False, False)
    folder.database.touch()
    assert (folder.is_study, folder.begun) == (True, True)


def test_everything_lies_within_and_keeps_its_name() -> None:
    folder = StudyFolder(Path("s"))
    places = (folder.toml, folder.database, folder.lock, folder.logs, folder.report, folder.model)
    assert [path.as_posix() for path in places] == [
        "s/study.toml",
        "s/study.db",
        "s/study.lock",
        "s/logs",
        "s/report.html",
        "s/models/choice.keras",
    ]
    cached = (folder.features, folder.refits, folder.pixels)
    assert [path.as_posix() for path in cached] == ["s/cache/features", "s/cache/refits", "s/cache/pixels.npy"]


@pytest.mark.parametrize("path", ["s", ".", "a/nested", "nested/s", "/far/away/s"])
def test_an_outer_fold_belongs_to_the_study_around_it_and_every_other_to_itself(path: str) -> None:
    folder = StudyFolder(Path(path))
    assert folder.outer(0).path == Path(path) / "nested" / "outer-1"
    assert folder.outer(3).parent == folder
    assert folder.parent == folder


def test_an_outer_fold_is_made_with_the_folder_around_it_and_goes_on_with_its_study(place: Path) -> None:
    outer = StudyFolder(place / FOLDER).outer(1)
    outer.make()
    assert outer.path.is_dir()
    assert resume_command(outer) == resume_command(StudyFolder(place / FOLDER))
    missing = StudyFolder(place / "no" / "such")
    with pytest.raises(UsageError, match=r"such cannot be made: No such file or directory; name another"):
        missing.make()


def test_a_folder_in_which_nothing_was_written_is_not_left_where_that_fails(place: Path) -> None:
    study = StudyFolder(place / "new")
    for folder in (study, study.outer(1)):
        with pytest.raises(KeyError), folder.made():
            assert folder.path.is_dir()
            raise KeyError
        assert not folder.path.exists()
        study.path.mkdir(exist_ok=True)
    assert not study.nested.exists()
    with pytest.raises(KeyError), study.outer(1).made():
        study.outer(1).toml.touch()
        raise KeyError
    assert study.outer(1).toml.exists()


def test_a_command_can_be_typed_as_it_is_whatever_the_folder_is_called() -> None:
    folder = StudyFolder(Path("my study's $HOME"))
    assert shlex.split(folder.command("export", "--to", "a b.keras"))[2:] == [str(folder), "--to", "a b.keras"]
    assert StudyFolder(Path("plain")).command("run") == "search run plain"


def test_a_new_study_lies_beside_what_it_is_of_and_never_among_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = Path("shapes")
    assert StudyFolder.new(shapes, None) == StudyFolder(Path("shapes-study"))
    assert StudyFolder.new(shapes, Path("mine")) == StudyFolder(Path("mine"))
    assert "is within the images" in refusal(lambda: StudyFolder.new(shapes, shapes / "mine"))
    assert "does not exist; a study needs" in refusal(lambda: StudyFolder.new(Path("none"), None))
    for name in ("pictures.tar.xz", "pictures.rar", "PICTURES.7Z"):
        Path(name).touch()
        message = refusal(lambda name=name: StudyFolder.new(Path(name), None))  # type: ignore[misc]
        assert message.startswith(f"{name} is an archive that is not read (only .zip, .tar, .tar.gz, .tgz are): unpack")
    for name in ("pictures.zip", "pictures.tar.gz", "PICTURES.TGZ"):
        Path(name).touch()
        assert StudyFolder.new(Path(name), None) == StudyFolder(Path(f"{name.partition('.')[0]}-study"))
    assert StudyFolder.new(shapes, None, [Path("pictures.zip")]) == StudyFolder(Path("shapes+pictures-study"))
    assert "shapes is named twice" in refusal(lambda: StudyFolder.new(shapes, None, [shapes / "."]))
    assert "none does not exist" in refusal(lambda: StudyFolder.new(shapes, None, [Path("none")]))
    assert "there is no folder no;" in refusal(lambda: StudyFolder.new(shapes, Path("no/study")))
    monkeypatch.chdir(place / "shapes")
    assert StudyFolder.new(Path(), None) == StudyFolder(Path("../shapes-study"))


def test_it_is_read_without_being_changed(begun: Store) -> None:
    begun.close()
    with StudyFolder(begun.path.parent).read() as store:
        assert store.study().seed == 3
        with pytest.raises(StorageError, match="read-only"):
            store.start_run(RunRecord("", "search run", {}, "here", 1))


@pytest.mark.parametrize(
    "name", ["cache", "cache/refits", "logs", "models", "nested", "nested/outer-1", "nested/outer-2/logs", "study.db"]
)
def test_a_link_out_of_the_study_is_refused_before_a_search_writes_through_it(place: Path, name: str) -> None:
    folder = StudyFolder(make_study(FOLDER))
    link = folder.path / name
    link.parent.mkdir(parents=True, exist_ok=True)
    (place / "elsewhere").mkdir()
    folder.check()
    link.symlink_to(place / "elsewhere")
    with pytest.raises(UsageError, match=f"{name} is a link that leads out of the study"):
        folder.check()
    link.unlink()
    (folder.path / "there").mkdir()
    link.symlink_to(folder.path.absolute() / "there")
    folder.check()


def test_the_pixels_lie_on_the_disk_for_as_long_as_they_are_needed(place: Path) -> None:
    images, folder = read_images(place / "shapes"), StudyFolder(place / FOLDER)
    with folder.pixels_on_disk(images.pixels) as path:
        assert path == folder.pixels.absolute()
        assert np.array_equal(np.load(path, mmap_mode="r", allow_pickle=False), images.pixels)
    assert list(folder.path.iterdir()) == []
