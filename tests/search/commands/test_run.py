"""A study begun and gone on with: what a run gives back, and what it shows."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from search.commands.request import Settings, going_on
from search.commands.run import init, resume, run
from search.errors import UsageError
from search.results.progress import Ending
from search.study import config as toml
from storage import ServerUrl, StorageError, Store
from storage.postgresql import connected
from tests.search.commands.quiet import Remembering, session
from tests.search.shapes import refusal
from tests.search.study.test_lease import held
from tests.storage import servers

NOBODY = 2**22 + 1  # no process of Linux has this number


def test_init_writes_the_settings_that_were_named_and_refuses_to_do_so_twice(place: Path) -> None:
    display = Remembering()
    folder = init(place / "shapes", Settings(preset="cnn", flip=False), display=display)
    config = toml.read(folder.path)
    assert (config.preset, config.flip, folder.begun) == ("cnn", False, False)
    assert display.images == [16]
    again = refusal(lambda: init(place / "shapes", Settings(), display=display))
    assert again == "shapes-study is a study already; `search run shapes-study` goes on with it"


def test_a_run_gives_back_how_it_ended_and_a_second_one_what_is_left(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    display = Remembering()
    asked = Settings(preset="cnn", trials=1, folds=2, epochs=1)
    first = run(place / "shapes", asked, session(display))
    assert (first.ending, first.nothing_left, first.problem) == (Ending.FINISHED, None, None)
    assert first.folder.model.is_file()
    half_written = [first.folder.path / f".report.{NOBODY}.md", first.folder.looks.parent / f".looks.{NOBODY}.npz"]
    half_written += [first.folder.path / ".study.db.77ab.new", first.folder.pixels]
    for path in half_written:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    second = run(first.folder.path, Settings(), session(display))
    assert not any(path.exists() for path in half_written)
    assert (second.ending, second.problem) == (Ending.FINISHED, None)
    assert second.nothing_left == (
        "nothing left to do: 1 of 1 trials are done; with a larger budget: search resume shapes-study --trials 2 "
        "--workers 0; to use its model: search predict shapes-study PICTURES"
    )
    assert display.studies == [("shapes-study", False), ("shapes-study", True)]
    with pytest.raises(UsageError, match="nothing to resume: 1 of 1 trials are done"):
        resume(first.folder.path, Settings(), session(display))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (10**12, 10**12, 0))
    assert run(first.folder.path, Settings(), session(display)).nothing_left == second.nothing_left
    with pytest.raises(UsageError, match="move the study to another disk"):
        resume(first.folder.path, Settings(trials=2), session(display))


def test_a_study_that_has_not_begun_cannot_be_resumed(place: Path) -> None:
    folder = init(place / "shapes", Settings(preset="cnn"), display=Remembering())
    message = refusal(lambda: resume(folder.path, Settings(), session(Remembering())))
    assert message == "shapes-study has not begun, so there is nothing to resume; `search run shapes-study` starts it"


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    yield from servers.serving()


def test_a_refused_run_leaves_nothing_behind(place: Path, server: servers.Server) -> None:
    """Another study is on the server, one that is being searched, or none may be made there."""
    url, asked = server.url(), Settings(preset="cnn", trials=1, folds=2, epochs=1)
    run(place / "shapes", replace(asked, storage=str(url)), session(Remembering()), directory=place / "first")
    before = sorted(place.rglob("*"))

    def refused(storage: ServerUrl, folds: int = 2) -> str:
        with pytest.raises((UsageError, StorageError)) as raised:
            settings = replace(asked, storage=str(storage), folds=folds, trials=2)
            run(place / "shapes", settings, session(Remembering()), directory=place / "second")
        assert sorted(place.rglob("*")) == before
        return str(raised.value)

    assert "is another study" in refused(url, folds=3)
    with Store.open(url):
        assert "is in use by process" in refused(url)
    with connected(url.where, read_only=False) as connection:
        connection.execute(text("CREATE USER guest PASSWORD '" + servers.CANARY + "'"))
    assert "this user may not do that" in refused(replace(server.url(), user="guest"))


def test_the_time_of_a_session_counts_from_when_its_command_began(place: Path) -> None:
    """The reading of images and the start of workers are part of it."""
    began = replace(session(Remembering()), started=time.monotonic() - 5000)
    done = run(place / "shapes", Settings(preset="cnn", trials=2, folds=2, epochs=1, hours=1.0), began)
    with done.folder.read() as store:
        assert store.spent_seconds() > 5000
        assert store.trials() == []
    assert done.problem is not None
    assert done.problem.endswith("go on with: search resume shapes-study --time 2h --workers 0")


def test_the_time_that_a_session_waits_for_another_is_the_others(place: Path) -> None:
    folder = init(place / "shapes", Settings(preset="cnn", folds=2, epochs=1), display=Remembering())
    began = replace(session(Remembering()), started=time.monotonic() - 5000, takeover=True)
    with held(folder.path) as process:
        run(folder.path, Settings(trials=1), began)
        assert process.poll() is not None
    with folder.read() as store:
        assert store.spent_seconds() < 5000


def test_the_time_is_written_as_it_was_given_and_takes_the_place_of_hours(place: Path) -> None:
    folder = init(place / "shapes", Settings(preset="cnn", time="90m"), display=Remembering())
    assert 'time = "90m"' in folder.toml.read_text() and toml.read(folder.path).hours == 1.5
    for given, line, hours in ((Settings(hours=2.0), "hours = 2.0", 2.0), (Settings(time="36s"), 'time = "36s"', 0.01)):
        going_on(folder, given).write(())
        lines = folder.toml.read_text().splitlines()
        assert [each for each in lines if each.startswith(("hours", "time"))] == [line]
        assert toml.read(folder.path).hours == hours


def test_the_time_is_named_by_one_of_two_options() -> None:
    refused = refusal(lambda: Settings(hours=1.0, time="1h"))
    assert refused == "--hours and --time are the same budget; give one of them"
