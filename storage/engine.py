"""What a kind of database has to offer the store: SQLite files (`sqlite_file.py`) and PostgreSQL (`postgresql.py`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Hashable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol, TypeVar

from sqlalchemy import Connection, Engine

from storage.records import ImageRecord, Split, StudyRecord

T = TypeVar("T")
Patience = Callable[[float], bool]
"""Seconds for which the database could not be used -> whether to wait on."""


class Opened(Protocol):
    """The tables of one study, connected to. Errors are StorageError; LockedError and LostError where they fit."""

    @property
    def engine(self) -> Engine:
        """Its connections."""

    @property
    def obstacle(self) -> str:
        """What a write may have to wait for, to be followed by 'for 5 s'."""

    def reading(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one state of the study."""

    def writing(self, patient: Patience) -> AbstractContextManager[Connection]:
        """A transaction that changes the study, committed at the end of the block. Waits as `patient` says."""

    def again(self, work: Callable[[], T], patient: Patience) -> T:
        """The value of `work`, which is done again if a LostError ends it, as often as `patient` says."""

    def drop(self, connection: Connection) -> None:
        """Remove the tables in a transaction of `writing`; of a file nothing, as it is removed afterwards."""

    def close(self) -> None:
        """Close all connections."""


class Place(Protocol):
    """Where the tables of one study are, whether they exist or not. `str` gives it for messages, without a password."""

    def check(self) -> str:
        """The revision of the tables. Raises StorageError if they are no study's. Reads only."""

    def create(self, study: StudyRecord, images: Sequence[ImageRecord], splits: Sequence[Split]) -> None:
        """Make the tables, whole or not at all. Raises StorageError if there are some already."""

    def open(self, *, read_only: bool, wait_seconds: float) -> Opened:
        """Connect to tables that exist. Raises StorageError."""

    def problems(self) -> list[str]:
        """What the database itself finds wrong; empty if nothing. Reads only. Raises StorageError as `check` does."""

    def changes(self) -> Hashable:
        """A value that differs once something was stored; cheap."""

    def writer(self) -> str | None:
        """The process that holds the database for writing, in words; None if there is none, or none can be known."""


def mask_password(path: Path | str) -> str:
    """The path for a message. If it is a URL, its password is masked."""
    return re.sub(r"(\w:/{1,2}[^/@:]*):.*@", r"\1:***@", str(path))
