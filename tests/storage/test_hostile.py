"""A stranger's database: what acts when it is read is refused before it is, and what it can cost is bounded."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from storage import StorageError, Store
from storage.schema import HEAD, REVISIONS
from storage.sqlite import connect
from tests.storage.examples import ROOT, bytes_of, fill, make

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


TABLE = (
    "CREATE TABLE {name} (study, number, run, params, origin, state, cause, detail, parameters, layers, redraws, "
    "started, finished, {more})"
)
HIDDEN = {
    "between names in brackets": "[a'] TEXT GENERATED ALWAYS AS (length(params)), [b'] TEXT",
    "between names in backticks": "`a'` TEXT GENERATED ALWAYS AS (length(params)), `b'` TEXT",
    "between names in quotes": '"a\'" TEXT GENERATED ALWAYS AS (length(params)), "b\'" TEXT',
    "behind what looks like our condition": "a DEFAULT (('CHECK (state IN (')) CHECK (1), b TEXT DEFAULT 'x'",
    "in our condition": "CHECK (state IN ('running', length('x')))",
    "in a comment that is none": "a TEXT DEFAULT '/*' CHECK (1), b TEXT DEFAULT '*/'",
}


def replaced(path: Path, more: str, name: str = "trial", revision: str = HEAD) -> None:
    """Put another table in the place of `trial`."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA foreign_keys=OFF")
        connection.execute("DROP TABLE trial")
        connection.execute(TABLE.format(name=name, more=more))
        connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))


@pytest.mark.parametrize("name", ["trial", "Trial"])
@pytest.mark.parametrize("revision", [HEAD, REVISIONS[-2]])
@pytest.mark.parametrize("more", HIDDEN.values(), ids=HIDDEN)
def test_what_acts_is_found_however_it_is_quoted(path: Path, more: str, revision: str, name: str) -> None:
    make(path).close()
    replaced(path, more, name, revision)
    before = bytes_of(path.parent)
    with pytest.raises(StorageError, match=r"has a table with '(CHECK|GENERATED)' in its definition, '[Tt]rial'"):
        Store.open(path)
    assert bytes_of(path.parent) == before


def test_a_parameter_whose_name_holds_a_quote_hides_nothing(path: Path) -> None:
    make(path).close()
    replaced(path, "a DEFAULT 1111111, b CHECK (1), c TEXT DEFAULT 'x'")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("PRAGMA writable_schema=ON")  # SQLite reads it from a file, though it does not write it
        connection.execute("UPDATE sqlite_master SET sql = replace(sql, '1111111', '($a('')) ')")
    with pytest.raises(StorageError, match="in its definition, 'trial'"):
        Store.open(path)


def test_names_in_any_quoting_do_no_harm(path: Path) -> None:
    make(path).close()
    replaced(path, "[check as] TEXT, `generated` TEXT, \"as'\" TEXT DEFAULT 'it''s a CHECK' /* AS */ -- AS\n")
    with Store.open(path) as store:
        assert store.study().name == "pets"


def test_the_columns_of_an_older_study_are_checked_once_it_is_upgraded(path: Path) -> None:
    make(path).close()
    change(
        path,
        "ALTER TABLE fold_run DROP COLUMN diagnosis",
        "ALTER TABLE trial DROP COLUMN layers",
        "UPDATE alembic_version SET version_num = '0005'",
    )
    with pytest.raises(StorageError, match="has no column 'layers' in its table 'trial'"):
        Store.open(path)


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


def test_too_little_memory_is_an_error_that_names_the_file(path: Path) -> None:
    with make(path) as store:
        fill(store, 30)
    code = (
        "import sys\nfrom pathlib import Path\nfrom storage.sqlite import connect, explained\n"
        "path = Path(sys.argv[1])\n"
        "connection = connect(path, 'ro')\nconnection.execute('PRAGMA hard_heap_limit=300000')\n"
        "with explained(path, writing=False):\n    connection.execute(\"SELECT zeroblob(9000000) || 'a'\").fetchall()"
    )
    done = subprocess.run([sys.executable, "-c", code, path], cwd=ROOT, capture_output=True, text=True, check=False)
    assert f"StorageError: {path}: needs more memory" in done.stderr
