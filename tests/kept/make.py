"""`python -m tests.kept.make [NAME…]`: make the studies that are kept anew, by the code as it is, in about two minutes.

Of each it keeps what it needs to be reported and gone on with, `study.toml` and `study.db`, what `search report --json`
says of it, and all rows once `search resume` has brought it to its end. `--as-they-are` makes only these two anew: the
studies remain those of earlier code.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import tomlkit
from numpy.typing import NDArray
from PIL import Image

from tests.kept.rows import DATABASE, as_text, rows_of
from tests.kept.studies import HERE, NET, PICTURES, STUDIES, Kept, copied, go_on, search, start

SIDE = 8
TWO = {"lying": 17, "standing": 15}  # class -> images
THREE = {
    "training": {"lying": 11, "slanting": 10, "standing": 12},
    "testing": {"lying": 3, "slanting": 3, "standing": 3},
}
RESUMABLE = 75  # the exit code of a search that was asked to stop
MOST_SECONDS = 120  # until it gets there
ATTEMPTS = 5  # to stop a search in the midst of a trial

FAST: Mapping[str, Any] = {"preset": "cnn", "seed": 7, "trials": 3, "folds": 2, "training.max_epochs": 4}
SMALL_NET = {  # of one graph, whatever is free
    "conv_depth": 1,
    "filters": 8,
    "growth": 1,
    "kernel": 3,
    "block": "plain",
    "pooling": "max",
    "normalization": "none",
    "activation": "relu",
    "head": "flatten",
    "dense_depth": 0,
    "weight_penalty": "none",
    "output": "softmax",
    "optimizer": "adam",
    "schedule": "constant",
    "augmentation": "none",
    "ema": False,
}
LITTLE = {"input_size": 64, "flip_average": False}  # of a pre-trained network
LAST = {**LITTLE, "stages": "last", "unfreeze": "last", "epochs": 2, "augmentation": "none"}

ASKED: dict[str, dict[str, Any]] = {  # by name of the study: what its study.toml says, beside FAST
    "question": {
        "preset": "question",
        "nested": True,
        "race": "forgiving",
        "training.max_epochs": 10,  # enough for a network to be stuck at chance
        "space": {
            "conv_depth": 1,
            "dense_depth": [1, 4],
            "head": "flatten",
            "initializer": "uniform_0.05",
            "output": "softmax",
            "augmentation": "none",
        },
    },
    "cnn": {"images": "three", "engine": "keras-tuner", "metric": "log_loss", "trials": 4, "space": SMALL_NET},
    "frozen": {
        "images": "three",
        "preset": "frozen",
        "trials": 4,
        "sampler": "random",
        "space": {**LITTLE, "head": ["logistic", "svm"]},
    },
    "fine-tune": {"preset": "fine-tune", "trials": 1, "space": LAST},
    "auto": {
        "folds": 3,
        "preset": "auto",
        "trials": 6,
        "race": "none",  # which would end all but the best after a fold
        "try": [{"family": "question", "question_dense_depth": 1}],
        "space": {
            **{f"frozen_{name}": value for name, value in LITTLE.items()},
            **{f"fine_tune_{name}": value for name, value in LAST.items()},
            **{f"cnn_{name}": value for name, value in SMALL_NET.items()},
        },
    },
    "own": {"preset": "auto", "trials": 11, "second_objective": "parameters", "sampler": "tpe"},
}
STOPPED = {"auto": 4}  # by name: the trial in whose midst it is stopped


def draw(root: Path) -> None:
    """Two folders of grey pictures: stripes, whose direction is the class, anywhere, in noise; one is there twice."""
    generator = np.random.default_rng(20)
    parts = {"two": TWO, **{f"three/{part}": classes for part, classes in THREE.items()}}
    for part, classes in parts.items():
        for name, count in classes.items():
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                Image.fromarray(stripes(generator, name)).save(folder / f"{number:02}.png")
    shutil.copy(root / "two" / "lying" / "00.png", root / "two" / "lying" / "copy.png")


def stripes(generator: np.random.Generator, kind: str) -> NDArray[np.uint8]:
    """Bright and dark stripes, four pixels from one to the next."""
    down, across = np.mgrid[:SIDE, :SIDE]
    along = {"lying": down, "standing": across, "slanting": down + across}[kind]
    light = 110 + 70 * np.sin(2 * np.pi * (along / 4 + generator.random()))
    noise = generator.normal(0, 35, (SIDE, SIDE))
    return np.asarray(np.clip(light + noise, 0, 255), np.uint8)


def write_toml(study: Kept, home: Path) -> None:
    """Have `search init` write the study's file, and change in it what is asked: its images are beside it."""
    asked = {**FAST, **ASKED[study.name]}
    images = asked.pop("images", "two")
    search("init", f"{PICTURES}/{images}", "--preset", asked["preset"], "--dir", study.name, cwd=home)
    path = home / study.name / "study.toml"
    document = tomlkit.parse(path.read_text(encoding="utf-8"))
    for key, value in {**asked, "images": f"../{PICTURES}/{images}"}.items():
        *tables, name = key.split(".")
        table: Any = document
        for part in tables:
            table = table[part]
        table[name] = value
    path.write_text(tomlkit.dumps(document), encoding="utf-8")


