"""A file that is not a study of this release is refused in words: its bytes stay, and no file appears beside it."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import optuna
import pytest

from storage import Store
from storage.schema import REVISIONS
from tests.storage.examples import IMAGE_RECORDS, SPLITS, STUDY, fill, make, refused, unchanged

Opening = Callable[[Path | str], Store]


@pytest.fixture
def study(path: Path) -> Path:
    """A closed study with two trials."""
    with make(path) as store:
        fill(store, 2)
    return path


@pytest.fixture(params=[True, False], ids=["read-only", "writing"])
def opening(request: pytest.FixtureRequest) -> Opening:
    return lambda path: Store.open(path, read_only=request.param)


def execute(path: Path, *statements: str) -> None:
    """Changes a database behind the back of the store."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_missing_file_stays_missing(path: Path, opening: Opening) -> None:
    with unchanged(path.parent), refused(str(path), "no study here", "search init"):
        opening(path)


def test_a_folder_is_no_study(tmp_path: Path, opening: Opening) -> None:
    with refused(str(tmp_path), "is not a file", "study.db"):
        opening(tmp_path)


def test_an_empty_file(path: Path, opening: Opening) -> None:
    path.touch()
    with unchanged(path.parent), refused(str(path), "is empty (0 bytes)"):
        opening(path)


def test_a_file_of_another_kind(path: Path, opening: Opening) -> None:
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(5000))
    with unchanged(path.parent), refused(str(path), "is not an SQLite database", "PNG"):
        opening(path)


def test_a_damaged_header(study: Path, opening: Opening) -> None:
    study.write_bytes(b"X" + study.read_bytes()[1:])
    with unchanged(study.parent), refused(str(study), "is not an SQLite database", "XQLite"):
        opening(study)


@pytest.mark.parametrize("length", [16, 99, 100, 4096, -4096, -1])
def test_a_file_cut_short(study: Path, opening: Opening, length: int) -> None:
    study.write_bytes(study.read_bytes()[:length])
    with unchanged(study.parent), refused(str(study), "is cut short", "backup"):
        opening(study)


def test_a_database_of_optuna(path: Path, opening: Opening) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(storage=f"sqlite:///{path}")
    with unchanged(path.parent), refused(str(path), "another program", "0x00000000"):
        opening(path)


def test_a_study_of_a_newer_release(study: Path, opening: Opening) -> None:
    execute(study, "UPDATE alembic_version SET version_num = '0999'")
    with unchanged(study.parent), refused(str(study), "'0999'", f"knows {', '.join(REVISIONS)}", "Upgrade smallsearch"):
        opening(study)


def test_a_study_of_a_newer_release_that_is_at_work(study: Path, opening: Opening) -> None:
    with closing(sqlite3.connect(study, isolation_level=None)) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '0999'")
        before = study.read_bytes()
        with refused("'0999'"):
            opening(study)
        assert study.read_bytes() == before


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("DELETE FROM alembic_version", "0 revisions"),
        ("INSERT INTO alembic_version VALUES ('0000')", "2 revisions"),
        ("DROP TABLE alembic_version", "damaged"),
    ],
)
def test_a_study_without_one_revision(study: Path, opening: Opening, statement: str, words: str) -> None:
    execute(study, statement)
    with unchanged(study.parent), refused(str(study), words):
        opening(study)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trial SET layers = 'x' WHERE number = 1",
        "UPDATE trial SET layers = '[[1]]' WHERE number = 1",
        "UPDATE trial SET params = '[]' WHERE number = 1",
        "UPDATE fold_run SET curve = '{\"loss\": 3}' WHERE trial = 1",
        'UPDATE fold_run SET curve = \'{"loss": [{"$float":"x"}]}\' WHERE trial = 1',
        "UPDATE fold_run SET epochs = 'many' WHERE trial = 1",
        "UPDATE fold_run SET scores = x'00' WHERE trial = 1",
        "UPDATE trial SET started = CAST(x'ff' AS TEXT) WHERE number = 1",
        "PRAGMA foreign_keys=OFF; DROP TABLE fold_run",
    ],
)
def test_a_damaged_row_is_told_from_a_missing_one(study: Path, statement: str) -> None:
    execute(study, *statement.split("; "))
    with Store.open(study, read_only=True) as store, refused(str(study), "damaged", "backup"):
        store.trials()


@pytest.mark.parametrize("blob", ["x'00'", "'text'", "x'53534131'", "17"])
def test_damaged_arrays(study: Path, blob: str) -> None:
    for table, column in (("fold_run", "probabilities"), ("split", "assignment")):
        execute(study, f"UPDATE {table} SET {column} = {blob}")  # noqa: S608  no one's input
    with Store.open(study, read_only=True) as store:
        assert len(store.trials()) == 2
        with refused(str(study), "damaged"):
            store.probabilities(0)
        with refused(str(study), "damaged"):
            store.splits()


def test_an_array_of_another_dtype_is_damage(study: Path) -> None:
    execute(study, "UPDATE fold_run SET probabilities = (SELECT assignment FROM split)")
    with Store.open(study, read_only=True) as store, refused("damaged", "int16"):
        store.probabilities(0)


def test_a_file_without_its_study(study: Path) -> None:
    execute(study, "DELETE FROM study")
    with Store.open(study) as store, refused(str(study), "no study is noted"):
        store.study()


@pytest.mark.parametrize(
    "url",
    ["postgresql://ada:s3cr3t@host/db", "postgresql+psycopg://ada:s3cr@3t@host/db", "sqlite:///study.db"],
)
def test_a_url_is_refused_without_its_password(opening: Opening, url: str) -> None:
    messages = []
    for given in (url, Path(url)):
        with refused("looks like a URL") as caught:
            opening(given)
        messages.append(str(caught.value))
    with refused() as caught:
        Store.create(url, STUDY, IMAGE_RECORDS, SPLITS)
    messages.append(str(caught.value))
    assert not any("s3cr" in message or "3t" in message for message in messages)


def test_opening_and_reading_changes_no_byte(study: Path) -> None:
    before = study.read_bytes()
    for read_only in (True, False):
        with Store.open(study, read_only=read_only) as store:
            store.trials()
    assert study.read_bytes() == before


def test_a_closed_study_is_one_file(study: Path) -> None:
    assert [found.name for found in study.parent.iterdir()] == ["study.db"]


def test_a_copied_file_is_the_whole_study(study: Path, tmp_path: Path) -> None:
    shutil.copy(study, tmp_path / "copy.db")
    with Store.open(study) as one, Store.open(tmp_path / "copy.db") as other:
        assert repr(one.trials()) == repr(other.trials())


def test_a_link_to_a_study_is_the_study(study: Path, tmp_path: Path) -> None:
    link = tmp_path / "link.db"
    link.symlink_to(study)
    with Store.open(study) as writer, Store.open(link, read_only=True) as reader:
        writer.start_run(writer.runs()[0])
        assert len(reader.runs()) == 2
