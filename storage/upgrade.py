"""Upgrades an older file to the revision of this release: after a backup, in one transaction."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, Engine, NullPool, create_engine

from storage.backup import back_up
from storage.engine import mask_password
from storage.errors import StorageError
from storage.sqlite import connect, explained


def upgrade(path: Path, revision: str, wait_seconds: float) -> Path:
    """Upgrades the file from `revision` to the newest; returns the path of the backup in the same folder.

    Raises StorageError if a step fails; the file is then unchanged.
    """
    with explained(path, writing=True):
        backup = back_up(path, path.with_name(f"{path.name}.{revision}.backup"), wait_seconds)
        engine = create_engine("sqlite://", creator=lambda: connect(path, "rw", wait_seconds), poolclass=NullPool)
        _upgrade(path, engine)
    return backup


def _upgrade(path: Path, engine: Engine) -> None:
    with engine.connect() as connection:
        # Foreign keys stay off, as SQLite alters tables by copy, drop and rename; they are checked at the end.
        # The driver begins no transaction for DDL, so this transaction contains the whole upgrade.
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        try:
            _run_migrations(connection)
            broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
            if broken:
                raise StorageError(
                    f"{mask_password(path)}: the upgrade left {len(broken)} rows without the row they refer to "
                    "and was undone. Continue with the release that wrote it, and please report this."
                )
        except BaseException:
            connection.rollback()
            raise
        connection.commit()


def _run_migrations(connection: Connection) -> None:
    from alembic import command  # heavy, and needed only here
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "storage:migrations")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
