"""Where a study's results are: what the settings ask for, and what is already there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from search.data.images import in_order_of
from search.errors import UsageError
from search.session.prepare import prepare
from search.study.config import Config, parse
from search.study.config_file import update, write
from search.study.database import create, open_begun, server_of
from search.study.folder import StudyFolder
from storage import RunRecord, ServerUrl, StorageError, Store, TrialRecord, copy, studies_on
from storage.records import Origin
from tests.search.shapes import FOLDER, settings
from tests.storage import servers

RUN = RunRecord("2026-01-01T00:00:00+00:00", "search run", {}, "here", 1)
DATABASE = "postgresql://ada@host/db"


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    yield from servers.serving()


@pytest.mark.parametrize(
    ("folder", "storage", "name"),
    [
        ("cats", DATABASE, "cats"),
        ("my cats & dogs", DATABASE, "my-cats-dogs"),
        ("cats", f"{DATABASE}/other", "other"),
        ("cats/nested/outer-2", DATABASE, "cats-outer-2"),
        ("cats/nested/outer-2", f"{DATABASE}/other", "other-outer-2"),
    ],
)
def test_a_study_has_the_name_of_its_folder_on_a_server_unless_the_url_has_one(
    tmp_path: Path, folder: str, storage: str, name: str
) -> None:
    config = Config(images="here", storage=storage)
    assert server_of(StudyFolder(tmp_path / folder), config) == ServerUrl("host", "db", "ada", study=name)


def test_without_a_server_it_is_in_the_folder(tmp_path: Path) -> None:
    assert server_of(StudyFolder(tmp_path), Config(images="here")) is None


def test_an_outer_fold_of_a_long_name_is_refused_with_the_rule(tmp_path: Path) -> None:
    config = Config(images="here", storage=f"{DATABASE}/{'a' * 45}")
    with pytest.raises(UsageError, match="storage: the name of a study on a server"):
        server_of(StudyFolder(tmp_path / "nested" / "outer-1"), config)


def test_the_setting_is_kept_without_the_driver_and_refused_with_a_password(tmp_path: Path) -> None:
    config = parse({"images": "here", "storage": "postgresql+psycopg://ada@host/db"}, "study.toml")
    assert config.storage == DATABASE
    assert "storage" not in config.identity()
    write(tmp_path, config)
    assert f'storage = "{DATABASE}"' in (tmp_path / "study.toml").read_text()
    with pytest.raises(UsageError, match=r"storage: must not contain a password.*PGPASSWORD") as raised:
        parse({"images": "here", "storage": "postgresql://ada:c4nary@host/db"}, "study.toml")
    assert "c4nary" not in str(raised.value)
    update(tmp_path, {"trials": 7}, unset=["storage", "folds"])
    text = (tmp_path / "study.toml").read_text()
    assert "\nstorage" not in text and "trials = 7" in text


def test_a_new_study_is_on_the_server_and_the_folder_has_a_link(place: Path, server: servers.Server) -> None:
    url = server.url()
    folder, prepared = StudyFolder(place / FOLDER), prepare(settings(storage=str(url)), place / FOLDER)
    assert open_begun(folder, prepared) is None
    with create(folder, prepared) as store:
        store.start_run(RUN)
        store.add_trial(TrialRecord(0, prepared.space.defaults(), Origin.BASELINE), run=0, seconds=0)
    assert folder.begun and folder.server == url and url in studies_on(url.where)
    begun = open_begun(folder, prepared)
    assert begun is not None
    with begun:
        assert len(begun.trials()) == 1


def test_a_study_without_a_trial_is_made_anew(place: Path, server: servers.Server) -> None:
    url = server.url()
    folder, prepared = StudyFolder(place / FOLDER), prepare(settings(storage=str(url)), place / FOLDER)
    create(folder, prepared).close()
    assert open_begun(folder, prepared) is None
    assert not folder.begun and url not in studies_on(url.where)


def test_a_link_that_was_lost_is_made_again_for_the_same_study_only(place: Path, server: servers.Server) -> None:
    """A session that was killed between making the study and the link; or the folder is another copy."""
    url = server.url()
    folder, prepared = StudyFolder(place / FOLDER), prepare(settings(storage=str(url)), place / FOLDER)
    with create(folder, prepared) as store:
        store.start_run(RUN)
        store.add_trial(TrialRecord(0, prepared.space.defaults(), Origin.BASELINE), run=0, seconds=0)
    folder.database.unlink()
    other = prepare(settings(storage=str(url), seed=99), place / FOLDER)
    with pytest.raises(UsageError, match="is another study") as raised:
        open_begun(folder, other)
    assert "seed" in str(raised.value) and not folder.begun
    begun = open_begun(folder, prepared)
    assert begun is not None
    with begun:
        assert len(begun.trials()) == 1


def test_a_study_that_moved_to_a_server_goes_on_as_it_began(place: Path, server: servers.Server) -> None:
    """What is decided from the stored study, such as the order of the images, is that of the one on the server."""
    url = server.url()
    folder, prepared = StudyFolder(place / FOLDER), prepare(settings(), place / FOLDER)
    backwards = in_order_of(prepared.images, prepared.images.paths[::-1])
    with create(folder, replace(prepared, images=backwards)) as store:
        store.start_run(RUN)
        store.add_trial(TrialRecord(0, prepared.space.defaults(), Origin.BASELINE), run=0, seconds=0)
    copy(folder.database, url)
    folder.database.rename(folder.path / "before.db")
    again = prepare(settings(storage=str(url)), folder.path)
    assert again.images.paths == backwards.paths
    assert not folder.begun  # nothing is written


def test_a_study_in_a_file_does_not_move_to_a_server_by_itself(place: Path) -> None:
    folder = StudyFolder(place / FOLDER)
    create(folder, prepare(settings(), place / FOLDER)).close()
    with pytest.raises(UsageError, match=r"`search copy .*` *, then rename study.db"):
        open_begun(folder, prepare(settings(storage=DATABASE), place / FOLDER))
    assert Store.open(folder.database).images()


def test_a_server_that_is_not_there_is_told_before_anything_is_written(place: Path) -> None:
    pytest.importorskip("psycopg")
    url = f"postgresql://ada@127.0.0.1:{servers.free_port()}/db"
    folder = StudyFolder(place / FOLDER)
    with pytest.raises(StorageError, match="its server cannot be used"):
        prepare(settings(storage=url), folder.path)
    with pytest.raises(StorageError, match="its server cannot be used"):
        open_begun(folder, replace(prepare(settings(), folder.path), config=settings(storage=url)))
    assert not list(folder.path.iterdir())
