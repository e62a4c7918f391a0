"""Where the tables of a study are: in the file `study.db`, or on the server that this file is a link to."""

from __future__ import annotations

import secrets
from collections.abc import Hashable
from contextlib import suppress
from pathlib import Path

from storage.engine import Place
from storage.errors import StorageError
from storage.file_check import is_current
from storage.server import ServerUrl, link_text, linked
from storage.sqlite import settle
from storage.sqlite_file import SqliteFile


def place_of(where: Path | str | ServerUrl) -> Place:
    """Of the path of a study's database, whether it exists or not, or of a study on a server."""
    if isinstance(where, ServerUrl):
        from storage.postgresql_study import ServerStudy  # needs an extra

        return ServerStudy(where)
    path = Path(where)
    return SqliteFile(path) if (url := linked(path)) is None else place_of(url)


def link(path: Path, url: ServerUrl) -> None:
    """Make `path` a link to the study on a server; whole or not at all. Raises StorageError."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.new")
    try:
        if path.exists():
            raise StorageError(f"{path}: exists already and was not changed.")
        partial.write_bytes(link_text(url))
        settle(partial, path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror or error}. Check the folder and its free space.") from error
    finally:
        with suppress(OSError):
            partial.unlink()


def file_identity(path: Path) -> tuple[int, int] | None:
    """Device and inode, by which a file is known that was moved or replaced; None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_on_server(url: ServerUrl) -> bool:
    """Whether a server has a study of this name, whole or not. Raises StorageError if it cannot be asked."""
    from storage.postgresql_study import ServerStudy

    return ServerStudy(url).exists()


def studies_on(server: ServerUrl) -> list[ServerUrl]:
    """The studies on a server, by name. Raises StorageError if it cannot be asked."""
    from storage.postgresql_study import studies_on

    return studies_on(server)


def needs_upgrade(path: Path) -> bool:
    """Whether a study's database was written by an older release. Reads only; raises StorageError as `check` does."""
    return not is_current(place_of(path).check())


def problems_of(path: Path) -> list[str]:
    """What the database finds wrong with its pages and references; empty if nothing. Reads only.

    Raises StorageError for a database that is no study's, as `Store.open` does.
    """
    return place_of(path).problems()


def changes_of(path: Path) -> Hashable:
    """A value that differs once something was stored in the database; cheap. Raises StorageError."""
    return place_of(path).changes()


def writer_of(path: Path) -> str | None:
    """The process that writes a study on a server, in words; None if none does, for a file, or if none can be known."""
    try:
        return place_of(path).writer()
    except StorageError:  # reported by whoever reads the study
        return None
