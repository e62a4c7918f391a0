"""Runs the real command, in a separate process or in this one, and reads what it stored."""

from __future__ import annotations

import contextlib
import io
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

from search.study import config as toml
from search.study import config_file
from spaces.facts import Facts
from spaces.presets import PRESETS
from storage import Store, TrialRecord
from tests.warm import ROOT, Warm

FREE = ("learning_rate", "dropout")  # of the smallest network; all else is fixed
FIXED = {
    name: value
    for name, value in PRESETS["cnn"].space(Facts(8, 8, 1, 2, 27)).defaults(conv_depth=1, dense_depth=0).items()
    if name not in FREE
}


def small_study(folder: Path, pictures: Path, **settings: Any) -> Path:
    """A new study whose trials are all of the smallest network, which is traced once; none of them was begun."""
    folder.mkdir()
    asked = {"images": str(pictures), "preset": "cnn", "folds": 2, "space": FIXED, **settings}
    config_file.write(folder, toml.parse(asked, "here"))
    return folder


def start(
    *arguments: str | Path, cwd: Path, stdout: int | None = subprocess.PIPE, columns: str = "120"
) -> subprocess.Popen[str]:
    """Start `search …` in `cwd`, as a fork of a process that has imported it, see `tests.warm`."""
    command = [sys.executable, "-m", "search", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": columns}
    return Warm(command, cwd=cwd, env=environment, stdout=stdout, stderr=subprocess.PIPE, text=True)


def search(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `search …` in `cwd` to its end."""
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=280)
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def search_here(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run `search …` in this process, which has imported TensorFlow at most once. For commands without workers.

    It does not see what libraries write to the file descriptors of standard output and error.
    """
    import cli

    command, out, err = list(map(str, arguments)), io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with (
        mock.patch.object(sys, "argv", ["search", *command]),
        mock.patch.dict(os.environ, COLUMNS="120"),
        contextlib.chdir(cwd),
        streams[0],
        streams[1],
    ):
        try:
            cli.main()
            code: Any = 0
        except SystemExit as ended:
            code = ended.code or 0
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def trials_of(study: Path) -> list[TrialRecord]:
    """What is stored."""
    with Store.open(study / "study.db", read_only=True) as store:
        return store.trials()


def table(trials: Sequence[TrialRecord]) -> list[Any]:
    """Every stored value but times."""
    return [
        (t.number, dict(t.params), t.origin, t.state, t.cause, t.parameters, t.layers, t.redraws) for t in trials
    ] + [
        (t.number, f.fold, f.seed, dict(f.scores), f.epochs, f.best_epoch, dict(f.curve))
        for t in trials
        for f in t.folds
    ]


def fold_rows(study: Path) -> dict[tuple[int, int, int], tuple[Any, ...]]:
    """Every committed fold run by (trial, repeat, fold), its bytes included; {} before there is a database."""
    database = study / "study.db"
    if not database.exists():
        return {}
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30) as connection:
        rows = connection.execute("SELECT trial, repeat, fold, run, seed, scores, probabilities FROM fold_run")
        return {tuple(row[:3]): tuple(row[3:]) for row in rows}


def reference_rows(study: Path) -> dict[tuple[str, int], tuple[Any, ...]]:
    """Every committed fold of a reference by (name, fold), its bytes included, times apart."""
    with sqlite3.connect(f"file:{study / 'study.db'}?mode=ro", uri=True, timeout=30) as connection:
        rows = connection.execute("SELECT name, fold, scores, probabilities FROM reference_fold")
        return {tuple(row[:2]): tuple(row[2:]) for row in rows}


def integrity(study: Path) -> str:
    """What SQLite says of the file: 'ok'."""
    with sqlite3.connect(study / "study.db") as connection:
        return str(connection.execute("PRAGMA integrity_check").fetchone()[0])


def workers_of(study: Path) -> list[int]:
    """Processes whose output goes to the study's logs: its workers, as the system shows them."""
    logs, workers = (study / "logs").resolve(), []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and (entry / "fd" / "2").resolve().parent == logs:
                workers.append(int(entry.name))
        except OSError:
            continue
    return workers


def wait_until(true: Callable[[], bool], seconds: float = 120) -> None:
    """Wait for something that another process does; fail if it does not."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it never came"
        time.sleep(0.05)
