"""Sessions of the loop over a real database, with results by formula: what the tests of a search have in common."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import Connection

from search.diagnosis.evidence import Cause, Diagnosis, Symptom
from search.jobs import DescribeJob, FitOptions, FoldJob, FoldResult, Job, Outcome
from search.results.progress import Ending, Progress
from search.samplers.factory import make_sampler
from search.session.loop import Loop
from search.session.plan import Plan, Start, epochs_of
from search.session.session import Session
from search.session.signals import StopRequest
from storage import FoldRecord, ImageRecord, RunRecord, ServerUrl, Split, Store, StudyRecord, TrialRecord
from storage.records import Origin
from tests.search.session.instant import SPACE, Instant, by_formula, result_of

FOLDS = 3
ASSIGNMENT = (np.arange(12) % FOLDS).astype(np.int16)
RUN = RunRecord("2026-01-01T00:00:00+00:00", "search run", {}, "here", 1)
STUCK_THERE = Diagnosis(
    Symptom("stuck at chance", ("one class is predicted for all images",)),
    (Cause("dead ReLU", "100% of the units are 0", 'bias_initializer="zeros"', 1.0, lasting=True),),
    collapsed=True,
)


@dataclass
class Watcher:
    """An Observer that remembers, and may act on what it sees."""

    notes: list[str] = field(default_factory=list)
    closed: list[TrialRecord] = field(default_factory=list)
    seen: list[Progress] = field(default_factory=list)
    act: Callable[[Progress], None] = lambda _: None

    def note(self, text: str) -> None:
        self.notes.append(text)

    def trial_closed(self, trial: TrialRecord, progress: Progress) -> None:  # noqa: ARG002 - as observers are called
        self.closed.append(trial)

    def update(self, progress: Progress) -> None:
        self.seen.append(replace(progress, trials=tuple(progress.trials)))  # as they are now
        self.act(progress)


def new_study(
    path: Path, preset: str = "cnn", assignment: NDArray[np.int16] = ASSIGNMENT, server: ServerUrl | None = None
) -> Path:
    images = [ImageRecord(row, f"{row}.png", row % 2, False, f"{row:064x}") for row in range(len(assignment))]
    record = StudyRecord(
        "s", "2026-01-01T00:00:00+00:00", 5, "accuracy", ("a", "b"), (8, 8, 1), "f", {"preset": preset}, {}
    )
    Store.create(path, record, images, [Split(0, assignment)], server).close()
    return path


def a_plan(**changes: Any) -> Plan:
    standard = Plan(
        seed=5,
        metric="accuracy",
        folds=FOLDS,
        assignment=ASSIGNMENT,
        fit_options=lambda params: FitOptions(max_epochs=epochs_of(params, 40)),
        space=SPACE,
        starts=[Start(Origin.BASELINE, SPACE.defaults()), Start(Origin.START, SPACE.defaults(depth=1))],
        max_parameters=1_000,
        max_bytes=1_000_000,
        trials=6,
        seconds=None,
        trains=lambda _: False,
    )
    return replace(standard, **changes)


def sit(
    path: Path,
    executor: Instant | Any,
    watcher: Watcher | None = None,
    stop: StopRequest | None = None,
    sampler: tuple[str, str] = ("optuna", "tpe"),
    second: str | None = None,
    kind: type[Store] = Store,
    **changes: Any,
) -> Ending:
    """One session over the study at `path`; `sampler`: engine and sampler; `second`: the other objective."""
    plan = a_plan(**changes)
    with kind.open(path) as store:
        session = Session(
            store=store,
            run_id=store.start_run(RUN),
            executor=executor,
            observer=watcher or Watcher(),
            stop=stop or StopRequest(),
            **({"clock": executor.clock} if hasattr(executor, "clock") else {}),
        )
        return Loop(plan, session, make_sampler(plan.space, plan.metric, *sampler, plan.seed, second)).run()


def stored(path: Path) -> list[TrialRecord]:
    with Store.open(path, read_only=True) as store:
        return store.trials()


def rows(trials: list[TrialRecord]) -> list[Any]:
    """Everything but times."""
    return [
        (t.number, dict(t.params), t.origin, t.state, t.cause, t.parameters, t.redraws, *map(fold_row, t.folds))
        for t in trials
    ]


def fold_row(fold: FoldRecord) -> Any:
    return fold.fold, fold.seed, dict(fold.scores), fold.epochs


@dataclass
class Ticking(Instant):
    """Each fold takes ten seconds of a clock of its own, or what `takes` says."""

    now: float = 0.0
    takes: Callable[[FoldJob], float] = lambda _: 10.0

    def clock(self) -> float:
        return self.now

    def submit(self, job: Job) -> Future[Outcome]:
        future = super().submit(job)
        if not isinstance(job, FoldJob):
            return future
        seconds, outcome = self.takes(job), future.result()
        self.now += seconds
        timed: Future[Outcome] = Future()
        timed.set_result(replace(outcome, seconds=seconds) if isinstance(outcome, FoldResult) else outcome)
        return timed


class Died(BaseException):
    """Stands for a kill: nothing in the program catches it."""


def dying_and_going_on(
    folder: Path, jobs_before: int, answer: Callable[[Job], Outcome] = by_formula, **asked: Any
) -> tuple[list[Any], list[Any]]:
    """The rows of a study that died at its n-th job and went on, and of one that did not."""
    whole, broken = new_study(folder / "whole.db"), new_study(folder / "broken.db")
    sit(whole, Instant(answer), **asked)
    left = jobs_before

    def dies(job: Job) -> Outcome:
        nonlocal left
        left -= 1
        if left < 0:
            raise Died
        return answer(job)

    with pytest.raises(Died):
        sit(broken, Instant(dies), **asked)
    sit(broken, Instant(answer), **asked)
    return rows(stored(broken)), rows(stored(whole))


class Mortal(Store):
    """Dies right after its second commit, the first being that a session began: of every stored state there is one
    session that begins with it."""

    commits = 0

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        with super()._writing() as connection:
            yield connection
        self.commits += 1
        if self.commits == 2:
            raise Died


def dying_after_every_commit(
    folder: Path, answer: Callable[[Job], Outcome], *sessions: dict[str, Any], executor: type[Instant] = Instant
) -> tuple[list[Any], list[Any]]:
    """The rows of a study that died after its every commit, and of one that did not.

    `sessions`: what is asked of one after another, each to its end. A session knows of those before it what is stored,
    and that changes by commits alone: where these rows are equal, they are whenever a study dies.
    """
    whole, broken = new_study(folder / "whole.db"), new_study(folder / "broken.db")
    for asked in sessions:
        sit(whole, executor(answer), **asked)
        alive = False
        while not alive:
            with contextlib.suppress(Died):
                sit(broken, executor(answer), kind=Mortal, **asked)
                alive = True
    return rows(stored(broken)), rows(stored(whole))


class Hands(Instant):
    """Two slots whose jobs end only when the test says so."""

    def __init__(self) -> None:
        super().__init__(slots=2)
        self.futures: list[tuple[Job, Future[Outcome]]] = []

    def submit(self, job: Job) -> Future[Outcome]:
        if isinstance(job, DescribeJob):
            return super().submit(job)
        self.jobs.append(job)
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        self.futures.append((job, future))
        return future

    def end(self, index: int, outcome: Outcome | None = None) -> None:
        job, future = self.futures.pop(index)
        assert isinstance(job, FoldJob)
        future.set_result(outcome or result_of(job))
