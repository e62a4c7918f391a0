"""Pragmas, locks, full disks, read-only media, and readers at the same time as a writer."""

from __future__ import annotations

import os
import sqlite3
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from storage import Store, TrialState
from tests.storage.children import Child, read_as_nobody, read_until_told
from tests.storage.examples import FOLDS, RUN, fill, fold, make, refused, trial, unchanged

SECONDS_LONG_ENOUGH = 20.0


def pragma(store: Store, name: str, connections: int = 3) -> set[object]:
    """The values of a pragma on several connections that are open at the same time."""
    with ExitStack() as stack:
        opened = [stack.enter_context(store._opened.engine.connect()) for _ in range(connections)]
        return {connection.execute(text(f"PRAGMA {name}")).scalar_one() for connection in opened}


@pytest.mark.parametrize(
    ("name", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 1000)],
)
def test_every_writing_connection_is_durable_and_patient(store: Store, name: str, value: object) -> None:
    assert pragma(store, name) == {value}


@pytest.mark.parametrize(("name", "value"), [("foreign_keys", 1), ("busy_timeout", 30000)])
def test_every_reading_connection_is_patient(path: Path, name: str, value: object) -> None:
    make(path).close()
    with Store.open(path, read_only=True) as reader:
        assert pragma(reader, name) == {value}


def test_a_reading_connection_cannot_write_even_by_sql(path: Path) -> None:
    make(path).close()
    with (
        Store.open(path, read_only=True) as reader,
        reader._opened.engine.connect() as connection,
        pytest.raises(OperationalError, match="readonly"),
    ):
        connection.execute(text("DELETE FROM image"))


# Locks


@pytest.fixture
def holder(store: Store) -> Iterator[sqlite3.Connection]:
    """Another program that holds the write lock of the study."""
    with closing(sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield connection


def test_a_lock_that_lasts_is_named_and_nothing_is_partly_written(path: Path, holder: sqlite3.Connection) -> None:
    with Store.open(path, wait_seconds=0.05) as waiting:
        with refused(str(path), "another process", "database is locked"):
            waiting.add_trial(trial(), run=0, seconds=5)
        holder.execute("ROLLBACK")
        assert waiting.trials() == []
        waiting.add_trial(trial(), run=0, seconds=5)


def test_a_write_waits_for_a_lock_as_long_as_it_is_told_to_and_heeds_signals_meanwhile(path: Path) -> None:
    make(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as other, Store.open(path, wait_seconds=0.05) as store:
        other.execute("BEGIN IMMEDIATE")
        waited: list[float] = []

        def patient(seconds: float) -> bool:
            waited.append(seconds)
            if len(waited) == 3:
                other.execute("ROLLBACK")
            return True

        store.patient = patient
        store.end_run(0, "finished", 1.0)
        assert len(waited) == 3 and waited == sorted(waited)
        assert store.runs()[0].outcome == "finished"

        other.execute("BEGIN IMMEDIATE")
        store.patient = lambda _: False
        with refused(str(path), "another process", "database is locked"):
            store.start_run(RUN)


def test_a_lock_that_ends_is_waited_for(store: Store, holder: sqlite3.Connection) -> None:
    timer = threading.Timer(0.2, lambda: holder.execute("ROLLBACK"))
    timer.start()
    store.add_trial(trial(), run=0, seconds=0)
    timer.join()
    assert len(store.trials()) == 1


def test_reading_continues_under_a_lock(store: Store, holder: sqlite3.Connection) -> None:
    holder.execute("DELETE FROM run")
    assert len(store.runs()) == 1


# Full disks


@pytest.mark.parametrize("spare_pages", [0, 1, 2, 3, 5, 8])
def test_a_full_disk_loses_nothing_that_was_acknowledged(path: Path, spare_pages: int) -> None:
    with make(path) as store:
        with store._opened.engine.connect() as connection:
            pages = connection.execute(text("PRAGMA page_count")).scalar_one()
            connection.execute(text(f"PRAGMA max_page_count={pages + spare_pages}"))
        acknowledged = 0
        with refused(str(path), "no space left", "MB free", "what was committed is safe"):
            for number in range(2000):
                store.add_trial(trial(number), run=0, seconds=number)
                acknowledged += 1
        assert len(store.trials()) == acknowledged

        with store._opened.engine.connect() as connection:
            connection.execute(text("PRAGMA max_page_count=100000"))
            assert connection.execute(text("PRAGMA integrity_check")).scalar_one() == "ok"
        store.add_trial(trial(acknowledged), run=0, seconds=0)
    with Store.open(path) as store:
        assert len(store.trials()) == acknowledged + 1


# Read-only media


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A folder that every user can read and, after `protect`, only root can write."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder
        folder.chmod(0o755)


def protect(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


POSIX = pytest.mark.skipif(sys.platform == "win32", reason="permissions of folders are POSIX")


@POSIX
def test_a_study_on_a_read_only_medium_can_be_read(shelf: Path) -> None:
    with make(shelf / "study.db") as store:
        fill(store, 2)
    protect(shelf)
    with unchanged(shelf), Child(read_as_nobody, shelf / "study.db") as child:
        assert child.receive(SECONDS_LONG_ENOUGH) == 2


@POSIX
def test_commits_that_cannot_be_read_on_a_read_only_medium_are_an_error(shelf: Path) -> None:
    with make(shelf / "study.db") as store:
        fill(store, 2)
        copy = shelf / "copied"
        copy.mkdir()
        for name in ("study.db", "study.db-wal"):
            (copy / name).write_bytes((shelf / name).read_bytes())
    protect(copy)
    with unchanged(copy), Child(read_as_nobody, copy / "study.db") as child:
        answer = child.receive(SECONDS_LONG_ENOUGH)
    assert "cannot be opened" in str(answer)
    assert "copied first" in str(answer)
    copy.chmod(0o755)


@POSIX
def test_writing_on_a_read_only_medium_is_refused(shelf: Path) -> None:
    make(shelf / "study.db").close()
    protect(shelf)
    with unchanged(shelf), Child(read_as_nobody, shelf / "study.db", write=True) as child:
        answer = str(child.receive(SECONDS_LONG_ENOUGH))
    assert "permissions of the file and its folder" in answer
    assert os.fspath(shelf / "study.db") in answer


# Readers and a writer


def test_two_readers_see_whole_commits_in_order_while_a_writer_writes(store: Store, path: Path) -> None:
    with Child(read_until_told, path) as one, Child(read_until_told, path) as other:
        for reader in (one, other):
            assert reader.receive(SECONDS_LONG_ENOUGH) == "ready"
        fill(store, 40)
        for reader in (one, other):
            reader.send("stop")
            reads, last = reader.receive(SECONDS_LONG_ENOUGH)
            assert reads >= 1
            assert last == 40 * FOLDS


def test_a_reader_sees_one_consistent_state(store: Store, path: Path) -> None:
    fill(store, 1)
    with Store.open(path, read_only=True) as reader, reader._reading() as connection:
        count = text("SELECT count(*) FROM fold_run")
        assert connection.execute(count).scalar_one() == FOLDS
        store.add_trial(trial(1), run=0, seconds=0)
        store.add_fold(fold(1), run=0, seconds=0, close=(TrialState.PRUNED, "race", None))
        assert connection.execute(count).scalar_one() == FOLDS
