"""A database that is none of ours, or that was changed by hand, is refused like any wrong input."""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna
import pytest

from storage import FoldRecord, RunRecord, Store, TrialRecord
from storage.records import Origin
from tests.refusals import Refuse


def cut_short(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def of_optuna(path: Path) -> None:
    path.unlink()
    optuna.create_study(storage=f"sqlite:///{path}")


def of_a_newer_release(path: Path) -> None:
    change(path, "UPDATE alembic_version SET version_num = '9999'")


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


@pytest.mark.parametrize("command", ["run", "resume", "report", "space"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda path: path.write_bytes(b""), r"study\.db: is empty \(0 bytes\)\. Restore it from a backup"),
        (cut_short, r"study\.db: is cut short: \d+ bytes of \d+\. Restore it from a backup"),
        (
            lambda path: path.write_text("milk " * 100),
            r"study\.db: is not an SQLite database.* Check the path, or restore it from a backup",
        ),
        (
            of_a_newer_release,
            r"study\.db: its tables are of revision '9999'; this release of smallsearch knows .*Upgrade",
        ),
        (of_optuna, r"study\.db: is an SQLite database of another program .*Choose another file or folder"),
    ],
)
def test_a_database_that_is_none_of_ours(
    refuse: Refuse, place: Path, command: str, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(place / "study" / "study.db")
    assert re.search(message, refuse(command, "study"))


@pytest.mark.parametrize("command", ["run", "report"])
@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE trial SET params = '{\"dropout\": [1]}'", "dropout = [1] in trial 0"),
        ("UPDATE trial SET number = 3", "trial 3 but no trial 0"),
        ("UPDATE trial SET state = 'complete'", "only 0 of 2 folds of the complete trial 0"),
        ("UPDATE run SET seconds = 1e300", "1e+300 seconds for"),
        ("UPDATE study SET classes = '[\"a\"]'", "the classes ['a']"),
    ],
)
def test_a_database_that_was_changed_by_hand(
    refuse: Refuse, place: Path, command: str, statement: str, found: str
) -> None:
    change(place / "study" / "study.db", statement)
    options = ("--trials", "2") if command == "run" else ()
    message = refuse(command, "study", *options)
    assert found in message
    assert message.endswith("which this program never writes. Restore the file from a backup.")


def test_a_score_that_its_metric_cannot_have(refuse: Refuse, place: Path) -> None:
    with Store.open(place / "study" / "study.db") as store:
        rows = int((store.split().assignment == 0).sum())
        fold = FoldRecord(
            trial=1,
            repeat=0,
            fold=0,
            seed=1,
            scores={"balanced_accuracy": 5.0},
            epochs=1,
            best_epoch=1,
            curve={},
            parameters=1,
            seconds=1.0,
            probabilities=np.full((rows, len(store.study().classes)), 0.5, np.float32),
        )
        session = store.start_run(RunRecord("2026-01-01T00:00:00+00:00", "search run", {}, "host", 1))
        store.add_trial(TrialRecord(1, store.trial(0).params, Origin.SAMPLER), run=session, seconds=1.0)
        store.add_fold(fold, run=session, seconds=1.0)
    for command in ("run", "report"):
        message = refuse(command, "study")
        assert "holds balanced_accuracy 5 of fold 1 of trial 1, which this program never writes" in message


def test_versions_that_are_none(refuse: Refuse, place: Path) -> None:
    change(place / "study" / "study.db", "UPDATE run SET versions = '{\"python\": 3}'")
    assert "study.db: a row is damaged (TypeError: str expected, found int). Restore the file" in refuse(
        "report", "study"
    )


def test_a_stored_point_that_is_none_of_its_space(refuse: Refuse, place: Path) -> None:
    change(place / "study" / "study.db", "UPDATE trial SET params = json_set(params, '$.dropuot', 0.2)")
    message = refuse("run", "study", "--trials", "2")
    assert "holds trial 0 with a point that is none of its space (dropuot: unknown; did you mean 'dropout'?" in message


def test_a_stored_space_that_is_none(refuse: Refuse, place: Path) -> None:
    change(place / "study" / "study.db", "UPDATE study SET space = '{\"parameters\": 5}'")
    for command in (["run", "study", "--trials", "2"], ["space", "study"]):
        message = refuse(*command)
        assert "study.db: holds a space that is none ('int' object is not iterable), which this program" in message


def test_a_study_with_a_metric_of_a_newer_release(refuse: Refuse, place: Path) -> None:
    change(place / "study" / "study.db", "UPDATE study SET metric = 'f1'")
    assert "was searched for 'f1', which this release does not know (known: bal" in refuse("report", "study")
