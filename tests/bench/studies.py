"""Whole studies, as commands of a user; two workers compared with one; and the share of the loop in the demo."""

from __future__ import annotations

import io
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from reports.html.study import write as write_report
from reports.terminal.live import LiveTable
from search.executors.drive import Drive
from search.executors.factory import open_executor
from search.executors.local import LocalProcesses
from search.jobs import FitOptions, FoldJob, FoldResult, Pixels, WorkerContext
from search.native import ENVIRONMENT
from search.results.read import read_stored
from search.results.summary import summarise
from search.session.finish import Finish
from search.session.loop import Loop
from search.session.prepare import prepare
from search.session.run import run
from search.session.session import Asked
from search.study.config import Config, TrainingConfig
from search.study.config_file import write
from search.study.folder import StudyFolder
from storage import Store
from tests.bench.cases import CASES, FOLDS, LENET, Data
from tests.bench.ours import Clocks
from tests.bench.peers import SPACE
from tests.bench.timing import interleaved, seconds
from tests.bench.trials import at_least
from tests.pictures import make_pictures

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "shirts"
WORKERS = 2


def whole_studies(folder: Path, rounds: int, trials: int, epochs: int) -> Iterator[str]:
    """Lines of Markdown: whole processes of this program, Keras Tuner and Optuna, which take turns."""
    case = CASES[0]
    pictures = make_pictures(folder / "pictures", classes={"a": 80, "b": 80}, size=case.side, colour=True)
    peers = ("Keras Tuner", "Optuna")
    taken: dict[str, list[float]] = {name: [] for name in ("as it comes", "equal work", *peers)}
    work = dict.fromkeys(peers, f"{trials} trials, {trials * FOLDS} fold runs, {trials * FOLDS * epochs} epochs")
    for number in range(rounds):
        for name, values in taken.items():
            into = folder / f"{name.replace(' ', '-')}-{number}".lower()
            into.mkdir()
            if name in peers:
                tool = name.lower().replace(" ", "-")
                values.append(_process("tests.bench.peers", tool, pictures, trials, epochs, into))
            else:
                _write_study(into, pictures, trials, epochs, equal=name == "equal work")
                values.append(_process("search", "run", into, "--workers", WORKERS))
                work[name] = _done(into)
    yield f"Whole studies of {trials} trials of the LeNet on 160 pictures of 32x32, {FOLDS} folds of at most {epochs}"
    yield f"epochs, from the start of the process to its end, imports, reading and report included; {rounds} of each."
    yield "All search the same four parameters. Ours: `search run` with TPE and two workers of one thread; beyond the"
    yield "peers' work it has reference rows, finalists on new folds and a model trained on all images. As it comes it"
    yield "races, stops early (patience 8) and stops what is stuck at chance; for equal work race and patience are off."
    yield "Keras Tuner: Bayesian, its files, a summary. Optuna: TPE, SQLite, two pages of plots. Both fit one model"
    yield "after another in one process, with TensorFlow's own choice of threads, as their guides do; oneDNN on; no"
    yield "early stopping."
    yield ""
    yield "| study | seconds | what was trained | Keras Tuner / this | Optuna / this |"
    yield "| --- | --- | --- | --- | --- |"
    median = {name: statistics.median(values) for name, values in taken.items()}
    for name in taken:
        if name in peers:
            yield f"| {name} | {median[name]:.1f} | {work[name]} | | |"
            continue
        ratios = " | ".join(at_least(median[peer] / median[name], 6) for peer in peers)
        yield f"| ours, {name} | {median[name]:.1f} | {work[name]} | {ratios} |"


def _write_study(folder: Path, pictures: Path, trials: int, epochs: int, *, equal: bool) -> None:
    fixed = {name: value for name, value in LENET.items() if name not in SPACE}
    space = {**fixed, "conv_depth": 2, "head": "flatten", "output": "softmax"}
    config = Config(
        images=str(pictures),
        preset="question",
        folds=FOLDS,
        trials=trials,
        race="none" if equal else None,
        training=TrainingConfig(max_epochs=epochs, patience=0) if equal else TrainingConfig(max_epochs=epochs),
        space={**space, **{name: list(values) for name, values in SPACE.items()}},
    )
    write(folder, config)


def _process(*line: Any) -> float:
    """Seconds of a module run as a program. Raises RuntimeError with its output if it fails."""
    environment = os.environ | ENVIRONMENT | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONPATH": str(ROOT)}
    command, started = [sys.executable, "-m", *map(str, line)], time.perf_counter()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with code {done.returncode}:\n{done.stdout}\n{done.stderr}")
    return time.perf_counter() - started


