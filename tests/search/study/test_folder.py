"""Finding a study, and what lies in its folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from search.data.images import read_images
from search.study import config_file
from search.study.folder import DATABASE, find_study, is_study, pixels_on_disk
from tests.search.shapes import FOLDER, refusal, settings


def make_study(folder: str) -> Path:
    Path(folder).mkdir(exist_ok=True)
    config_file.write(Path(folder), settings())
    return Path(folder)


def test_the_study_named_is_the_one(place: Path) -> None:
    make_study(FOLDER)
    make_study("other")
    assert find_study(Path(FOLDER)) == Path(FOLDER)
    assert find_study(place / "other") == place / "other"


def test_without_a_name_it_is_the_current_folder_or_the_only_one_in_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_study(FOLDER)
    assert find_study(None) == Path(FOLDER)
    make_study(f"{FOLDER}/inner")
    monkeypatch.chdir(place / FOLDER)
    assert find_study(None) == Path()


def test_none_or_several_are_refused_by_name(place: Path) -> None:
    assert place == Path.cwd()
    assert refusal(lambda: find_study(None)) == (
        "there is no study here; name one, or make one with `search run IMAGES`"
    )
    make_study("one")
    make_study("two")
    assert refusal(lambda: find_study(None)) == "there are several studies here; name one: one, two"


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
    assert refusal(lambda: find_study(Path(name))) == message
    assert not is_study(place / name)


def test_a_database_alone_makes_a_study_too(place: Path) -> None:
    (place / FOLDER / DATABASE).touch()
    assert is_study(place / FOLDER)


def test_the_pixels_lie_on_the_disk_for_as_long_as_they_are_needed(place: Path) -> None:
    images = read_images(place / "shapes")
    with pixels_on_disk(place / FOLDER, images) as path:
        assert path.is_absolute()
        assert np.array_equal(np.load(path, mmap_mode="r", allow_pickle=False), images.pixels)
    assert list((place / FOLDER).iterdir()) == []
