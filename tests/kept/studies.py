"""Which studies are kept, and the command in a process of its own: all that a user has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
PICTURES, NET, BUILDER = "pictures", "net.py", "net.py:build"


@dataclass(frozen=True)
class Kept:
    """A study folder, `HERE / name`: `study.toml` and `study.db`. Beside it are its report and what becomes of it."""

    name: str
    more: tuple[str, ...]  # what `search resume` is given: how it goes on
    own: bool = False  # a model of the user's own is searched
    workers: int = 1  # 0: it is searched in the process of the command

    @property
    def report(self) -> Path:
        """What `search report --json` printed."""
        return HERE / f"{self.name}.report.json"

    @property
    def rows(self) -> Path:
        """All rows once it has been gone on with."""
        return HERE / f"{self.name}.rows.json"

    @property
    def options(self) -> tuple[str, ...]:
        """How it is searched, in every sitting."""
        model = ("--model", BUILDER) if self.own else ()
        return (*model, "--workers", str(self.workers), "--quiet")


STUDIES = (
    Kept("question", ("--trials", "4")),
    Kept("cnn", ("--trials", "5"), workers=0),
    Kept("frozen", ("--trials", "5")),
    Kept("fine-tune", ("--trials", "2")),
    Kept("auto", ()),  # stopped in the midst of a trial
    Kept("own", ("--trials", "12"), own=True),
)

ENTRY = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]["search"]
MODULE, _, FUNCTION = str(ENTRY).partition(":")


def start(*arguments: str, cwd: Path) -> subprocess.Popen[str]:
    """Start `search …` in `cwd`: what pyproject.toml says that is, of this checkout, wherever it is by now."""
    code = f"import sys; from {MODULE} import {FUNCTION} as main; sys.exit(main())"
    there = {"PYTHONPATH": str(ROOT), "COLUMNS": "120", "CUDA_VISIBLE_DEVICES": "-1"}  # kept are results of a processor
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=cwd,
        env=os.environ | there,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def search(*arguments: str, cwd: Path) -> str:
    """Run `search …` in `cwd` to its end, and return what it printed. Fails where it does."""
    process = start(*arguments, cwd=cwd)
    out, err = process.communicate(timeout=280)
    assert process.returncode == 0, f"search {' '.join(arguments)}: {process.returncode}\n{out}\n{err}"
    return out


def copied(study: Kept, home: Path) -> Path:
    """A copy of what is kept of a study, in `home`, with what it needs: it is where its neighbours are."""
    home.mkdir(parents=True, exist_ok=True)
    for name in (PICTURES, study.name):
        shutil.copytree(HERE / name, home / name)
    shutil.copy(HERE / NET, home)
    return home / study.name


def go_on(study: Kept, home: Path) -> None:
    """Bring the copy in `home` to its end."""
    search("resume", study.name, *study.more, *study.options, cwd=home)
