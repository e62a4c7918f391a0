"""Connections to an SQLite file: pragmas, transactions, and messages for SQLite's errors. See `engine`."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import Connection, Engine, QueuePool, create_engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from storage.codec import MAX_ARRAY_BYTES, decode_json, encode_json
from storage.engine import mask_password
from storage.errors import ImpossibleError, LockedError, StorageError

MAX_TEXT_BYTES = 8 * 2**20
"""Longest text that is read: the curves of 10,000 epochs have 1 MB."""
_MAX_HEAP = 2**30  # bytes that SQLite may take in this process
_MAX_DEAF = 1.0  # seconds that one attempt to write waits for a lock
_STEPS_BETWEEN_SIGNALS = 1_000_000  # of SQLite's machine: some 10 ms

Mode = Literal["rw", "query", "ro", "immutable"]
"""'query' reads, and removes the files that SQLite makes beside the database; 'ro' cannot remove them. Both use locks
and see commits. 'immutable' neither locks nor makes a file."""

_QUERY: dict[Mode, str] = {
    "rw": "mode=rw",
    "query": "mode=rw",
    "ro": "mode=ro",
    "immutable": "mode=ro&immutable=1",
}
_NOT_STORABLE = (ValueError, TypeError, LookupError, OverflowError, RecursionError)
"""Errors for values of the wrong type and damaged rows, when a record is written or read."""


def sidecar(path: Path, suffix: Literal["-wal", "-shm", "-journal"]) -> Path:
    """A file that SQLite makes beside a database. Symbolic links are followed, as SQLite does."""
    real = path.resolve()
    return real.with_name(real.name + suffix)


def has_unmerged_commits(path: Path) -> bool:
    """Whether the write-ahead log contains commits: a process is writing, or the last one was killed."""
    try:
        return sidecar(path, "-wal").stat().st_size > 0
    except OSError:
        return False


def connect(path: Path, mode: Mode, wait_seconds: float = 30.0) -> sqlite3.Connection:
    """A plain connection to an existing file, in autocommit. Raises sqlite3.Error."""
    uri = f"{path.resolve().as_uri()}?{_QUERY[mode]}"
    # Without isolation_level=None, Python begins transactions by itself: too late, and none before DDL.
    connection = sqlite3.connect(uri, uri=True, timeout=wait_seconds, isolation_level=None, check_same_thread=False)
    _bound(connection)
    return connection


def _bound(connection: sqlite3.Connection) -> None:
    """Limits what a stranger's database can cost: memory, the length of values, and being deaf to Ctrl-C."""
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_ARRAY_BYTES + 2**20)
    connection.text_factory = _text
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute(f"PRAGMA hard_heap_limit={_MAX_HEAP}")
    # While SQLite works, Python handles no signal unless it is called now and then.
    connection.set_progress_handler(lambda: 0, _STEPS_BETWEEN_SIGNALS)


def _text(data: bytes) -> str:
    if len(data) > MAX_TEXT_BYTES:
        raise ValueError(f"a text of {len(data)} bytes, {MAX_TEXT_BYTES} at most")
    return data.decode()