def _done(study: Path) -> str:
    with Store.open(StudyFolder(study).database, read_only=True) as store:
        trials = store.trials()
    folds = [fold for trial in trials for fold in trial.folds]
    searched = sum(fold.repeat == 0 for fold in folds)
    return (
        f"{len(trials)} trials, {searched} fold runs + {len(folds) - searched} to confirm, "
        f"{sum(fold.epochs for fold in folds)} epochs"
    )


def two_workers(folder: Path, rounds: int, epochs: int | None = None) -> Iterator[str]:
    """Lines of Markdown: fold runs of two warm workers, compared with one."""
    yield "The same 10 fold runs by two warm workers and by one, seconds (medians of rounds that take turns):"
    yield ""
    yield "| size | one worker | two workers | ratio |"
    yield "| --- | --- | --- | --- |"
    for case in CASES[:2]:
        data = Data(case)
        path = folder / "pixels.npy"
        np.save(path, data.pixels)
        context = WorkerContext(Pixels(path), data.labels, case.facts, case.preset, "balanced_accuracy")
        jobs = _jobs(data, 10, epochs or case.epochs)
        executors = {count: LocalProcesses(count) for count in (1, 2)}
        try:
            for count, executor in executors.items():
                executor.prepare(context, folder / f"logs-{count}")
                _do(executor, jobs[: 2 * count])  # traced, once in each
            taken = interleaved(rounds, {str(n): partial(_do, executor, jobs) for n, executor in executors.items()})
        finally:
            for executor in executors.values():
                executor.close(kill=True)
        yield f"| {case.name} | {taken['1']:.2f} | {taken['2']:.2f} | {at_least(taken['1'] / taken['2'], 1.35)} |"


def _jobs(data: Data, count: int, epochs: int) -> list[FoldJob]:
    training = FitOptions(epochs, 0, stop_collapsed=False)
    return [
        FoldJob(n // FOLDS, 0, n % FOLDS, data.case.params, *data.folds[n % FOLDS], n, training) for n in range(count)
    ]


def _do(executor: LocalProcesses, jobs: list[FoldJob]) -> None:
    futures = [executor.submit(job) for job in jobs]
    wait(futures)
    for future in futures:
        outcome = future.result()
        assert isinstance(outcome, FoldResult), outcome


def demo(folder: Path, trials: int, epochs: int | None = None) -> Iterator[str]:
    """Lines of Markdown: the seconds of the demo study that are not training."""
    config = Config(images=str(EXAMPLE), preset="question", trials=trials, training=TrainingConfig(max_epochs=epochs))
    study = folder / "demo"
    study.mkdir()
    clocks, console = Clocks(), Console(file=io.StringIO(), force_terminal=True, width=120, height=40)
    started = time.perf_counter()
    prepared = prepare(config, study)
    prepared_in = time.perf_counter() - started
    whole = Clocks()  # a separate clock, since the others run within it
    with (
        LiveTable(console) as observer,
        open_executor(WORKERS) as executor,
        whole.on(Loop, "run", "loop"),
        clocks.on(Drive, "_wait", "waiting for workers"),
        clocks.on(Finish, "run", "finishing"),  # without its waits, which are not part of the loop
    ):
        run(StudyFolder(study), prepared, observer, executor=executor, asked=Asked("search run"))
    with Store.open(StudyFolder(study).database, read_only=True) as store:
        folds = [fold.seconds for trial in store.trials() for fold in trial.folds if fold.repeat == 0]
        folds += [row.seconds for row in store.references()]
        data = summarise(read_stored(store, searching=False))
    reported_in = seconds(lambda: write_report(data, StudyFolder(study).report))
    ran, waited = whole.spent["loop"], clocks.spent["waiting for workers"]
    busy = ran - waited
    yield f"The demo study with {trials} trials and {WORKERS} workers, its live table drawn. While the loop is at work"
    yield "(asking, committing, racing, drawing) workers train on; what it does not do is wait for them."
    yield ""
    yield "| what | seconds | share of the search |"
    yield "| --- | --- | --- |"
    share = busy / ran
    yield f"| search, first to last fold | {ran:.1f} | |"
    yield f"| the loop at work | {busy:.2f} | {share:.1%} (<= 5 %: {'met' if share <= 0.05 else 'missed'}) |"
    idle = ran - sum(folds) / WORKERS
    yield f"| a worker not training: TensorFlow's import, waiting for the last folds | {idle:.1f} | {idle / ran:.1%} |"
    yield f"| before: reading and checking the images | {prepared_in:.2f} | |"
    yield f"| after: report.html | {reported_in:.2f} | |"
