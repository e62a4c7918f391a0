"""Checks whether a file is a study's database, before it is opened for writing and without making other files."""

from __future__ import annotations

import re
import sqlite3
import struct
from contextlib import closing
from pathlib import Path

from storage.engine import mask_password
from storage.errors import StorageError
from storage.schema import APPLICATION_ID, HEAD, REVISIONS
from storage.sqlite import Mode, connect, explained, has_unmerged_commits
from storage.tables import problem_of

_MAGIC = b"SQLite format 3\x00"
_HEADER_BYTES = 100  # https://www.sqlite.org/fileformat.html#the_database_header


def check(path: Path) -> str:
    """The revision of the tables in a study's database: one of `REVISIONS`.

    Reads only. Raises StorageError if the file is missing, is not an SQLite database, is truncated, belongs to another
    program, is damaged, or was written by a newer release.
    """
    with explained(path, writing=False):
        _check_header(path)
        revisions, problem = _revisions(path)
    if problem:
        raise StorageError(
            f"{mask_password(path)}: {problem}. It is damaged, was changed by another program, or was made to do harm, "
            "and is not read. Restore it from a backup."
        )
    if len(revisions) != 1:
        raise StorageError(
            f"{mask_password(path)}: contains {len(revisions)} revisions, 1 expected. It is damaged: "
            "restore it from a backup."
        )
    (revision,) = revisions
    if revision not in REVISIONS:
        raise StorageError(
            f"{mask_password(path)}: its tables are of revision {revision!r}; this release of smallsearch knows "
            f"{', '.join(REVISIONS)}. Upgrade smallsearch: a newer release wrote it (or it is damaged)."
        )
    return revision


def is_current(revision: str) -> bool:
    return revision == HEAD


def _check_header(path: Path) -> None:
    file = mask_password(path)
    if re.match(r"[\w+]{2,}:/", str(path)):  # at least two letters, as C:/ is a drive
        raise StorageError(f"{file}: looks like a URL. A study is kept in a file: give its path.")
    if not path.exists():
        raise StorageError(f"{file}: does not exist. `search init IMAGES` makes a study.")
    if not path.is_file():
        raise StorageError(f"{file}: is not a file. Give the path of a study's database, study.db in its folder.")
    with path.open("rb") as stream:
        header = stream.read(_HEADER_BYTES)
    if not header:
        raise StorageError(
            f"{file}: is empty (0 bytes). Restore it from a backup, or delete it and start again with "
            "`search init IMAGES`."
        )
    if not header.startswith(_MAGIC):
        raise StorageError(
            f"{file}: is not an SQLite database, or its header is damaged (it begins with "
            f"{header[:16]!r}). Check the path, or restore it from a backup."
        )
    if len(header) < _HEADER_BYTES:
        raise StorageError(f"{file}: is cut short to {len(header)} bytes. Restore it from a backup.")
    _check_owner(file, header)
    _check_length(path, header)


def _check_owner(file: str, header: bytes) -> None:
    (application,) = struct.unpack_from(">I", header, 68)
    if application != APPLICATION_ID:
        raise StorageError(
            f"{file}: is an SQLite database of another program (application id {application:#010x}; a study has "
            f"{APPLICATION_ID:#010x}). Choose another file or folder."
        )


def _check_length(path: Path, header: bytes) -> None:
    """Raise StorageError if pages are missing. SQLite would detect that only when it reads them, maybe after hours."""
    page_bytes, pages = struct.unpack_from(">H", header, 16)[0], struct.unpack_from(">I", header, 28)[0]
    expected = (65536 if page_bytes == 1 else page_bytes) * pages
    size = path.stat().st_size
    if size < expected and not has_unmerged_commits(path):  # the log may hold the missing pages
        raise StorageError(
            f"{mask_password(path)}: is cut short: {size} bytes of {expected}. Restore it from a backup."
        )


def _revisions(path: Path) -> tuple[list[str], str | None]:
    """The revisions in the file, and what else is wrong with its tables."""
    # 'ro' would make a -shm file; it is needed only if there is a log to read.
    mode: Mode = "ro" if has_unmerged_commits(path) else "immutable"
    with closing(connect(path, mode)) as connection:
        try:
            if problem := problem_of(connection, current=False):
                return [HEAD], problem
            rows = connection.execute("SELECT version_num FROM alembic_version LIMIT 2").fetchall()
            problem = problem_of(connection, current=rows == [(HEAD,)])
        except sqlite3.DatabaseError:
            if mode == "ro" or not has_unmerged_commits(path):
                raise
            return _revisions(path)  # another process began to write in between
    return [str(revision) for (revision,) in rows], problem
