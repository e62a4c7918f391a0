"""A copy of a study's database while it may be in use, and a check of every page of it."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from storage.engine import mask_password
from storage.errors import LockedError
from storage.file_check import check
from storage.sqlite import Mode, connect, connect_to_read, explained, has_unmerged_commits, settle

_MAX_PROBLEMS = 20  # that are listed
_PAGES = 1000  # that are copied at a time: 4 MB
_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def back_up(path: Path, target: Path, wait_seconds: float = 30.0) -> Path:
    """Copies a database by SQLite's own backup, which includes the log; another process may be writing.

    `target` exists only when it is complete, with the journal mode of a file that nobody uses. Raises StorageError.
    """
    partial = target.with_name(target.name + ".partial")
    with explained(path, writing=False), closing(connect_to_read(path, wait_seconds)) as source:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM sqlite_master")  # what is committed from now on does not begin it anew
        with explained(target, writing=True):
            partial.unlink(missing_ok=True)
            try:
                with closing(sqlite3.connect(partial)) as copy:
                    _copy(source, copy, path, wait_seconds)
                settle(partial, target)
            except BaseException:
                partial.unlink(missing_ok=True)
                raise
    return target


def _copy(source: sqlite3.Connection, copy: sqlite3.Connection, path: Path, wait_seconds: float) -> None:
    """Some pages at a time: in between Python handles signals. Errors of the source name `path`."""
    latest = time.monotonic() + wait_seconds

    def heed(status: int, _left: int, _all: int) -> None:
        if status in _LOCKED and time.monotonic() > latest:
            raise LockedError(f"{mask_password(path)}: another process keeps it locked. Stop it, or try again later.")

    try:
        source.backup(copy, pages=_PAGES, progress=heed)
    except sqlite3.Error as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            with explained(path, writing=False):
                raise
        raise


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
