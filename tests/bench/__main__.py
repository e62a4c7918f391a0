"""`make bench`: all that is measured, or the parts that are named: `python -m tests.bench loop`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from search.config import Config
from search.jobs import FoldJob, FoldResult, Materials, Training
from search.study import Prepared, pixels_on_disk, prepare
from search.worker import Worker
from spaces.presets import FAMILIES
from tests.bench import loop, memory
from tests.bench.timing import interleaved
from tests.pictures import make_pictures

ROUNDS = 3
QUESTION: dict[str, Any] = {
    "epoch": "one pass",
    "initializer": "glorot_uniform",
    "dropout": 0.0,
    "l2": 0.0,
    "augmentation": "none",  # as in `model.fit` on arrays
}


def naive_fold(prepared: Prepared, job: FoldJob) -> None:
    """What a user of a tuner writes: a new model for every fold, `model.fit` on arrays, validation every epoch."""
    import keras

    keras.backend.clear_session()
    model = FAMILIES[prepared.preset.name].network(job.params, prepared.facts)
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    pixels = prepared.images.pixels.astype(np.float32)
    targets = np.eye(prepared.facts.classes, dtype=np.float32)[prepared.images.labels]
    model.fit(
        pixels[job.train],
        targets[job.train],
        batch_size=int(job.params["batch_size"]),
        epochs=job.training.max_epochs,
        validation_data=(pixels[job.validate], targets[job.validate]),
        verbose=0,
    )


def fold_runs(folder: Path) -> None:
    """A fold run of the question's LeNet, 160 images of 32x32, 25 epochs: ours against `model.fit`."""
    pictures = make_pictures(folder / "pictures", classes={"a": 80, "b": 80}, size=32, colour=True)
    prepared = prepare(Config(images=str(pictures), preset="question"), folder)
    rows = np.arange(160, dtype=np.int32)
    params = prepared.space.defaults(**QUESTION)
    job = FoldJob(0, 0, 0, params, rows[rows % 5 != 0], rows[rows % 5 == 0], 1, Training(25, 0))
    with pixels_on_disk(folder, prepared.images) as path:
        materials = Materials(path, prepared.images.labels, prepared.facts, "question", "balanced_accuracy")
        used = Worker(materials)

        def fold(worker: Worker) -> None:
            outcome = worker.do(job)
            assert isinstance(outcome, FoldResult), outcome

        taken = interleaved(
            ROUNDS,
            {
                "first": lambda: fold(Worker(materials)),
                "later": lambda: fold(used),
                "fit": lambda: naive_fold(prepared, job),
            },
        )
    print("a fold run, LeNet on 160 x 32x32, 25 epochs, oneDNN on, one thread, against model.fit on a new model:")
    for name, what in (("first", "first fold of a point"), ("later", "its other folds, on used graphs")):
        print(f"  {what}: {taken[name]:.2f} s, model.fit {taken['fit']:.2f} s: {taken['fit'] / taken[name]:.1f}x")
    print()


def loop_cost(folder: Path) -> None:
    """See `tests/bench/loop.py`."""
    for line in loop.measure(folder):
        print(line, flush=True)
    print()


def memory_curve(folder: Path) -> None:
    """See `tests/bench/memory.py`."""
    print(f"resident memory of a worker after so many fold runs of {memory.FOLDS} folds a point:")
    for line in memory.measure(folder):
        print(line, flush=True)
    print()


def startup(folder: Path) -> None:
    """How long the command takes to say something, against Python doing nothing."""
    study = folder / "study"
    pictures = make_pictures(folder / "few")
    asked = ["run", pictures, "--trials", "2", "--folds", "2", "--epochs", "1", "--quiet", "--dir", study]
    command([*asked, "--workers", "1"])
    sides: dict[str, Callable[[], object]] = {
        "python -c pass": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        "search --help": lambda: command(["--help"]),
        "search report --json": lambda: command(["report", study, "--json"]),
        "search report": lambda: command(["report", study]),
    }
    print("start to end, seconds:")
    for name, taken in interleaved(ROUNDS, sides).items():
        print(f"  {name}: {taken:.2f}")


def command(arguments: list[Any]) -> None:
    line = [sys.executable, "-m", "cli", *map(str, arguments)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    parts = {"startup": startup, "folds": fold_runs, "loop": loop_cost, "memory": memory_curve}
    unknown = set(sys.argv[1:]) - set(parts)
    if unknown:
        sys.exit(f"there is no part {', '.join(sorted(unknown))}; name any of {', '.join(parts)}, or none for all")
    with tempfile.TemporaryDirectory() as name:
        for part in sys.argv[1:] or parts:
            parts[part](Path(name))
