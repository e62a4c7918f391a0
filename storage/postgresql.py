"""Connections to a PostgreSQL server, the tables of a study there, and messages for its errors.

A study has a schema of its own, so that the tables and the store are those of a file, and a study is copied, listed and
removed as one thing. There are no older revisions: the first release that knew servers made the newest tables.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import (
    URL,
    BigInteger,
    Column,
    Connection,
    Engine,
    MetaData,
    NullPool,
    Pool,
    QueuePool,
    Table,
    Text,
    create_engine,
    insert,
    text,
)
from sqlalchemy.exc import DBAPIError, SQLAlchemyError, StatementError

from storage.errors import ImpossibleError, LostError, StorageError
from storage.records import TrialState
from storage.schema import HEAD, metadata
from storage.server import ServerUrl

CONNECT_SECONDS = 10  # that one attempt to connect may take
_MIN_LIBPQ = 160000  # the first one that can refuse to send a password in clear

LEASE = Table(
    "lease",
    MetaData(),
    Column("epoch", BigInteger, nullable=False, comment="number of processes that held the study for writing"),
    Column("commits", BigInteger, nullable=False, comment="transactions that wrote: tells whether a lost one did"),
    Column("backend", BigInteger, nullable=False, comment="process on the server with the latest holder's lock"),
    Column("holder", Text, nullable=False, comment="the latest holder, in words"),
)
"""One row: who writes. The lock itself is an advisory one, see `postgresql_lease`."""

_SETTINGS = {
    "synchronous_commit": "on",  # a commit survives a power loss
    "lock_timeout": "30s",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    # So that the server notices soon that this machine is gone, and frees the lock.
    "tcp_keepalives_idle": "15",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "3",
}


def make_engine(url: ServerUrl, *, read_only: bool, pool: type[Pool] = QueuePool) -> Engine:
    """An engine whose connections see the study's schema alone. Raises StorageError where psycopg is missing."""
    _check_driver(url)
    settings = {**_SETTINGS, "default_transaction_read_only": "on" if read_only else "off"}
    if url.study is not None:
        settings["search_path"] = f'"{url.schema}"'
    address = {"host": url.host} if url.host else {}
    return create_engine(
        URL.create("postgresql+psycopg", username=url.user, port=url.port, database=url.database),
        connect_args={
            **address,
            **url.options,
            "options": " ".join(f"-c {name}={value}" for name, value in settings.items()),
            "application_name": "smallsearch",
            "connect_timeout": CONNECT_SECONDS,
            "client_encoding": "utf8",
            # A study folder of a stranger may name a server of a stranger, who would be told PGPASSWORD
            # in clear, or could guess it from what the method md5 sends.
            "require_auth": "!password,!md5",
            "keepalives_idle": 15,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        },
        isolation_level="REPEATABLE READ",  # all queries of a transaction see one state
        poolclass=pool,
        pool_pre_ping=True,
        use_native_hstore=False,
        hide_parameters=True,
    )


def _check_driver(url: ServerUrl) -> None:
    try:
        from psycopg import pq
    except ImportError:
        raise StorageError(
            f"{url}: needs the package psycopg, which is not installed: pip install '.[postgres]' in a checkout of "
            "this project"
        ) from None
    if pq.version() < _MIN_LIBPQ:
        raise StorageError(
            f"{url}: psycopg uses libpq {pq.version() // 10000}, and {_MIN_LIBPQ // 10000} or newer is needed: "
            "pip install --upgrade 'psycopg[binary]'"
        )


@contextmanager
def connected(url: ServerUrl, *, read_only: bool) -> Iterator[Connection]:
    """One transaction on a connection of its own."""
    with make_engine(url, read_only=read_only, pool=NullPool).begin() as connection:
        yield connection


# Tables


def make_tables(connection: Connection, url: ServerUrl) -> None:
    """The schema with empty tables. Without a revision they are those of a copy that is not finished."""
    connection.exec_driver_sql(f'CREATE SCHEMA "{url.schema}"')
    metadata.create_all(connection, checkfirst=False)
    LEASE.create(connection)
    connection.execute(insert(LEASE), {"epoch": 0, "commits": 0, "backend": 0, "holder": ""})