def run(study: Kept, home: Path) -> None:
    """Search, to the end or to where it is to be stopped."""
    asked = ("run", study.name, *study.options)
    if study.name not in STOPPED:
        search(*asked, cwd=home)
        return
    trial, database = STOPPED[study.name], home / study.name / DATABASE
    for _ in range(ATTEMPTS):
        process = start(*asked, cwd=home)
        wait_until_begun(process, database, trial)
        process.send_signal(signal.SIGINT)  # its first fold is being trained: that ends, and no other begins
        _, err = process.communicate(timeout=60)
        if process.returncode == RESUMABLE and in_its_midst(database, trial):
            return
        sys.stdout.write(f"{study.name}: it was not stopped in the midst of trial {trial}; once more {err}\n")
        database.unlink(missing_ok=True)
    sys.exit(f"{study.name} could not be stopped in the midst of trial {trial}")


def begun(database: Path) -> int:
    """How many trials are stored."""
    return _number(database, "SELECT count(*) FROM trial") if database.exists() else 0


def in_its_midst(database: Path, trial: int) -> bool:
    """Whether this trial is the last, is not ended and has a fold."""
    state = _number(database, "SELECT state = 'running' FROM trial WHERE number = ?", trial)
    folds = _number(database, "SELECT count(*) FROM fold_run WHERE trial = ?", trial)
    return begun(database) == trial + 1 and state == 1 and folds > 0


def _number(database: Path, query: str, *values: int) -> int:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True, timeout=30)) as connection:
        return int(connection.execute(query, values).fetchone()[0] or 0)


def wait_until_begun(process: subprocess.Popen[str], database: Path, trial: int) -> None:
    """Wait until a trial is stored, or the search has ended without."""
    deadline = time.monotonic() + MOST_SECONDS
    while begun(database) <= trial and process.poll() is None:
        if time.monotonic() > deadline:
            process.kill()
        time.sleep(0.005)


def keep(study: Kept, home: Path) -> None:
    """Copy what a study needs to be reported and gone on with, without what tells of this machine."""
    shutil.rmtree(HERE / study.name, ignore_errors=True)
    for database in (home / study.name).glob(f"**/{DATABASE}"):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("UPDATE run SET host = 'host', pid = 1")
        target = HERE / study.name / database.parent.relative_to(home / study.name)
        target.mkdir(parents=True)
        for name in (DATABASE, "study.toml"):
            shutil.copy(database.parent / name, target)


def make(study: Kept, place: Path) -> None:
    """Make one study and keep it."""
    home = place / "made" / study.name
    home.mkdir(parents=True)
    shutil.copytree(HERE / PICTURES, home / PICTURES)
    shutil.copy(HERE / NET, home)
    write_toml(study, home)
    run(study, home)
    keep(study, home)


def record(study: Kept, place: Path) -> None:
    """Report on a kept study and go on with it."""
    home = place / "gone-on" / study.name
    folder = copied(study, home)
    study.report.write_text(search("report", study.name, "--json", cwd=home), encoding="utf-8")
    go_on(study, home)
    study.rows.write_text(as_text(rows_of(folder)), encoding="utf-8")


def main(arguments: list[str]) -> None:
    """Make all of them, or those that are named."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("names", nargs="*", help="none: all")
    asked.add_argument("--as-they-are", action="store_true", help="keep the studies, record what is said of them anew")
    options = asked.parse_args(arguments)
    if unknown := set(options.names) - {study.name for study in STUDIES}:
        sys.exit(f"no such study: {', '.join(sorted(unknown))}")
    if not options.as_they_are:
        shutil.rmtree(HERE / PICTURES, ignore_errors=True)
        draw(HERE / PICTURES)
    with tempfile.TemporaryDirectory() as place:
        os.environ["KERAS_HOME"] = place  # what this user once downloaded changes nothing
        for study in STUDIES:
            if not options.names or study.name in options.names:
                started = time.monotonic()
                if not options.as_they_are:
                    make(study, Path(place))
                record(study, Path(place))
                sys.stdout.write(f"{study.name}: {time.monotonic() - started:.0f} s\n")


if __name__ == "__main__":
    main(sys.argv[1:])
