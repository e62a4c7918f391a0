"""A stranger's database: what acts when it is read is refused before it is, and what it can cost is bounded."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from storage import StorageError, Store
from storage.engine import connect
from tests.storage.examples import bytes_of, fill, make

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
VIEW = (
    "ALTER TABLE trial RENAME TO t",
    "CREATE VIEW trial AS SELECT * FROM t WHERE (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) "
    "SELECT count(*) FROM n) > 0",
)
ACTING = {
    "a view in place of a table": (VIEW, "contains a view, 'trial'"),
    "a view beside the tables": (("CREATE VIEW more AS SELECT 1",), "contains a view, 'more'"),
    "a trigger": (
        ("CREATE TRIGGER t AFTER INSERT ON trial BEGIN DELETE FROM study; END",),
        "contains a trigger, 't'",
    ),
    "an index over an expression": (
        ("CREATE INDEX i ON trial (length(params))",),
        "has an index of its own, 'i'",
    ),
    "a generated column": (
        ("ALTER TABLE trial ADD COLUMN more TEXT GENERATED ALWAYS AS (zeroblob(1000)) VIRTUAL",),
        "has a table with 'GENERATED' in its definition, 'trial'",
    ),
    "a condition": (
        (
            "ALTER TABLE run RENAME TO r",
            "CREATE TABLE run (study, number, started, command, versions, host, pid, seconds, outcome, "
            "CHECK (length(zeroblob(100000000)) > 0))",
        ),
        "has a table with 'CHECK' in its definition, 'run'",
    ),
    "a virtual table": (("CREATE VIRTUAL TABLE v USING fts5(a)",), "contains a virtual or oversized table, 'v'"),
    "a missing table": (("DROP TABLE choice",), "has no table 'choice'"),
    "a missing column": (("ALTER TABLE trial DROP COLUMN layers",), "has no column 'layers' in its table 'trial'"),
    "very many tables": (
        tuple(f"CREATE TABLE t{n} (a)" for n in range(201)),
        "contains more than 200 tables and indexes",
    ),
}


def change(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        for statement in statements:
            connection.execute(statement)


@pytest.mark.parametrize("case", ACTING)
def test_what_acts_or_lacks_is_refused_unread_and_unchanged(path: Path, case: str) -> None:
    make(path).close()
    statements, said = ACTING[case]
    change(path, *statements)
    before = bytes_of(path.parent)
    for read_only in (True, False):
        with pytest.raises(StorageError) as raised:
            Store.open(path, read_only=read_only)
        assert said in str(raised.value) and "Restore it from a backup." in str(raised.value)
    assert bytes_of(path.parent) == before


def test_plain_tables_of_another_tool_do_no_harm(path: Path) -> None:
    make(path).close()
    change(path, "CREATE TABLE notes (a TEXT CHECK (length(a) < 5))", "CREATE INDEX i ON notes (a)")
    with Store.open(path) as store:
        assert store.study().name == "pets"


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE trial SET detail = printf('%.*c', 8400000, 'x')", "a row is damaged"),
        ("UPDATE study SET name = printf('%.*c', 5000, 'x')", "a name of 5,000 characters"),
        ("UPDATE image SET path = printf('%.*c', 5000, 'x')", "a path of 5,000 characters"),
        ("UPDATE fold_run SET curve = zeroblob(100)", "a row is damaged"),
        ("UPDATE fold_run SET curve = 7", "a row is damaged"),
        ("UPDATE trial SET params = CAST(x'ff' AS TEXT)", "a row is damaged"),
    ],
)
def test_oversized_and_wrongly_typed_values_are_refused(path: Path, statement: str, said: str) -> None:
    with make(path) as store:
        fill(store, 2)
    change(path, statement)
    with Store.open(path, read_only=True) as store, pytest.raises(StorageError, match=said):
        store.study(), store.images(), store.trials()


def test_a_blob_that_is_larger_than_any_array_is_not_read(path: Path) -> None:
    with make(path) as store:
        fill(store, 1)
    change(path, "UPDATE fold_run SET probabilities = zeroblob(80000000)")
    with Store.open(path, read_only=True) as store, pytest.raises(StorageError):
        store.probabilities(0)


def test_a_query_without_end_heeds_ctrl_c(path: Path) -> None:
    import signal

    make(path).close()
    with closing(connect(path, "ro")) as connection:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        before = signal.signal(signal.SIGALRM, signal.default_int_handler)
        try:
            with pytest.raises((KeyboardInterrupt, sqlite3.OperationalError)):
                connection.execute(ENDLESS).fetchone()
        finally:
            signal.signal(signal.SIGALRM, before)