def check_tables(connection: Connection, url: ServerUrl, *, unfinished: bool = False) -> None:
    """Raises StorageError if the schema is not that of a study. `unfinished`: of a copy that is not finished."""
    if not has_schema(connection, url):
        raise StorageError(f"{url}: there is no such study, or this user may not see it; {_listing(url)}.")
    if problem := _problem(connection, url.schema):
        raise StorageError(
            f"{url}: {problem}. It was changed by another program, or was made to do harm, and is not read. Restore it "
            "from a backup."
        )
    revisions = connection.exec_driver_sql("SELECT version_num FROM alembic_version LIMIT 2").scalars().all()
    if not revisions and not unfinished:
        raise StorageError(f"{url}: is a copy that was not finished; the same `search copy` again finishes it.")
    if revisions and list(revisions) != [HEAD]:
        raise StorageError(
            f"{url}: its tables are of revision {', '.join(revisions)}; this release of smallsearch knows {HEAD}. "
            "Upgrade smallsearch: a newer release wrote it."
        )


def has_schema(connection: Connection, url: ServerUrl) -> bool:
    """Whether there is a schema for the study that this user may see."""
    query = text("SELECT count(*) FROM pg_namespace WHERE nspname = :name AND has_schema_privilege(oid, 'USAGE')")
    return bool(connection.execute(query, {"name": url.schema}).scalar_one())


def is_whole(connection: Connection) -> bool:
    """Whether the study's tables have a revision: they are no copy that is not finished."""
    return bool(connection.exec_driver_sql("SELECT count(*) FROM alembic_version").scalar_one())


def _listing(url: ServerUrl) -> str:
    return f"`search list` with {url.where} lists what there is"


_ACTS = text(
    """
    SELECT c.relname, c.relkind, c.relhasrules OR c.relrowsecurity
        OR EXISTS (SELECT 1 FROM pg_trigger t WHERE t.tgrelid = c.oid AND NOT t.tgisinternal)
        OR EXISTS (SELECT 1 FROM pg_attrdef d WHERE d.adrelid = c.oid)
        OR EXISTS (SELECT 1 FROM pg_index i WHERE i.indrelid = c.oid AND NOT i.indisprimary)
        OR EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conrelid = c.oid AND k.contype = 'c'
                   AND (c.relname <> 'trial' OR pg_get_constraintdef(k.oid) <> :states))
        OR EXISTS (SELECT 1 FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
                   WHERE a.attrelid = c.oid AND a.attnum > 0
                   AND (t.typtype <> 'b' OR t.typnamespace <> 'pg_catalog'::regnamespace)) AS acts
    FROM pg_class c WHERE c.relnamespace = to_regnamespace(quote_ident(:schema)) AND c.relkind <> 'i'
    """
)
_ARRAY = ", ".join(f"'{state}'::character varying" for state in TrialState)
_STATES = f"CHECK (((state)::text = ANY ((ARRAY[{_ARRAY}])::text[])))"
"""The one condition that the tables have, as the server writes it."""

_FUNCTIONS = text(
    """
    SELECT EXISTS (SELECT 1 FROM pg_proc WHERE pronamespace = to_regnamespace(quote_ident(:schema)))
        OR EXISTS (SELECT 1 FROM pg_operator WHERE oprnamespace = to_regnamespace(quote_ident(:schema)))
        OR EXISTS (SELECT 1 FROM pg_cast k JOIN pg_type t ON t.oid = k.castsource
                   WHERE t.typnamespace = to_regnamespace(quote_ident(:schema)))
    """
)


def _problem(connection: Connection, schema: str) -> str | None:
    """What in the schema would run somebody's code when it is read or written, or is missing; None if nothing."""
    if connection.execute(_FUNCTIONS, {"schema": schema}).scalar_one():
        return "contains functions, operators or casts"
    missing = {*metadata.tables, LEASE.name}
    for name, kind, acts in connection.execute(_ACTS, {"schema": schema, "states": _STATES}):
        if name in missing and (kind != "r" or acts):
            return f"its {name!r} is no plain table"
        missing.discard(name)
    return f"has no table {min(missing)!r}" if missing else None


