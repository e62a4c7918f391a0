"""One process writes a study on a server: it commits on the connection that holds the study's advisory lock.

Whoever loses the connection loses lock and transaction together, so nothing can be committed without the lock. Two
numbers in the table `lease` tell what happened meanwhile. `epoch` is another one if somebody else held the study. If
the connection broke during a commit, `commits` tells whether the server did it.
"""

from __future__ import annotations

import hashlib
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import ClassVar, TypeVar

from sqlalchemy import Connection, Engine, NullPool, select, text, update
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from storage.engine import Patience
from storage.errors import LockedError, LostError, StorageError
from storage.postgresql import (
    LEASE,
    check_tables,
    connected,
    explained,
    has_schema,
    is_lost,
    is_whole,
    make_engine,
    make_tables,
)
from storage.server import ServerUrl

T = TypeVar("T")

_FIRST_PAUSE, _MAX_PAUSE = 0.05, 1.0  # seconds between two attempts to reach the server

_DYING_SECONDS = 1.0  # until the server has noticed that a process was killed, and frees its lock

_TRY_LOCK = text("SELECT pg_try_advisory_lock(:key)")
_HOLDING = text(
    """
    SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND ((classid::bigint << 32) | objid::bigint) = :key
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
    """
)


def holder(connection: Connection, url: ServerUrl) -> str | None:
    """The process that holds the study for writing, in words; None if none does."""
    if connection.execute(_HOLDING, {"key": _key(url)}).first() is None:
        return None
    return connection.execute(select(LEASE.c.holder)).scalar_one() or "another process"


def to_fill(url: ServerUrl) -> OpenedSchema:
    """Empty tables, or those of a copy that is not finished. Raises StorageError if there is a study already."""
    with explained(url, writing=True), connected(url, read_only=False) as connection:
        if not has_schema(connection, url):
            make_tables(connection, url)
        check_tables(connection, url, unfinished=True)
        if is_whole(connection):
            raise StorageError(f"{url}: there is a study of this name already, and it was not changed. Name another.")
    opened = OpenedSchema(url, make_engine(url, read_only=False))
    try:
        opened.take()
    except BaseException:
        opened.close()
        raise
    return opened


