"""Whether a file holds the tables of a study and nothing that acts: a stranger's database could."""

from __future__ import annotations

import re
import sqlite3

from storage.schema import metadata

_MAX_OBJECTS = 200  # tables and indexes: a study has about 20, and a tool may have added some of its own
_MAX_SQL = 20_000  # characters of a table's definition: ours have less than 4,000
_STATES = re.compile(r"CHECK \(state IN \(''(?:, '')*\)\)")  # the only condition that this program writes
_ACTS = re.compile(r"\b(CHECK|GENERATED|AS|COLLATE)\b|[^\w\s(),.'\"+-]", re.IGNORECASE)  # in a table's definition
_TOKENS = re.compile(
    r"(?P<text>'(?:[^']|'')*')|(?P<name>\"(?:[^\"]|\"\")*\"|`(?:[^`]|``)*`|\[[^\]]*\])|(?P<comment>--[^\n]*|/\*.*?\*/)",
    re.DOTALL,
)  # all that SQLite reads as one, whatever is in it. See its tokenizer, tokenize.c.
_EMPTY = {"text": "''", "name": '""', "comment": " "}


def problem_of(connection: sqlite3.Connection, *, current: bool) -> str | None:
    """What is no table of a study, in words; None if nothing. Reads only the schema.

    A view or trigger runs somebody's query whenever its table is read or written, and so does a generated column, a
    condition, a collation or an index over an expression. `current`: the tables must have the columns of this release.
    """
    objects = connection.execute(
        "SELECT type, name, tbl_name, substr(sql, 1, ?) FROM sqlite_master LIMIT ?", (_MAX_SQL + 1, _MAX_OBJECTS + 1)
    ).fetchall()
    if len(objects) > _MAX_OBJECTS:
        return f"contains more than {_MAX_OBJECTS} tables and indexes"
    ours = {name for name in metadata.tables if current or name == "alembic_version"}
    for kind, name, table, sql in objects:
        # SQLite takes `Trial` for `trial`.
        if problem := _problem(kind, str(name), str(table).lower() in metadata.tables, sql):
            return problem
        ours.discard(str(name).lower())
    if ours:
        return f"has no table {min(ours)!r}"
    found = (_columns(connection, name, current=current) for name in metadata.tables)
    return next(filter(None, found), None)


def _problem(kind: str, name: str, ours: bool, sql: str | None) -> str | None:
    if kind not in ("table", "index"):
        return f"contains a {kind}, {name[:60]!r}"
    if sql is None:  # an index that SQLite made for a key
        return None
    if kind == "index" and ours:
        return f"has an index of its own, {name[:60]!r}"
    text = _STATES.sub("", _TOKENS.sub(lambda token: _EMPTY[str(token.lastgroup)], sql))
    if len(sql) > _MAX_SQL or (kind == "table" and not text.lstrip().upper().startswith("CREATE TABLE")):
        return f"contains a virtual or oversized table, {name[:60]!r}"
    if ours and (found := _ACTS.search(text)):
        return f"has a table with {found[0].upper()!r} in its definition, {name[:60]!r}"
    return None


def _columns(connection: sqlite3.Connection, table: str, *, current: bool) -> str | None:
    columns = connection.execute(f'PRAGMA table_xinfo("{table}")').fetchall()
    if hidden := [str(row[1]) for row in columns if row[6]]:  # generated, or of a virtual table
        return f"has a computed column, {hidden[0][:60]!r}, in its table {table!r}"
    missing = {column.name for column in metadata.tables[table].columns} - {str(row[1]) for row in columns}
    return f"has no column {min(missing)!r} in its table {table!r}" if current and missing else None
