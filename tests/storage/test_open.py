"""A file that is not a study of this release is refused with a message, without changing or making a file."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna
import pytest

from storage import ChoiceRecord, Store
from storage.codec import encode_array
from storage.schema import REVISIONS
from tests.storage.examples import (
    IMAGE_RECORDS,
    RUN,
    SPLITS,
    STUDY,
    fill,
    make,
    probabilities,
    reference,
    refused,
    unchanged,
)

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
    """Changes a database without the store."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def test_a_missing_file_stays_missing(path: Path, opening: Opening) -> None:
    with unchanged(path.parent), refused(str(path), "does not exist", "search init"):
        opening(path)


def test_a_folder_is_not_a_study_file(tmp_path: Path, opening: Opening) -> None:
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


def test_a_study_of_a_newer_release_that_is_running(study: Path, opening: Opening) -> None:
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
        "UPDATE trial SET origin = 'x' WHERE number = 1",
        "UPDATE trial SET layers = 'x' WHERE number = 1",
        "UPDATE trial SET layers = '[[1]]' WHERE number = 1",
        "UPDATE trial SET params = '[]' WHERE number = 1",
        "UPDATE fold_run SET curve = '{\"loss\": 3}' WHERE trial = 1",
        'UPDATE fold_run SET curve = \'{"loss": [{"$float":"x"}]}\' WHERE trial = 1',
        "UPDATE fold_run SET epochs = 'many' WHERE trial = 1",
        "UPDATE fold_run SET scores = x'00' WHERE trial = 1",
        "UPDATE trial SET started = CAST(x'ff' AS TEXT) WHERE number = 1",
    ],
)
def test_a_damaged_row_is_distinguished_from_a_missing_one(study: Path, statement: str) -> None:
    execute(study, statement)
    with Store.open(study, read_only=True) as store, refused(str(study), "damaged", "backup"):
        store.trials()


@pytest.mark.parametrize("blob", ["x'00'", "'text'", "x'53534131'", "17"])
def test_damaged_arrays(study: Path, blob: str) -> None:
    execute(study, f"UPDATE fold_run SET probabilities = {blob}")  # noqa: S608  no one's input
    with Store.open(study, read_only=True) as store:
        assert len(store.trials()) == 2
        with refused(str(study), "damaged"):
            store.probabilities(0)
    execute(study, f"UPDATE split SET assignment = {blob}")  # noqa: S608  no one's input
    with Store.open(study, read_only=True) as store:
        for ask in (store.splits, store.trials):
            with refused(str(study), "damaged"):
                ask()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE fold_run SET scores = '{}'", "no balanced_accuracy of fold 1 of trial 0"),
        ("UPDATE fold_run SET scores = '{\"balanced_accuracy\": 5.0}' WHERE trial = 1", "5 of fold 1 of trial 1"),
        ("UPDATE fold_run SET scores = '{\"balanced_accuracy\": -1e300}'", "balanced_accuracy -1e+300 of fold 1"),
        ('UPDATE fold_run SET scores = \'{"balanced_accuracy": {"$float": "Infinity"}}\'', "accuracy inf of fold 1"),
        ("UPDATE fold_run SET seconds = 1e300 WHERE fold = 1", "1e+300 seconds for fold 2 of trial 0"),
        ("UPDATE fold_run SET seconds = -1", "-1 seconds for fold 1 of trial 0"),
        ("UPDATE fold_run SET best_epoch = 4", "best epoch 4 of 3"),
        ("UPDATE fold_run SET fold = 7 WHERE fold = 2 AND trial = 0", "fold 8 of trial 0 where there are 3 folds"),
        ("DELETE FROM fold_run WHERE fold = 1", "only 2 of 3 folds of the complete trial 0"),
        ("UPDATE trial SET state = 'running' WHERE number = 1", "all 3 folds of trial 1 with that trial still open"),
        ("UPDATE trial SET redraws = 1000000000", "1000000000 refused points before trial 0"),
        ('UPDATE trial SET params = \'{"rate": {"low": 1}}\'', "rate = {'low': 1} in trial 0"),
        ("UPDATE trial SET params = '{\"rate\": [1]}'", "rate = [1] in trial 0"),
        (
            "UPDATE trial SET number = 5 WHERE number = 1; DELETE FROM fold_run WHERE trial = 1",
            "trial 5 but no trial 1",
        ),
        ("UPDATE run SET seconds = 1e300", "1e+300 seconds for"),
        ("UPDATE image SET label = 77 WHERE row = 3", "label 77 of image 3 among 2 classes"),
        ("DELETE FROM image WHERE row = 3", "no image in row 3"),
        ("UPDATE study SET classes = '[\"a\"]'", "the classes ['a']"),
        ('UPDATE study SET classes = \'["a", "a"]\'', "the classes ['a', 'a']"),
        ("UPDATE study SET image_shape = '[0, 8, 3]'", "images of the shape (0, 8, 3)"),
        ("UPDATE split SET repeat = repeat + 4", "the splits [4, 5]"),
    ],
)
def test_values_that_no_release_writes_are_named(study: Path, statement: str, problem: str) -> None:
    execute(study, *statement.split("; "))
    opened = Store.open(study, read_only=True, max_scores={"balanced_accuracy": 1.0})
    with opened as store, refused(str(study), problem, "never writes. Restore the file"):
        store.study()
        store.images()
        store.splits()
        store.trials()
        store.runs()
        store.spent_seconds()


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("UPDATE choice SET trial = 77", "a choice of trial 77, which has no finished fold"),
        ("UPDATE choice SET members = '[[77, 1.0]]'", "a choice of trial 77, which has no finished fold"),
        ("UPDATE choice SET pool = '[0, -1]'", "a choice of trial -1, which has no finished fold"),
        ("UPDATE choice SET members = '[[0, 0.2]]'", "a choice of the members ((0, 0.2),)"),
        ("UPDATE choice SET members = '[[0, 1.0, -1]]'", "a choice trained without fold -1"),
        ("UPDATE choice SET folds = -5", "a choice made of -5 fold runs"),
    ],
)
def test_a_choice_that_no_release_stores_is_named(study: Path, statement: str, problem: str) -> None:
    with Store.open(study) as store:
        testing = sum(image.testing for image in store.images())
        predictions = np.full((testing, 2), 0.5, np.float32) if testing else None
        record = ChoiceRecord("", 0, ((0, 1.0),), (0, 1), 6, 1.0, predictions)
        store.add_choice(record, run=store.start_run(RUN), seconds=1.0)
        assert len(store.choices()) == 1
    execute(study, statement)
    with Store.open(study, read_only=True) as store, refused(str(study), problem, "never writes. Restore the file"):
        store.choices()


