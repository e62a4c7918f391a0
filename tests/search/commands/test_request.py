"""What a command asks for, as a value."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from search.commands.request import Request, Settings, builder, check_images, going_on, page_beside, search_of
from search.errors import UsageError
from search.session.prepare import prepare
from search.study import config as toml
from search.study.database import create
from search.study.folder import StudyFolder
from storage import RunRecord, TrialRecord
from storage.records import Origin
from tests.pictures import make_pictures
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


# Another set of images in a folder of the same name


def write_study(path: Path, directory: Path | None = None) -> Request:
    """What `search init` asks for, written."""
    request = search_of(path, directory, Settings(preset="cnn"))
    request.folder.make()
    request.write(())
    return request


def test_a_second_folder_of_the_same_name_does_not_take_over_the_study_of_the_first(place: Path) -> None:
    for name in ("a", "b c"):
        make_pictures(place / name / "pictures", {"left": 5, "top": 5}, seed=len(name))
    folder = write_study(Path("a/pictures")).folder
    before = folder.toml.read_text()
    second = search_of(Path("b c/pictures"), None, Settings())
    prepared = prepare(second.config, folder.path)
    typed = "search run 'b c/pictures' --trials 9 --model net.py:build"
    assert refusal(lambda: check_images(second, prepared, typed)) == (
        f"pictures-study is a study of {place}/a/pictures, and not of {place}/b c/pictures:\n"
        f"  images: they were in {place}/a/pictures, which is still there\n"
        f"to search those images, name another study folder: {typed} --dir 'b c-pictures-study'"
    )
    assert refusal(lambda: check_images(second, prepared, "search.run('b c/pictures')")).endswith(
        "search run 'b c/pictures' --dir 'b c-pictures-study'"
    )
    assert folder.toml.read_text() == before
    other = search_of(Path("b c/pictures"), Path("b c-pictures-study"), Settings())
    assert (other.images_before, other.written) == ((), False)


def test_a_study_with_trials_knows_its_images_wherever_they_are(place: Path) -> None:
    folder = write_study(Path("shapes"), Path("st")).folder
    with create(folder, prepare(toml.read(folder.path), folder.path)) as store:
        run = store.start_run(RunRecord("", "search run", {}, "here", 1))
        store.add_trial(TrialRecord(0, {}, Origin.BASELINE), run=run, seconds=1)
    (place / "disk").mkdir()
    shutil.copytree("shapes", "disk/shapes")
    shutil.copytree("shapes", "disk/fewer")
    (place / "disk" / "fewer" / "training" / "left" / "0000.png").unlink()
    moved = search_of(Path("disk/shapes"), Path("st"), Settings())
    check_images(moved, prepare(moved.config, folder.path), "")
    fewer = search_of(Path("disk/fewer"), Path("st"), Settings())
    message = refusal(lambda: check_images(fewer, prepare(fewer.config, folder.path), ""))
    assert f"st is a study of {place}/shapes, and not of {place}/disk/fewer:\n" in message
    assert "\n  images: 1 gone: training/left/0000.png\n" in message


def test_images_that_were_moved_before_the_search_go_on(place: Path) -> None:
    folder = write_study(Path("shapes"), Path("st")).folder
    shutil.move("shapes", "moved")
    moved = search_of(Path("moved"), Path("st"), Settings())
    check_images(moved, prepare(moved.config, folder.path), "")
    moved.write(())
    assert toml.read(folder.path).images == str(place / "moved")


def test_commas_part_classes_that_were_typed_and_no_others() -> None:
    assert Settings.of({"classes": ["cat, dog", "mouse,"]}).changes == {"classes": ["cat", "dog", "mouse"]}
    assert Settings(classes=["cat, black"]).changes == {"classes": ["cat, black"]}
    assert Settings.of({"classes": None}).changes == {}


@pytest.mark.parametrize("name", ["classes", "merge", "backbones"])
def test_a_text_is_no_list(name: str) -> None:
    given: dict[str, Any] = {name: "cat"}
    assert refusal(lambda: Settings(**given)) == f"{name}: must be a list of texts, got 'cat'; write ['cat']"


def test_columns_of_a_table_need_the_table() -> None:
    images = Path("shapes")
    assert Settings(labels=Path("a.csv"), label_columns="path=file").origin(images).columns == "path=file"
    assert refusal(lambda: Settings(label_columns="path=file").origin(images)).endswith(
        "label_columns: says what the columns of a table mean; name the table with labels"
    )