# Errors

_NOT_STORABLE = (ValueError, TypeError, LookupError, OverflowError, RecursionError)
"""Errors for values of the wrong type and damaged rows, when a record is written or read."""

_MEANINGS = {
    "42P06": "there is a study of this name already, and it was not changed. Name another",
    "42501": "this user may not do that ({}). Ask who keeps the server",
    "25006": "the server, or this connection, takes no changes ({})",
    "53100": "no space left on the server ({}). Free some: what was committed is safe",
    "53200": "the server has no memory left ({})",
    "23": "it contradicts what is stored and was undone ({}). Please report this",
    "22": "a value cannot be stored: {}",
    "40": "another process writes this study too, and the change was undone ({})",
    "42": "its tables are damaged ({}). Restore it from a backup",
}


@contextmanager
def explained(url: ServerUrl, *, writing: bool) -> Iterator[None]:
    """Converts all errors of a server or of what it holds to StorageError, LostError where it cannot be reached."""
    try:
        yield
    except DBAPIError as error:
        if is_lost(error):
            why, step = _line(error.orig), _step(url, error.orig)
            raise LostError(f"{url}: its server cannot be used ({why}). {step}; what is committed is safe.") from error
        raise StorageError(f"{url}: {_in_words(error.orig)}.") from error
    except StatementError as error:
        raise StorageError(_of_value(url, error.orig or error, writing=writing)) from error
    except (SQLAlchemyError, OSError, MemoryError, *_NOT_STORABLE) as error:
        raise StorageError(_of_value(url, error, writing=writing)) from error


def is_lost(error: DBAPIError) -> bool:
    """Whether the connection is gone, or there never was one."""
    import psycopg

    state = getattr(error.orig, "sqlstate", None) or ""
    never = isinstance(error.orig, psycopg.OperationalError) and not state
    return error.connection_invalidated or never or state.startswith(("08", "57P"))


def _step(url: ServerUrl, error: BaseException | None) -> str:
    """What to do where no connection was made. Such an error has no SQLSTATE, only libpq's English or translated words.

    Source: https://www.postgresql.org/docs/16/libpq-status.html, PQconnectionNeedsPassword.
    """
    words = str(error)
    if getattr(getattr(error, "pgconn", None), "needs_password", False):
        return "It asks for a password: set PGPASSWORD, or write it into ~/.pgpass"
    if "password authentication failed" in words:
        return "See that PGPASSWORD or ~/.pgpass has the password of this user"
    if f'database "{url.database}" does not exist' in words:
        host = url.host or url.options.get("host")
        command = ["createdb"]
        for option, value in (("-h", host), ("-p", url.port), ("-U", url.user)):
            command += [option, str(value)] if value else []
        made = shlex.join([*command, url.database])
        return f"Make the database {url.database!r} with `{made}`, or name one that is there"
    if re.search(r"SSL (?!encryption)|sslmode|sslrootcert|certificate", words):
        return "See that sslmode and sslrootcert in the URL fit the server"
    return "See that it runs and can be reached, and that this user may connect"


def _in_words(error: BaseException | None) -> str:
    state = getattr(error, "sqlstate", None) or ""
    meaning = _MEANINGS.get(state) or _MEANINGS.get(state[:2], "{}")
    return meaning.format(_line(error))


def _of_value(url: ServerUrl, error: BaseException, *, writing: bool) -> str:
    if isinstance(error, ImpossibleError):
        return f"{url}: holds {error}, which this program never writes. Restore it from a backup."
    if writing:
        return f"{url}: a value cannot be stored: {error}"
    return f"{url}: a row is damaged ({type(error).__name__}: {error}). Restore it from a backup."


def _line(error: BaseException | None) -> str:
    """The server's message in one line, without the query that it may quote."""
    return " ".join(str(error).partition("LINE 1:")[0].split()).rstrip(".")
