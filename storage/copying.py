"""Copies a study between files and servers, row by row, and compares both sides. What was begun is finished later."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from sqlalchemy import (
    JSON,
    Connection,
    LargeBinary,
    Row,
    Table,
    TableClause,
    bindparam,
    column,
    func,
    insert,
    select,
    table,
    update,
)

from storage import backup
from storage.codec import TEXT, Array
from storage.create import create_tables
from storage.engine import Opened, Place
from storage.errors import LostError, StorageError
from storage.place import place_of
from storage.schema import HEAD, metadata, version
from storage.server import ServerUrl, linked
from storage.sqlite import explained, make_engine, make_writing_engine, settle
from storage.sqlite_file import OpenedFile

Tell = Callable[[int, int], None]
"""Called with (rows that are done, rows in all)."""

_ROWS = 100  # of one transaction: with probabilities some 100 kB
_PATIENCE = 300.0  # seconds for a server that is away
_CHANGING = ("run", "trial")  # tables whose rows may change; of the others a stored row stays as it is
_TABLES = tuple(each for each in metadata.sorted_tables if each is not version)


@dataclass(frozen=True)
class Copied:
    """What was copied and found equal on both sides."""

    rows: Mapping[str, int]  # by table
    sha256: str  # (hex) of all rows of all tables


def copy(source: Path | ServerUrl, target: Path | ServerUrl, tell: Tell = lambda _done, _all: None) -> Copied:
    """Copies a study's database, also one that is being searched: its state at the beginning.

    `target`: a file or a study on a server that does not exist, or one that the same copying left unfinished. It can be
    opened only when all rows are there and equal those of the source. One that has them already is left as it is.
    Raises StorageError.
    """
    origin, goal = place_of(source), place_of(target)
    with closing(origin.open(read_only=True, wait_seconds=_PATIENCE)) as opened, opened.reading() as reading:
        counts = {each.name: _count(reading, each) for each in _TABLES}
        if _is_whole(target):
            digest = _compare_whole(reading, goal, str(origin))
            tell(sum(counts.values()), sum(counts.values()))
        else:
            digest = _fill(reading, target, counts, tell, origin=str(origin), goal=str(goal))
    return Copied(counts, digest)


def _fill(
    reading: Connection, target: Path | ServerUrl, counts: Mapping[str, int], tell: Tell, *, origin: str, goal: str
) -> str:
    """Copies what the target lacks; SHA-256 (hex) of all rows."""
    with closing(_begun(target)) as writing:
        _check_same(reading, writing, origin, goal)
        done = 0
        for each in _TABLES:
            for rows in _copy_table(each, reading, writing):
                done += rows
                tell(done, sum(counts.values()))
        digest, different = _compare(reading, writing)
        if different:
            raise StorageError(
                f"{goal}: after copying its {', '.join(different)} differ from those of {origin}, so it was left "
                "unfinished. Another program has changed it: name another target."
            )
        _write(writing, lambda connection: connection.execute(insert(version), {"version_num": HEAD}))
    if isinstance(target, Path):
        with explained(target, writing=True):
            settle(_partial(target), target)
    return digest


def back_up(path: Path, target: Path, wait_seconds: float = 30.0) -> Path:
    """Copies a study's database to a file; another process may be writing it. See `backup.back_up`.

    From a server it is copied row by row; a copy of that kind that was not finished is gone on with.
    """
    if (url := linked(path)) is None:
        return backup.back_up(path, target, wait_seconds)
    copy(url, target)
    return target


# Both sides


def _partial(path: Path) -> Path:
    """The file that is copied into, until it is whole."""
    return path.with_name(f".{path.name}.copying")


def _is_whole(target: Path | ServerUrl) -> bool:
    """Whether something is at the target already that is no unfinished copy."""
    if isinstance(target, Path):
        return target.exists()
    from storage.postgresql_study import ServerStudy

    return ServerStudy(target).is_whole()


def _begun(target: Path | ServerUrl) -> Opened:
    """The tables to copy into, made if there are none. Raises StorageError if there is a study already."""
    if isinstance(target, ServerUrl):
        from storage.postgresql_lease import to_fill

        return to_fill(target)
    path = _partial(target)
    with explained(path, writing=True):
        is_new = not path.exists()
        path.touch()
        engine = make_engine(path, "rw") if is_new else make_writing_engine(path, _PATIENCE)
        with engine.execution_options(write=True).begin() as connection:
            create_tables(connection)  # those that are missing
    return OpenedFile(path, engine)


def _raw(whole: Table) -> TableClause:
    """A table whose JSON and arrays are text and bytes as stored."""

    def raw(kind: Any) -> Any:
        return TEXT if isinstance(kind, JSON) else LargeBinary() if isinstance(kind, Array) else kind

    return table(whole.name, *(column(each.name, raw(each.type)) for each in whole.columns))


def _keys(whole: Table) -> list[str]:
    return [each.name for each in whole.primary_key.columns]


def _rows(connection: Connection, whole: Table) -> Iterator[Sequence[Row[Any]]]:
    """All rows in the order of their keys, some at a time."""
    raw = _raw(whole)
    query = select(raw).order_by(*(raw.c[name] for name in _keys(whole)))
    yield from connection.execution_options(yield_per=_ROWS).execute(query).partitions()


def _count(connection: Connection, whole: Table) -> int:
    return int(connection.execute(select(func.count()).select_from(whole)).scalar_one())


def _write(target: Opened, work: Callable[[Connection], object]) -> None:
    def once() -> None:
        with target.writing(_patient) as connection:
            work(connection)

    target.again(once, _patient)


def _patient(waited: float) -> bool:
    return waited < _PATIENCE


def _copy_table(whole: Table, source: Connection, target: Opened) -> Iterator[int]:
    """Copies the rows that the target lacks, and those that may have changed. Yields numbers of rows."""
    raw, keys = _raw(whole), _keys(whole)

    def present() -> set[tuple[Any, ...]]:
        with target.reading() as connection:
            return {tuple(row) for row in connection.execute(select(*(raw.c[name] for name in keys)))}

    known = target.again(present, _patient)
    changing = update(raw).where(*(raw.c[name] == bindparam(f"key_{name}") for name in keys))
    changing = changing.values({each.name: bindparam(f"new_{each.name}") for each in raw.c})
    for rows in _rows(source, whole):
        values = [dict(row._mapping) for row in rows]
        lacking = [row for row in values if tuple(row[name] for name in keys) not in known]
        stored = [row for row in values if whole.name in _CHANGING and row not in lacking]
        if lacking:
            _write(target, partial(_execute, statement=insert(raw), values=lacking))
        if stored:
            renamed = [
                {f"key_{name}": row[name] for name in keys} | {f"new_{name}": value for name, value in row.items()}
                for row in stored
            ]
            _write(target, partial(_execute, statement=changing, values=renamed))
        yield len(rows)


def _execute(connection: Connection, statement: Any, values: list[dict[str, Any]]) -> None:
    connection.execute(statement, values)


# Comparing


def _check_same(source: Connection, target: Opened, origin: str, goal: str) -> None:
    """Raises StorageError if what was begun is the copy of another study."""
    raw = _raw(metadata.tables["study"])

    def stored() -> list[Any]:
        with target.reading() as connection:
            return [tuple(row) for row in connection.execute(select(raw))]

    there = target.again(stored, _patient)
    if there and there != [tuple(row) for row in source.execute(select(raw))]:
        raise StorageError(f"{goal}: is an unfinished copy of another study than {origin}. Name another target.")


def _digests(connection: Connection) -> dict[str, str]:
    return {each.name: _digest(connection, each) for each in _TABLES}


def _compare(source: Connection, target: Opened) -> tuple[str, list[str]]:
    """SHA-256 (hex) of all rows of the source, and the tables in which the two sides differ."""

    def digests() -> dict[str, str]:
        with target.reading() as connection:
            return _digests(connection)

    there, here = target.again(digests, _patient), _digests(source)
    different = [name for name in here if here[name] != there[name]]
    return hashlib.sha256("".join(here.values()).encode()).hexdigest(), different


def _compare_whole(source: Connection, goal: Place, origin: str) -> str:
    """SHA-256 (hex) of all rows. Raises StorageError if what is at the target already is anything else."""
    refusal = f"{goal}: exists already and was not changed."
    try:
        opened = goal.open(read_only=True, wait_seconds=_PATIENCE)
    except LostError:
        raise
    except StorageError as error:  # no study, or one of another release
        raise StorageError(refusal) from error
    with closing(opened):
        digest, different = _compare(source, opened)
    if different:
        raise StorageError(f"{refusal} Its {', '.join(different)} differ from those of {origin}: name another target.")
    return digest


def _digest(connection: Connection, whole: Table) -> str:
    """SHA-256 (hex) of all rows of a table in the order of their keys, whatever kind of database it is in."""
    state = hashlib.sha256()
    for rows in _rows(connection, whole):
        for row in rows:
            state.update(repr(tuple(row)).encode("utf-8", "surrogatepass"))
    return state.hexdigest()
