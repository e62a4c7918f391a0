"""An executor that needs no TensorFlow: results computed from the point by a formula. For tests of the loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from search.executors.base import Doing, Replaced
from search.jobs import (
    BundleJob,
    BundleResult,
    DescribeJob,
    Description,
    FoldJob,
    FoldResult,
    Job,
    Outcome,
    ReferenceJob,
    ReferenceResult,
    WorkerContext,
    possible,
)
from search.session.references import ReferenceQueue
from search.stats.metrics import METRICS
from spaces import Number, Space, Value, When
from spaces.layers import Layer
from spaces.parameters import choice, integer, real
from storage import ReferenceRecord, Store

SPACE = Space(
    (
        integer("depth", 0, 4, 2),
        real("rate", 1e-4, 1e-1, 1e-3, log=True),
        real("dropout", 0.0, 0.5, 0.2, step=0.1),
        choice("norm", "none", "batch"),
        real("momentum", 0.0, 0.99, 0.9, when=(When("norm", ("batch",)),)),
        integer("units", 8, 512, 64, log=True, when=(When("depth", at_least=1),)),
    )
)


def quality(params: dict[str, Value]) -> float:
    """Between 0 and 1; best in the middle of every range."""
    parts = []
    for parameter in SPACE.parameters:
        if isinstance(parameter, Number) and parameter.name in params:
            low, high, value = parameter.low, parameter.high, float(params[parameter.name])
            if parameter.log:
                low, high, value = np.log(low), np.log(high), np.log(value)
            parts.append(abs((value - low) / (high - low) - 0.5))
    return float(1 - np.mean(parts))


def result_of(job: FoldJob, classes: int = 2, epochs: int = 3) -> FoldResult:
    """A fold run's result by formula: the point's quality, and noise from the job's seed."""
    noise = np.random.default_rng(job.seed)
    score = min(quality(dict(job.params)) + noise.normal(0, 0.02), 1.0)
    return FoldResult(
        scores=dict.fromkeys(METRICS, score),
        epochs=epochs,
        best_epoch=2,
        curve={"loss": tuple(np.linspace(1, 0.5, epochs))},
        probabilities=noise.dirichlet(np.ones(classes), len(job.validate)).astype(np.float32),
        parameters=100,
        seconds=0.01,
    )


def description_of(job: DescribeJob) -> Description:
    """A model of 100 parameters a level of depth."""
    parameters = 100 * (1 + int(job.params.get("depth", 0)))
    return Description(parameters, parameters * 16, (Layer("output", "Dense", (2,), parameters, "2 units"),))


def judgement_of(job: ReferenceJob, classes: int = 2) -> ReferenceResult:
    """A reference's result by formula, from the job's seed."""
    noise = np.random.default_rng(job.seed)
    said = noise.dirichlet(np.ones(classes), len(job.validate)).astype(np.float32)
    return ReferenceResult(dict.fromkeys(METRICS, float(noise.random())), said, 0.01)


def store_references(store: Store, run: int) -> None:
    """Every fold of every reference that is possible here, as if it had been computed."""
    assignment = store.split().assignment
    left = ReferenceQueue(possible(), assignment, int(assignment.max()) + 1, store.study().seed)
    left.load(store.references())
    while job := left.next_job():
        store.add_reference(ReferenceRecord(job.name, job.fold, **vars(judgement_of(job))), run=run, seconds=1)


def by_formula(job: Job) -> Outcome:
    """What `Instant` does with a job unless it is told otherwise."""
    if isinstance(job, DescribeJob):
        return description_of(job)
    if isinstance(job, ReferenceJob):
        return judgement_of(job)
    if isinstance(job, BundleJob):
        return BundleResult(tuple(map(result_of, job.folds)))
    assert isinstance(job, FoldJob), "nothing else is asked of an executor in a search"
    return result_of(job)


@dataclass
class Instant:
    """An Executor whose jobs are done before `submit` returns. `answer` makes the outcome."""

    answer: Callable[[Job], Outcome] = by_formula
    slots: int = 1
    seconds: float = 0.0  # real seconds a fold takes, for tests that kill in the midst of it
    jobs: list[Job] = field(default_factory=list)  # every job submitted
    closed: list[bool] = field(default_factory=list)  # each `kill` that close was called with

    ready: bool = False
    memory: int | None = None
    doing: tuple[Doing, ...] = ()
    ended: list[Replaced] = field(default_factory=list)  # workers, to be told of

    def save(self, seconds: float) -> None:
        """Its jobs are done at once."""

    def replaced(self) -> list[Replaced]:
        """Tell of each once."""
        told, self.ended = self.ended, []
        return told

    def prepare(self, context: WorkerContext, logs: Path) -> None:
        """Nothing to prepare."""

    def submit(self, job: Job) -> Future[Outcome]:
        """Answer at once."""
        self.jobs.append(job)
        if self.seconds and isinstance(job, FoldJob):
            time.sleep(self.seconds)
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        future.set_result(self.answer(job))
        return future

    def close(self, *, kill: bool = False) -> None:
        """Remember how."""
        self.closed.append(kill)
