"""All tables and columns have comments, and the migrations lead to the tables of `schema`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_engine, inspect, text

from storage import Store, TrialState
from storage.schema import HEAD, REVISIONS, metadata
from tests.storage.examples import ROOT, fill, make


def config() -> Config:
    made = Config()
    made.set_main_option("script_location", "storage:migrations")
    return made


@pytest.fixture
def migrated() -> Engine:
    """An empty database in memory, upgraded to the newest revision by the migrations alone."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        made = config()
        made.attributes["connection"] = connection
        command.upgrade(made, "head")
    return engine


def description(engine: Engine) -> dict[str, Any]:
    """All that SQLite knows about each table, independent of the order of constraints."""
    inspector = inspect(engine)
    return {
        table: {
            "columns": [{**column, "type": str(column["type"])} for column in inspector.get_columns(table)],
            "primary key": inspector.get_pk_constraint(table),
            "foreign keys": sorted(map(str, inspector.get_foreign_keys(table))),
            "unique": inspector.get_unique_constraints(table),
            "checks": inspector.get_check_constraints(table),
            "indexes": inspector.get_indexes(table),
        }
        for table in inspector.get_table_names()
    }


def test_every_column_has_a_comment() -> None:
    bare = [str(column) for table in metadata.tables.values() for column in table.columns if not column.comment]
    assert bare == []


def test_every_table_but_alembics_is_keyed_by_study() -> None:
    for name, table in metadata.tables.items():
        if name != "alembic_version":
            assert next(iter(table.primary_key.columns)).name == ("id" if name == "study" else "study")


def test_a_fold_run_is_unique_by_study_trial_repeat_and_fold() -> None:
    key = metadata.tables["fold_run"].primary_key
    assert [column.name for column in key.columns] == ["study", "trial", "repeat", "fold"]


def test_migrations_and_a_new_study_give_the_same_tables(migrated: Engine, path: Path) -> None:
    with make(path) as store:
        created = description(store._opened.engine)
    by_migration = description(migrated)
    # Alembic names its own key; nothing else may differ.
    created["alembic_version"]["primary key"]["name"] = by_migration["alembic_version"]["primary key"]["name"]
    assert by_migration == created
    with migrated.connect() as connection:
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalars().all() == [HEAD]


def test_alembic_sees_no_difference_to_the_schema(migrated: Engine) -> None:
    with migrated.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []


def test_the_revisions_are_those_of_the_migrations_in_order() -> None:
    scripts = ScriptDirectory.from_config(config())
    assert tuple(script.revision for script in reversed(list(scripts.walk_revisions()))) == REVISIONS


def test_every_foreign_key_holds(path: Path) -> None:
    with make(path) as store:
        fill(store, 2)
        with store._opened.engine.connect() as connection:
            assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []


def test_the_states_are_those_of_the_records(path: Path) -> None:
    with make(path) as store, store._opened.engine.connect() as connection:
        sql = connection.exec_driver_sql("SELECT sql FROM sqlite_master WHERE name = 'trial'").scalar_one()
    assert all(f"'{state}'" in sql for state in TrialState)


def test_using_a_study_imports_neither_alembic_nor_the_rest_of_the_program(path: Path) -> None:
    make(path).close()
    code = (
        "import sys; from storage import Store; Store.open(sys.argv[1]).trials(); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code, str(path)], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.split()
    assert "storage" in printed
    assert not {"alembic", "search", "spaces", "reports", "keras", "tensorflow", "optuna"} & set(printed)


def test_the_migrations_are_in_packages_so_that_they_are_installed() -> None:
    folder = ROOT / "storage" / "migrations"
    assert (folder / "__init__.py").exists()
    assert (folder / "versions" / "__init__.py").exists()


def test_a_store_is_one_study(store: Store) -> None:
    with store._opened.engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM study").scalar_one() == 1
