"""Resident memory of a worker over 500 fold runs of random points, so that its graphs are replaced."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from search.executors.devices import resident
from search.jobs import DescribeJob, Description, FitOptions, FoldJob, FoldResult, Pixels, WorkerContext
from search.session.prepare import prepare
from search.study.config import Config
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.__main__ import preload
from search.worker.worker import Worker
from spaces import Value
from tests.pictures import make_pictures

FOLD_RUNS, FOLDS, EVERY = 500, 5, 50
SETTLED = 300  # fold runs after which oneDNN has as many primitives as TensorFlow keeps: 1,024 per thread
MAX_PARAMETERS = 1_000_000  # of a point; small, as the test is for graphs that are not freed


def measure(folder: Path) -> Iterator[str]:
    """Lines of fold runs so far and MiB resident; then the growth once it has settled."""
    preload()
    pictures = make_pictures(folder / "memory", classes={"a": 15, "b": 15}, size=8, colour=True)
    prepared = prepare(Config(images=str(pictures), preset="cnn"), folder)
    with StudyFolder(folder).pixels_on_disk(prepared.images.pixels) as path:
        worker = Worker(WorkerContext(Pixels(path), prepared.images.labels, prepared.facts, "cnn", "balanced_accuracy"))
        curve: dict[int, float] = {}
        yield "| fold runs, five a point | MiB resident |"
        yield "| --- | --- |"
        for number, job in enumerate(jobs(prepared, worker), 1):
            outcome = worker.do(job)
            assert isinstance(outcome, FoldResult), outcome
            if number % EVERY == 0:
                curve[number] = resident(os.getpid()) / 2**20
                yield f"| {number} | {curve[number]:.0f} |"
    yield ""
    growth = curve[FOLD_RUNS] - curve[SETTLED]
    yield f"Over the last {FOLD_RUNS - SETTLED} fold runs: {growth:+.0f} MiB"


def jobs(prepared: Prepared, worker: Worker) -> Iterator[FoldJob]:
    """`FOLD_RUNS` jobs: all folds of points whose model, as described by a worker, is small enough."""
    rng, rows = np.random.default_rng(0), np.arange(len(prepared.images.labels), dtype=np.int32)
    for trial in range(FOLD_RUNS // FOLDS):
        params = small_point(prepared, worker, rng)
        for fold in range(FOLDS):
            validate = rows % FOLDS == fold
            yield FoldJob(trial, 0, fold, params, rows[~validate], rows[validate], fold, FitOptions(2, 0))


def small_point(prepared: Prepared, worker: Worker, rng: np.random.Generator) -> dict[str, Value]:
    """A random point; drawn again until its model is small enough."""
    while True:
        params = prepared.space.sample(rng)
        described = worker.do(DescribeJob(params))
        if isinstance(described, Description) and described.parameters < MAX_PARAMETERS:
            return params
