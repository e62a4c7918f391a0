"""A study's database as a schema of a PostgreSQL server. See `engine` for what each method promises."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import text

from storage.create import insert_begin, problem_of
from storage.engine import Opened
from storage.errors import StorageError
from storage.postgresql import check_tables, connected, explained, has_schema, is_whole, make_engine, make_tables
from storage.postgresql_lease import OpenedSchema, holder
from storage.records import ImageRecord, Split, StudyRecord
from storage.schema import HEAD
from storage.server import SCHEMA_PREFIX, ServerUrl


@dataclass(frozen=True)
class ServerStudy:
    """A `storage.engine.Place`. `url` names a study."""

    url: ServerUrl

    def __str__(self) -> str:
        return str(self.url)

    def check(self) -> str:
        with explained(self.url, writing=False), connected(self.url, read_only=True) as connection:
            check_tables(connection, self.url)
        return HEAD

    def exists(self) -> bool:
        """Whether the server has a study of this name, whole or not. Raises StorageError if it cannot be asked."""
        with explained(self.url, writing=False), connected(self.url, read_only=True) as connection:
            return has_schema(connection, self.url)

    def is_whole(self) -> bool:
        """Whether there is a study of this name, and no copy that is not finished. Raises StorageError."""
        with explained(self.url, writing=False), connected(self.url, read_only=True) as connection:
            if not has_schema(connection, self.url):
                return False
            check_tables(connection, self.url, unfinished=True)
            return is_whole(connection)

    def create(self, study: StudyRecord, images: Sequence[ImageRecord], splits: Sequence[Split]) -> None:
        """In one transaction, which on this server contains the making of tables."""
        if problem := problem_of(study, images, splits):
            raise StorageError(f"{self}: not created: {problem}")
        with explained(self.url, writing=True), connected(self.url, read_only=False) as connection:
            make_tables(connection, self.url)
            insert_begin(connection, study, images, splits)

    def open(self, *, read_only: bool, wait_seconds: float) -> Opened:  # noqa: ARG002 - of a file that is locked
        opened = OpenedSchema(self.url, make_engine(self.url, read_only=read_only))
        try:
            with opened.reading() as connection:
                check_tables(connection, self.url)
            if not read_only:
                opened.take()
        except BaseException:
            opened.close()
            raise
        return opened

    def problems(self) -> list[str]:
        """The server checks references at every change, and its pages where checksums are on."""
        self.check()
        return []

    def changes(self) -> Hashable:
        """Every commit of a session changes its seconds, but for some that are followed by another."""
        counts = "(SELECT count(*) FROM trial), (SELECT count(*) FROM fold_run), (SELECT count(*) FROM reference_fold)"
        query = f"SELECT {counts}, (SELECT count(*) FROM run), (SELECT sum(seconds) FROM run)"  # noqa: S608 - constant
        with explained(self.url, writing=False), connected(self.url, read_only=True) as connection:
            return tuple(connection.execute(text(query)).one())

    def writer(self) -> str | None:
        with explained(self.url, writing=False), connected(self.url, read_only=True) as connection:
            return holder(connection, self.url) if has_schema(connection, self.url) else None


def studies_on(server: ServerUrl) -> list[ServerUrl]:
    """The studies in a database, by name. Raises StorageError if it cannot be asked."""
    query = text(
        "SELECT nspname FROM pg_namespace WHERE starts_with(nspname, :prefix) "
        "AND has_schema_privilege(oid, 'USAGE') ORDER BY nspname COLLATE \"C\""
    )
    with explained(server, writing=False), connected(server, read_only=True) as connection:
        names = connection.execute(query, {"prefix": SCHEMA_PREFIX}).scalars().all()
    found = []
    for name in names:
        with suppress(ValueError):  # of another program
            found.append(server.of_study(name.removeprefix(SCHEMA_PREFIX)))
    return found
