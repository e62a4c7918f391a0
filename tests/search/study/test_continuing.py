"""Commands for a study that has begun: with the file of the user's model where that can be found unchanged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from search.session.prepare import prepare
from search.study.continuing import as_typed, resume_command, stored_command, stored_model
from search.study.database import create
from search.study.folder import StudyFolder
from search.study.prepared import CustomModel
from spaces import Space
from spaces.custom.file import named
from storage import RunRecord, Store
from tests.search.shapes import FOLDER, settings

NET = "def build(hp): ...\n"


@pytest.fixture
def own(place: Path) -> Store:
    """A study of net.py:build, begun from the current folder."""
    (place / "net.py").write_text(NET)
    prepared = prepare(settings(), place / FOLDER)
    prepared = replace(prepared, own=CustomModel(named("net.py:build"), Space(())))
    return create(StudyFolder(Path(FOLDER)), prepared)


def typed(store: Store, command: str) -> str | None:
    """What is proposed for `--model` once a session was begun with this command."""
    store.start_run(RunRecord("", command, {}, "here", 1))
    return stored_model(StudyFolder(Path(FOLDER)), store)


def test_a_file_below_the_current_folder_is_named_from_there(
    place: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for path, expected in (
        ("net.py", "net.py:build"),
        ("my nets/a.py", "my nets/a.py:build"),
        ("-net.py", "./-net.py:build"),
    ):
        (place / path).parent.mkdir(exist_ok=True)
        (place / path).write_text(NET)
        assert as_typed(named(f"{place / path}:build")) == expected
    elsewhere = tmp_path_factory.mktemp("nets") / "net.py"
    elsewhere.write_text(NET)
    assert as_typed(named(f"{elsewhere}:build")) == f"{elsewhere}:build"


def test_going_on_names_the_model_and_the_study_that_an_outer_fold_is_of(place: Path) -> None:
    (place / "my net.py").write_text(NET)
    own = named("my net.py:build")
    for folder in (StudyFolder(Path("a study")), StudyFolder(Path("a study")).outer(2)):
        assert resume_command(folder, "--trials", "9", own=own) == (
            "search resume 'a study' --trials 9 --model 'my net.py:build'"
        )
    assert resume_command(StudyFolder(Path("-st"))) == "search resume ./-st"


def test_a_model_is_found_where_an_earlier_command_had_it(own: Store, place: Path) -> None:
    (place / "nets").mkdir()
    (place / "net.py").rename(place / "nets" / "net.py")
    assert typed(own, "search run shapes --trials 3") == "PATH/net.py:build"
    assert typed(own, "search run shapes --model nets/net.py:build --trials 3") == "nets/net.py:build"
    assert typed(own, "search.run('shapes', model='it's broken") == "nets/net.py:build"
    command = stored_command(StudyFolder(Path(FOLDER)), own, "export", "--to", Path("m.keras"))
    assert command == "search export study --to m.keras --model nets/net.py:build"


def test_a_model_is_found_here_or_beside_its_study(own: Store, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert typed(own, "search resume study --model=/gone/net.py:build") == "net.py:build"
    monkeypatch.chdir(place / "shapes")
    assert stored_model(StudyFolder(place / FOLDER), own) == f"{place / 'net.py'}:build"


def test_another_file_of_the_name_is_not_the_model(own: Store, place: Path) -> None:
    (place / "net.py").write_text("def build(hp): return 1\n")
    assert typed(own, "search run shapes --model net.py:build") == "PATH/net.py:build"


def test_a_preset_needs_no_model(begun: Store) -> None:
    assert typed(begun, "search run shapes --model net.py:build") is None
    assert stored_command(StudyFolder(Path(FOLDER)), begun, "resume") == "search resume study"