@pytest.mark.parametrize("members", ["[[]]", "[[0]]", "[[0, 1.0, 1, 2]]", '[[0, 1.0, "1"]]', "[0]", "{}"])
def test_members_of_a_choice_of_another_form_are_damage(study: Path, members: str) -> None:
    with Store.open(study) as store:
        record = ChoiceRecord("", 0, ((0, 1.0),), (0, 1), 6, 1.0, None)
        store.add_choice(record, run=store.start_run(RUN), seconds=1.0)
    with closing(sqlite3.connect(study)) as connection, connection:
        connection.execute("UPDATE choice SET members = ?", (members,))
    with Store.open(study, read_only=True) as store, refused(str(study), "damaged"):
        store.choices()


def test_probabilities_of_another_shape_are_named(study: Path) -> None:
    turned = encode_array(np.ascontiguousarray(probabilities(0).T))
    with closing(sqlite3.connect(study)) as connection, connection:
        connection.execute("UPDATE fold_run SET probabilities = ? WHERE fold = 1", (turned,))
    with Store.open(study, read_only=True) as store, refused("shape (2, 3) for 3 images", "never writes"):
        store.probabilities(0)


@pytest.mark.parametrize(
    "change", ["scores = '[]'", "seconds = 'long'", "probabilities = x'00'", "name = CAST(x'ff' AS TEXT)"]
)
def test_a_damaged_reference(study: Path, change: str) -> None:
    with Store.open(study) as store:
        store.add_reference(reference(), run=0, seconds=0)
    execute(study, f"UPDATE reference_fold SET {change}")  # noqa: S608  no one's input
    with Store.open(study, read_only=True) as store, refused(str(study), "damaged", "backup"):
        store.references()


def test_an_array_of_another_dtype_is_damage(study: Path) -> None:
    execute(study, "UPDATE fold_run SET probabilities = (SELECT assignment FROM split)")
    with Store.open(study, read_only=True) as store, refused("damaged", "int16"):
        store.probabilities(0)


def test_a_file_without_its_study(study: Path) -> None:
    execute(study, "DELETE FROM study")
    with Store.open(study) as store, refused(str(study), "contains no study"):
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
    assert [file.name for file in study.parent.iterdir()] == ["study.db"]


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
