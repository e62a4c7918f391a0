"""A file of an older release is backed up and upgraded in one transaction, or is not changed.

Most tests simulate the next release: a copy of the package with one more migration, in a separate process.
"""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from storage import Store
from storage.schema import HEAD, REVISIONS
from tests.storage.examples import ROOT, fill, make, reference, refused, unchanged

NEXT = f"{int(HEAD) + 1:04}"
BACKUP = f"study.db.{HEAD}.backup"
MIGRATION = '''
"""Rebuilds two tables that others refer to, changes rows, and can be made to fail on the way."""
import os, signal
import sqlalchemy as sa
from alembic import op

revision, down_revision = "NEXT", "HEAD"

def upgrade():
    with op.batch_alter_table("trial", recreate="always") as batch:
        batch.add_column(sa.Column("note", sa.Text, nullable=False, server_default="upgraded"))
    fail("between")
    with op.batch_alter_table("run", recreate="always") as batch:
        batch.alter_column("host", new_column_name="machine")
    op.execute("UPDATE trial SET origin = upper(origin)")
    fail("late")

def fail(moment):
    wanted = os.environ.get("FAIL", "")
    if wanted == f"kill {moment}":
        os.kill(os.getpid(), signal.SIGKILL)
    if wanted == f"sql {moment}":
        op.execute("SELECT * FROM nowhere")
    if wanted == f"orphans {moment}":
        op.execute("DELETE FROM trial WHERE number = 0")
'''
OPEN = """
import sys
from storage import Store, StorageError
try:
    with Store.open(sys.argv[1], read_only=len(sys.argv) > 2) as store, store._opened.engine.connect() as connection:
        print(*connection.exec_driver_sql("SELECT number, origin, note FROM trial").all())
        print(connection.exec_driver_sql("SELECT machine FROM run").scalars().all())
        print(connection.exec_driver_sql("PRAGMA foreign_key_check").all())
        print(connection.exec_driver_sql("PRAGMA journal_mode").scalar_one())
except StorageError as error:
    sys.exit(f"StorageError: {error}")
"""


@pytest.fixture(scope="module")
def next_release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package of the simulated next release."""
    root = tmp_path_factory.mktemp("next")
    shutil.copytree(ROOT / "storage", root / "storage", ignore=shutil.ignore_patterns("__pycache__"))
    (root / f"storage/migrations/versions/r{NEXT}_next.py").write_text(
        MIGRATION.replace("NEXT", NEXT).replace("HEAD", HEAD)
    )
    schema = root / "storage/schema.py"
    text, last = schema.read_text(), f'"{HEAD}")'
    host = '_column("host", '
    assert text.count(last) == text.count(host) == 1
    schema.write_text(text.replace(last, f'"{HEAD}", "{NEXT}")').replace(host, '_column("machine", '))
    return root


@pytest.fixture
def study(path: Path) -> Path:
    """A closed study of this release."""
    with make(path) as store:
        fill(store, 2)
    return path


def open_with(release: Path, study: Path, *more: str, fail: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(release), "FAIL": fail, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, "-c", OPEN, str(study), *more],
        cwd=release,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def names(study: Path) -> list[str]:
    return sorted(file.name for file in study.parent.iterdir())


def test_an_older_file_is_backed_up_and_upgraded_once(next_release: Path, study: Path) -> None:
    with Store.open(study) as store:
        before = repr(store.trials())
    done = open_with(next_release, study)
    assert done.stdout.splitlines() == [
        "(0, 'BASELINE', 'upgraded') (1, 'SAMPLER', 'upgraded')",
        "['box']",
        "[]",
        "wal",
    ], done.stderr
    assert names(study) == ["study.db", BACKUP]
    with Store.open(study.with_name(BACKUP)) as backup:
        assert repr(backup.trials()) == before
    with unchanged(study.parent), refused(f"'{NEXT}'", f"knows {', '.join(REVISIONS)}", "Upgrade smallsearch"):
        Store.open(study)

    study.with_name(BACKUP).unlink()
    assert open_with(next_release, study).returncode == 0
    assert names(study) == ["study.db"]  # no second backup


def test_reading_only_never_upgrades(next_release: Path, study: Path) -> None:
    with unchanged(study.parent):
        done = open_with(next_release, study, "read-only")
    assert f"older release (revision {HEAD})" in done.stderr
    assert "`search run` upgrades it" in done.stderr


@pytest.mark.parametrize("moment", ["between", "late"])
def test_killed_in_an_upgrade_the_file_is_unchanged(next_release: Path, study: Path, moment: str) -> None:
    with Store.open(study) as store:
        before = repr(store.trials())
    assert open_with(next_release, study, fail=f"kill {moment}").returncode == -signal.SIGKILL
    with Store.open(study) as store:
        assert repr(store.trials()) == before
    assert open_with(next_release, study).returncode == 0
    assert names(study) == ["study.db", BACKUP]


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        ("sql between", "no such table: nowhere"),
        ("sql late", "no such table: nowhere"),
        ("orphans late", "undone"),
    ],
)
def test_a_failing_upgrade_is_undone_completely(next_release: Path, study: Path, failure: str, words: str) -> None:
    with Store.open(study) as store:
        before = repr(store.trials())
    done = open_with(next_release, study, fail=failure)
    assert done.stderr.startswith(f"StorageError: {study}")
    assert words in done.stderr
    with Store.open(study) as store:
        assert repr(store.trials()) == before


def test_commits_not_yet_merged_are_upgraded_and_backed_up_too(next_release: Path, study: Path) -> None:
    copy = study.parent / "copy"
    copy.mkdir()
    with closing(sqlite3.connect(study)) as other:
        other.execute("SELECT count(*) FROM trial").fetchone()  # while it is open, the log is not merged
        with Store.open(study) as store:
            store.start_run(store.runs()[0])
        for name in ("study.db", "study.db-wal"):
            shutil.copy(study.with_name(name), copy)
    done = open_with(next_release, copy / "study.db")
    assert "['box', 'box']" in done.stdout, done.stderr
    with Store.open(copy / BACKUP, read_only=True) as backup:
        assert len(backup.runs()) == 2


def test_a_study_of_the_first_release_is_upgraded_and_can_be_used(study: Path) -> None:
    with Store.open(study) as store:
        before = repr(store.trials())
    with closing(sqlite3.connect(study)) as first:
        first.execute("DROP TABLE reference_fold")
        first.execute("DROP TABLE choice")
        first.execute("ALTER TABLE study DROP COLUMN notes")
        first.execute("UPDATE alembic_version SET version_num = '0001'")
        first.commit()
    with Store.open(study) as store:
        assert repr(store.trials()) == before
        assert store.references() == []
        store.add_reference(reference(), run=0, seconds=1)
    assert names(study) == ["study.db", "study.db.0001.backup"]