@dataclass
class OpenedSchema:
    """A `storage.engine.Opened`."""

    url: ServerUrl
    engine: Engine
    obstacle: ClassVar[str] = "its server cannot be reached"
    _held: Connection | None = field(init=False, default=None)  # with the lock
    _epoch: int | None = field(init=False, default=None)  # of this process; None: it never held the study
    _backend: int = field(init=False, default=0)  # process on the server with the lock

    def take(self) -> None:
        """Hold the study for writing. Raises LockedError, which names the holder, if another process does."""
        latest = time.monotonic() + _DYING_SECONDS
        while not self._taken(latest):
            time.sleep(_FIRST_PAUSE)

    def _taken(self, latest: float) -> bool:
        with explained(self.url, writing=True):
            try:
                self._lock()
            except LockedError:
                if time.monotonic() > latest:
                    raise
                return False
        return True

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with explained(self.url, writing=False), self.engine.begin() as connection:
            yield connection

    @contextmanager
    def writing(self, patient: Patience) -> Iterator[Connection]:
        with explained(self.url, writing=True):
            connection = self._lock()
            transaction = connection.begin()
            try:
                number = self._counted(connection)
                yield connection
            except BaseException as error:
                with suppress(SQLAlchemyError):
                    transaction.rollback()
                if isinstance(error, DBAPIError) and is_lost(error):
                    self._drop()
                raise
            try:
                transaction.commit()
            except DBAPIError as error:
                if not is_lost(error):
                    raise
                self._drop()
                if not self._has_committed(number, patient):
                    raise

    def again(self, work: Callable[[], T], patient: Patience) -> T:
        since: float | None = None
        pause = _FIRST_PAUSE
        while True:
            try:
                return work()
            except LostError as error:
                since = time.monotonic() if since is None else since
                if not patient(time.monotonic() - since):
                    # No LostError, or a method around this one would wait as long again.
                    raise StorageError(str(error)) from error
                time.sleep(pause)
                pause = min(2 * pause, _MAX_PAUSE)

    def drop(self, connection: Connection) -> None:
        connection.exec_driver_sql(f'DROP SCHEMA "{self.url.schema}" CASCADE')

    def close(self) -> None:
        self._drop()
        self.engine.dispose()

    # The lock

    def _lock(self) -> Connection:
        """The connection that holds the lock: the one from before if it still lives, else a new one."""
        if self._held is not None and not self._held.invalidated:
            return self._held
        # Not of the pool, which would keep it, and so the lock, when it is closed.
        connection = make_engine(self.url, read_only=False, pool=NullPool).connect()
        try:
            connection = connection.execution_options(isolation_level="READ COMMITTED")  # the latest lease counts
            with connection.begin():
                self._take(connection)
        except BaseException:
            with suppress(SQLAlchemyError):
                connection.close()
            raise
        self._held = connection
        return connection

    def _take(self, connection: Connection) -> None:
        is_ours = connection.execute(_TRY_LOCK, {"key": _key(self.url)}).scalar_one()
        epoch, backend, who = connection.execute(select(LEASE.c.epoch, LEASE.c.backend, LEASE.c.holder)).one()
        if self._epoch not in (None, epoch):
            raise StorageError(
                f"{self.url}: {who or 'another process'} took the study over while its server could not be reached. "
                "Stop one of the two."
            )
        if not is_ours:
            self._refuse(connection, who, ours=self._epoch is not None and backend == self._backend)
        mine = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()
        if self._epoch is None:
            epoch += 1
            connection.execute(update(LEASE).values(epoch=epoch, backend=mine, holder=_me()))
        else:
            connection.execute(update(LEASE).values(backend=mine))
        self._epoch, self._backend = epoch, mine

    def _refuse(self, connection: Connection, who: str, *, ours: bool) -> None:
        """The lock is held. By a connection of this process that broke on this side alone: then it is ended first."""
        holding = connection.execute(_HOLDING, {"key": _key(self.url)}).scalar()
        if self._epoch is not None and (ours or holding is None):
            if ours and holding == self._backend:
                connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": holding})
            raise LostError(f"{self.url}: the server still holds a connection that broke. Try again.")
        raise LockedError(f"{self.url}: is in use by {who or 'another process'}; wait for it, or stop it first.")

    def _drop(self) -> None:
        if self._held is not None:
            with suppress(SQLAlchemyError):
                self._held.invalidate()
            with suppress(SQLAlchemyError):
                self._held.close()
            self._held = None

    # Commits

    def _counted(self, connection: Connection) -> int:
        """Count a transaction that writes, within it; its number."""
        counted = update(LEASE).where(LEASE.c.epoch == self._epoch).values(commits=LEASE.c.commits + 1)
        number = connection.execute(counted.returning(LEASE.c.commits)).scalar_one_or_none()
        if number is None:
            raise StorageError(f"{self.url}: another process took the study over. Stop one of the two.")
        return int(number)

    def _has_committed(self, number: int, patient: Patience) -> bool:
        """Whether the server committed the transaction of this number before the connection broke."""

        def ask() -> bool:
            with explained(self.url, writing=True):
                connection = self._lock()
                with connection.begin():
                    return bool(connection.execute(select(LEASE.c.commits)).scalar_one() >= number)

        return self.again(ask, patient)


def _key(url: ServerUrl) -> int:
    """Of the advisory lock, which belongs to one database: 63 bits, so that it is not negative."""
    return int.from_bytes(hashlib.sha256(url.schema.encode()).digest()[:8]) >> 1


def _me() -> str:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    return f"process {os.getpid()} on {socket.gethostname()} since {started}"
