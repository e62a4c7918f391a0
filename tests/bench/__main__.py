"""Medians of rounds in which both sides take turns, so that a busy machine slows both alike."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from search.config import Config
from search.jobs import FoldJob, FoldResult, Materials, Training
from search.loop import Loop
from search.proposers import OptunaProposer
from search.stop import StopRequest
from search.study import Prepared, pixels_on_disk, prepare
from search.worker import Worker
from spaces.presets import FAMILIES
from storage import Store
from tests.pictures import make_pictures

ROUNDS = 3
QUESTION: dict[str, Any] = {
    "epoch": "one pass",
    "initializer": "glorot_uniform",
    "dropout": 0.0,
    "l2": 0.0,
    "augmentation": "none",  # as in `model.fit` on arrays
}


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def interleaved(rounds: int, **sides: Callable[[], object]) -> dict[str, float]:
    """Median seconds of each side; the sides take turns."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            taken[name].append(seconds(work))
    return {name: statistics.median(values) for name, values in taken.items()}


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
            first=lambda: fold(Worker(materials)),
            later=lambda: fold(used),
            fit=lambda: naive_fold(prepared, job),
        )
    print("a fold run, LeNet on 160 x 32x32, 25 epochs, oneDNN on, one thread, against model.fit on a new model:")
    for name, what in (("first", "first fold of a point"), ("later", "its other folds, on used graphs")):
        print(f"  {what}: {taken[name]:.2f} s, model.fit {taken['fit']:.2f} s: {taken['fit'] / taken[name]:.1f}x")
    print()


def loop_cost(folder: Path) -> None:
    """What a trial costs besides training: asking, committing, drawing. Results come from a formula."""
    from tests.search.instant import Instant
    from tests.search.test_loop import RUN, Watcher, a_plan, new_study

    path = new_study(folder / "loop.db")
    print("a trial of 3 folds without training (asking, committing), TPE:")
    for trials in (100, 200, 400):
        plan = a_plan(trials=trials)
        with Store.open(path) as store:
            before = len(store.trials(curves=False))
            proposer = OptunaProposer(plan.space, plan.metric, "tpe", plan.seed)
            run_id = store.start_run(RUN)
            loop = Loop(plan, store, run_id, Instant(), proposer, Watcher(), StopRequest())
            taken = seconds(loop.run)
        print(f"  trials {before} to {trials}: {1000 * taken / (trials - before):.0f} ms each")
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
    for name, taken in interleaved(ROUNDS, **sides).items():
        print(f"  {name}: {taken:.2f}")


def command(arguments: list[Any]) -> None:
    line = [sys.executable, "-m", "cli", *map(str, arguments)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


if __name__ == "__main__":
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with tempfile.TemporaryDirectory() as name:
        for measure in (startup, fold_runs, loop_cost):
            measure(Path(name))
