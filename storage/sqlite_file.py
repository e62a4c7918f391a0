"""A study's database as an SQLite file: the default. See `engine` for what each method promises."""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from storage import create
from storage.backup import problems_of
from storage.engine import Opened, Patience, mask_password
from storage.errors import StorageError
from storage.file_check import check, is_current
from storage.records import ImageRecord, Split, StudyRecord
from storage.sqlite import explained, is_busy, make_reading_engine, make_writing_engine, sidecar
from storage.upgrade import upgrade

T = TypeVar("T")


@dataclass(frozen=True)
class SqliteFile:
    """A `storage.engine.Place`."""

    path: Path

    def __str__(self) -> str:
        return mask_password(self.path)

    def check(self) -> str:
        return check(self.path)

    def create(self, study: StudyRecord, images: Sequence[ImageRecord], splits: Sequence[Split]) -> None:
        create.create(self.path, study, images, splits)

    def open(self, *, read_only: bool, wait_seconds: float) -> Opened:
        """A file of an older release is upgraded after a backup beside it, or refused with `read_only`."""
        revision = check(self.path)
        if not is_current(revision):
            if read_only:
                raise StorageError(
                    f"{self}: was written by an older release (revision {revision}). "
                    "`search run` upgrades it, after a backup."
                )
            upgrade(self.path, revision, wait_seconds)
            check(self.path)  # the columns of an older revision are not known, those that it has now are
        with explained(self.path, writing=not read_only):
            engine = (make_reading_engine if read_only else make_writing_engine)(self.path, wait_seconds)
        return OpenedFile(self.path, engine)

    def problems(self) -> list[str]:
        return problems_of(self.path)

    def changes(self) -> Hashable:
        """Time of change and size of the file and of its log."""
        found = []
        for file in (self.path, sidecar(self.path, "-wal")):
            with suppress(OSError):  # SQLite removes its log when nobody writes any more
                found.append((file.stat().st_mtime_ns, file.stat().st_size))
        return tuple(found)

    def writer(self) -> None:
        return None


@dataclass(frozen=True)
class OpenedFile:
    """A `storage.engine.Opened`."""

    path: Path
    engine: Engine
    obstacle: ClassVar[str] = "another program has locked it"

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with explained(self.path, writing=False), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, patient: Patience) -> Iterator[Connection]:
        engine = self.engine.execution_options(write=True)
        with explained(self.path, writing=True), ExitStack() as transaction:
            yield _begun(engine, transaction, patient)

    def again(self, work: Callable[[], T], patient: Patience) -> T:  # noqa: ARG002 - a file is not lost
        return work()

    def drop(self, connection: Connection) -> None:
        pass

    def close(self) -> None:
        """The last connection to close merges the log into the file."""
        self.engine.dispose()


def _begun(engine: Engine, transaction: ExitStack, patient: Patience) -> Connection:
    """Begins a transaction that writes; while the database is locked, as often as `patient` says."""
    started = time.monotonic()
    while True:
        try:
            return transaction.enter_context(engine.begin())
        except DBAPIError as error:
            if not is_busy(error) or not patient(time.monotonic() - started):
                raise
