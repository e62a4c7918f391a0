"""What a command asks for, as a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from search.commands.request import Settings, builder, going_on, page_beside, search_of
from search.errors import UsageError
from search.study.folder import StudyFolder
from tests.search.shapes import refusal


def test_settings_that_were_not_named_change_nothing_and_the_others_have_the_keys_of_study_toml() -> None:
    assert Settings().changes == {}
    named = Settings(trials=3, epochs=2, precision="float32", xla=False, flip=False)
    assert named.changes == {
        "trials": 3,
        "training.max_epochs": 2,
        "training.precision": "float32",
        "training.xla": False,
        "flip": False,
    }


def test_a_table_of_groups_is_known_by_its_whole_path_and_a_pattern_as_it_is(place: Path) -> None:
    assert Settings(groups="who.csv").changes == {"groups": str(place / "who.csv")}
    assert Settings(groups="a([0-9]+)").changes == {"groups": "a([0-9]+)"}


def test_a_folder_of_images_asks_for_a_new_study_and_a_study_to_go_on(place: Path) -> None:
    new = search_of(place / "shapes", None, Settings(trials=3, preset="cnn"))
    assert (new.folder, new.written, new.changed) == (StudyFolder(Path("shapes-study")), False, False)
    assert new.config.images == str(place / "shapes")
    new.folder.make()
    new.write(())
    on = search_of(Path("shapes-study"), None, Settings(trials=9))
    assert (on.written, on.changed, on.config.trials, on.config.preset) == (True, True, 9, "cnn")
    assert search_of(place / "shapes", None, Settings()).written, "the images name the study that they have"
    on.write(())
    assert not going_on(on.folder, Settings(trials=9)).changed


def test_a_model_takes_the_place_of_a_preset(place: Path) -> None:
    assert place.is_dir()
    assert builder(None, "cnn") is None
    assert "so --preset cnn would do nothing" in refusal(lambda: builder("net.py:build", "cnn"))


def test_the_page_of_a_command_lies_where_a_study_would(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert page_beside(Path("shapes"), "check") == Path("shapes-check.html")
    monkeypatch.chdir(place / "shapes")
    assert page_beside(Path(), "check") == Path("../shapes-check.html"), "never among the images"
    with pytest.raises(UsageError, match="does not exist; a study needs a folder of images"):
        page_beside(Path("none"), "check")