def make_engine(path: Path, mode: Mode, wait_seconds: float = 30.0) -> Engine:
    """An engine that sets the pragmas on every connection. `execution_options(write=True)` locks at BEGIN."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: connect(path, mode, wait_seconds),
        poolclass=QueuePool,
        json_serializer=encode_json,
        json_deserializer=decode_json,
        hide_parameters=True,
    )

    def set_pragmas(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute(f"PRAGMA busy_timeout={round(wait_seconds * 1000)}")
        connection.execute("PRAGMA foreign_keys=ON")
        if mode == "query":
            connection.execute("PRAGMA query_only=ON")
        if mode == "rw":
            (journal,) = connection.execute("PRAGMA journal_mode=WAL").fetchone()
            if journal != "wal":
                raise StorageError(
                    f"{mask_password(path)}: this file system does not support a write-ahead log (journal mode "
                    f"{journal!r}). Move the study to a local disk."
                )
            # FULL: a commit survives a power loss, not only a killed process.
            connection.execute("PRAGMA synchronous=FULL")
            # SQLite waits for a lock without heeding signals, so only for a moment; `Store` tries again.
            connection.execute(f"PRAGMA busy_timeout={round(min(wait_seconds, _MAX_DEAF) * 1000)}")

    event.listen(engine, "connect", set_pragmas)
    event.listen(engine, "begin", _begin)
    return engine


def _begin(connection: Connection) -> None:
    # If a transaction began with reading, the database may have changed before its first write: lock at once.
    write = connection.get_execution_options().get("write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def make_writing_engine(path: Path, wait_seconds: float) -> Engine:
    """An engine that has connected once, so that a file which cannot be opened is detected now.

    Raises sqlite3.Error, SQLAlchemyError or StorageError.
    """
    engine = make_engine(path, "rw", wait_seconds)
    try:
        engine.connect().close()
    except BaseException:
        engine.dispose()
        raise
    return engine


def make_reading_engine(path: Path, wait_seconds: float) -> Engine:
    """An engine that never writes the database; the folder or the medium may be read-only.

    Raises sqlite3.Error or SQLAlchemyError if the file cannot be read.
    """
    # With commits in the log, closing a connection that may write would merge them, which is a (harmless) write.
    writable = os.access(path, os.W_OK) and os.access(path.resolve().parent, os.W_OK)
    engine = make_engine(path, "query" if writable and not has_unmerged_commits(path) else "ro", wait_seconds)
    try:
        with engine.connect() as connection:
            connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
    except DBAPIError as error:
        engine.dispose()
        if _nobody_can_write(path, error.orig):
            return make_engine(path, "immutable", wait_seconds)
        raise
    return engine


def connect_to_read(path: Path, wait_seconds: float) -> sqlite3.Connection:
    """A plain connection to a file that may be in use, or on a read-only medium. Raises sqlite3.Error."""
    connection = connect(path, "ro", wait_seconds)
    try:
        connection.execute("SELECT count(*) FROM sqlite_master")
    except sqlite3.Error as error:
        connection.close()
        if _nobody_can_write(path, error):
            return connect(path, "immutable", wait_seconds)
        raise
    return connection


def _nobody_can_write(path: Path, error: BaseException | None) -> bool:
    """Whether reading failed with `error` because no file can be made beside the database.

    Reading in WAL mode needs a -shm file. If it cannot be made, no process can write, so 'immutable' is safe; but that
    mode does not read a write-ahead log.
    """
    no_shm = _code(error) in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
    return no_shm and not has_unmerged_commits(path)


@contextmanager
def explained(path: Path, *, writing: bool) -> Iterator[None]:
    """Converts all errors of a database or its contents to StorageError."""
    try:
        yield
    except StatementError as error:
        cause = error.orig if error.orig is not None else error
        _pass_on_interrupt(cause)
        kind = LockedError if _code(cause) == sqlite3.SQLITE_BUSY else StorageError
        raise kind(_in_words(path, cause, writing=writing)) from error
    except (sqlite3.Error, SQLAlchemyError, OSError, MemoryError, *_NOT_STORABLE) as error:
        _pass_on_interrupt(error)
        raise StorageError(_in_words(path, error, writing=writing)) from error


def is_busy(error: DBAPIError) -> bool:
    """Whether another process has locked the database."""
    return _code(error.orig) == sqlite3.SQLITE_BUSY


def _pass_on_interrupt(error: BaseException) -> None:
    """Raises KeyboardInterrupt where a signal ended a query: SQLite reports only that it was interrupted."""
    if _code(error) == sqlite3.SQLITE_INTERRUPT:
        raise KeyboardInterrupt from error


def settle(partial: Path, target: Path) -> None:
    """Renames a finished file, so that after a power loss the name has the complete file or none."""
    _sync(partial)
    partial.replace(target)
    with suppress(OSError):  # some systems cannot open a folder
        _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _code(error: BaseException | None) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code, without its extension


def _in_words(path: Path, error: BaseException, *, writing: bool) -> str:
    file = mask_password(path)
    if isinstance(error, sqlite3.Error):
        return f"{file}: {_sqlite_words(path, error)}"
    if isinstance(error, OSError):
        return f"{file}: {error.strerror or error}. Check the folder, its permissions and its free space."
    if isinstance(error, MemoryError):  # Python's own, and that for which it takes SQLITE_NOMEM
        return (
            f"{file}: needs more memory than is free, or than the {_MAX_HEAP / 2**20:.0f} MB that SQLite may take "
            f"here. End other programs. If that does not help, the database is damaged. {_RESTORE}"
        )
    if isinstance(error, ImpossibleError):
        return f"{file}: holds {error}, which this program never writes. {_RESTORE}"
    if writing:
        return f"{file}: a value cannot be stored: {error}"
    return f"{file}: a row is damaged ({type(error).__name__}: {error}). {_RESTORE}"


_RESTORE = "Restore the file from a backup."
_DAMAGED = f"the database is damaged ({{}}). {_RESTORE}"
_MEANINGS = {
    sqlite3.SQLITE_BUSY: "another process has been writing for longer than the wait ({}). Stop the other "
    "`search` or tool that has it open.",
    sqlite3.SQLITE_FULL: "no space left to write ({}). Free some space: what was committed is safe.",
    sqlite3.SQLITE_READONLY: "it cannot be written ({}). Check the permissions of the file and its folder.",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened ({}). Check the permissions of the file and its folder; "
    "a study on a read-only medium may have to be copied first.",
    sqlite3.SQLITE_IOERR: "the disk failed to read or write ({}). Check the disk: what was committed is safe.",
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_ERROR: _DAMAGED,  # a table or column is missing
    0: _DAMAGED,  # text that is not UTF-8, detected by Python
    sqlite3.SQLITE_CONSTRAINT: "it contradicts what is stored and was undone ({}). Please report this.",
}


def _sqlite_words(path: Path, error: sqlite3.Error) -> str:
    code = _code(error)
    reason = f"{error}; {_free(path)}" if code == sqlite3.SQLITE_FULL else str(error)
    return _MEANINGS.get(code, "{}.").format(reason)


def _free(path: Path) -> str:
    try:
        return f"{shutil.disk_usage(path.resolve().parent).free / 2**20:.0f} MB free on the disk"
    except OSError:
        return "free space unknown"
