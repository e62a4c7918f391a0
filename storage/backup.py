"""A copy of a study's database while it may be in use, and a check of every page of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from storage.engine import Mode, connect, explained, has_unmerged_commits, settle
from storage.file_check import check

_MAX_PROBLEMS = 20  # that are listed


def back_up(path: Path, target: Path, wait_seconds: float = 30.0) -> Path:
    """Copies a database by SQLite's own backup, which includes the log; another process may be writing.

    `target` exists only when it is complete, with the journal mode of a file that nobody uses. Raises StorageError.
    """
    partial = target.with_name(target.name + ".partial")
    with explained(target, writing=True):
        partial.unlink(missing_ok=True)
        try:
            with closing(connect(path, "ro", wait_seconds)) as source, closing(sqlite3.connect(partial)) as copy:
                source.backup(copy)
            settle(partial, target)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
    return target


def problems_of(path: Path) -> list[str]:
    """What SQLite finds wrong with the pages and references of a database; empty if nothing. Reads only.

    Raises StorageError for a file that is no study's, as `Store.open` does.
    """
    check(path)
    mode: Mode = "ro" if has_unmerged_commits(path) else "immutable"
    with explained(path, writing=False), closing(connect(path, mode)) as connection:
        told = connection.execute(f"PRAGMA integrity_check({_MAX_PROBLEMS})").fetchall()
        found = [str(words) for (words,) in told if words != "ok"]
        lost = connection.execute("PRAGMA foreign_key_check").fetchmany(_MAX_PROBLEMS)
        return found + [f"a row of {table} refers to none of {parent}" for table, _, parent, _ in lost]
