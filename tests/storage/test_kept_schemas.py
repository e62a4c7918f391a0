"""Databases made by the code of each revision of the tables (`tests/kept/make_schema.py`), opened by that of now."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from storage import Store, needs_upgrade
from storage.schema import HEAD, REVISIONS
from tests.kept.make_schema import read
from tests.storage.children import Child, upgrade
from tests.storage.examples import refused, unchanged

KEPT = Path(__file__).parents[1] / "kept" / "schemas"
KNOWN = sorted(file.stem for file in KEPT.glob("*.db"))
OLDER = [revision for revision in KNOWN if revision != HEAD]
LIMIT = 500  # actions of one upgrade; more mean that it does not end


def kept(revision: str, path: Path) -> Path:
    shutil.copy(KEPT / f"{revision}.db", path)
    return path


def written(revision: str) -> Any:
    """What the code of that time read from its database."""
    return json.loads((KEPT / f"{revision}.json").read_text())


def is_in(old: Any, new: Any) -> bool:
    """Whether `new` has all of `old`, and equal; records may have got more fields since."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(name in new and is_in(value, new[name]) for name, value in old.items())
    if isinstance(old, list) and isinstance(new, list):
        return len(old) == len(new) and all(map(is_in, old, new))
    return bool(old == new)


def dumped(path: Path) -> list[str]:
    """Every column and row of a database, its log included. Alembic orders constraints by chance, so they are not."""
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        columns = [f"{table}: {connection.execute(f'PRAGMA table_info({table})').fetchall()}" for table in tables]
        return sorted([*columns, *(line for line in connection.iterdump() if line.startswith("INSERT"))])


def test_there_is_one_of_each_revision_but_the_last_which_may_be_new() -> None:
    assert set(REVISIONS[:-1]) <= set(KNOWN) <= set(REVISIONS)


@pytest.mark.parametrize("revision", KNOWN)
def test_it_is_upgraded_after_a_backup_and_reads_the_same(revision: str, path: Path) -> None:
    kept(revision, path)
    assert needs_upgrade(path) == (revision != HEAD)
    with Store.open(path) as store:
        assert is_in(written(revision), read(store))
        store.start_run(store.runs()[0])
    backups = [path.with_name(f"study.db.{revision}.backup")] if revision != HEAD else []
    assert sorted(path.parent.iterdir()) == [path, *backups]
    for backup in backups:
        assert dumped(backup) == dumped(KEPT / f"{revision}.db")
        with Store.open(backup) as store:
            assert is_in(written(revision), read(store))


@pytest.mark.parametrize("revision", OLDER)
def test_reading_alone_refuses_it_and_changes_nothing(revision: str, path: Path) -> None:
    kept(revision, path)
    with unchanged(path.parent), refused(f"older release (revision {revision})", "`search run` upgrades it"):
        Store.open(path, read_only=True)


def test_one_of_a_newer_release_is_refused_unread_and_unchanged(path: Path) -> None:
    with closing(sqlite3.connect(kept(KNOWN[-1], path))) as newer:
        newer.execute("UPDATE alembic_version SET version_num = '9999'")
        newer.execute("DROP TABLE fold_run")  # whatever a newer release made of it
        newer.commit()
    for read_only in (True, False):
        with unchanged(path.parent), refused("'9999'", f"knows {', '.join(REVISIONS)}", "a newer release wrote it"):
            Store.open(path, read_only=read_only)


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_a_step_of_the_upgrade_it_is_either_as_before_or_as_after(path: Path, step: int) -> None:
    """From the first revision, so through every migration; with step 1 at every action."""
    first = KNOWN[0]
    whole = kept(first, path.with_name("whole.db"))
    Store.open(whole).close()
    before, after, seen = dumped(KEPT / f"{first}.db"), dumped(whole), set()
    for kill_at in range(1, LIMIT, step):
        kept(first, path)
        with Child(upgrade, path, kill_at=kill_at) as child:
            done = child.rest() == ["done"]
        is_old = needs_upgrade(path)
        seen.add(is_old)
        assert dumped(path) == (before if is_old else after), kill_at
        if done:
            break
        with Store.open(path) as store:
            assert is_in(written(first), read(store))
        for file in path.parent.glob(f"{path.name}*"):
            file.unlink()
    assert done
    assert seen == {True, False}
    assert kill_at > 20
