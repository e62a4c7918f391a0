"""One search with up to a thousand simulated slots: `python -m tests.bench.slots`; two minutes for each number.

Each fold run waits for about ten seconds instead of training, and a tenth of a second to describe a model; everything
else is real: the loop, the sampler, the race, the database, the live table. Fold runs a second that are sustained, how
busy the slots are, the time from a result to the next job of its slot, and what a fold run takes of the processor,
which hardly depends on what else the machine does. The start, until all slots had a job, is left out.
"""

from __future__ import annotations

import argparse
import heapq
import io
import itertools
import math
import resource
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path

import numpy as np
from rich.console import Console

from reports.terminal.live import LiveTable
from search.executors.base import Doing, Replaced
from search.jobs import FoldJob, Job, Outcome, WorkerContext
from search.samplers.optuna_sampler import OptunaSampler
from search.session.loop import Loop
from search.session.session import Session
from search.session.signals import StopRequest
from storage import Store
from tests.bench import machine
from tests.bench.loop import FOLDS, RUN, SEED, SPACE, a_plan, answer, stored_study

FOLD_SECONDS = 10.0  # on average; each fold run takes up to a fifth more or less
DESCRIBING = 0.1  # seconds: building a network of Keras takes about that
SECONDS = 120.0  # of each search
SLOTS = (10, 100, 1_000)


class Simulated:
    """An Executor with slots in which a job takes its time without doing anything."""

    ready, memory = True, None

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._due: list[tuple[float, int, Job, Future[Outcome]]] = []
        self._changed, self._closed = threading.Condition(), False
        self._numbers, self._luck = itertools.count(), np.random.default_rng(SEED)
        self.begun_at: list[float] = []  # when each fold run began, and
        self.ended_at: list[float] = []  # ended
        self.processor = [math.nan, math.nan]  # seconds that this process had when all slots had a job, and at the end
        self._thread = threading.Thread(target=self._end_in_time, daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        now, takes = time.monotonic(), DESCRIBING
        if isinstance(job, FoldJob):
            takes = FOLD_SECONDS * self._luck.uniform(0.8, 1.2)
            self.begun_at.append(now)
            if len(self.begun_at) == self.slots:
                self.processor[0] = time.process_time()
        with self._changed:
            due = now + takes
            heapq.heappush(self._due, (due, next(self._numbers), job, future))
            self._changed.notify()
        return future

    def prepare(self, context: WorkerContext, logs: Path) -> None:
        """Nothing to prepare."""

    def save(self, seconds: float) -> None:
        """There is no state."""

    def replaced(self) -> tuple[Replaced, ...]:
        """Nothing ends before its time."""
        return ()

    @property
    def doing(self) -> tuple[Doing, ...]:
        """See Executor."""
        with self._changed:
            return tuple(Doing(job) for _, _, job, _ in self._due)

    def close(self, *, kill: bool = False) -> None:  # noqa: ARG002 - nothing runs
        """See Executor."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _end_in_time(self) -> None:
        while True:
            with self._changed:
                while not self._closed and (not self._due or self._due[0][0] > time.monotonic()):
                    self._changed.wait(self._due[0][0] - time.monotonic() if self._due else None)
                if self._closed:
                    return
                _, _, job, future = heapq.heappop(self._due)
            if isinstance(job, FoldJob):
                self.ended_at.append(time.monotonic())
            future.set_result(answer(job))


def a_search(home: Path, slots: int, stored: int, seconds: float) -> str:
    """A row of the table."""
    database = stored_study(home / f"{slots}.db", stored)
    executor, started = Simulated(slots), time.monotonic()
    plan = a_plan(10**6)
    stop, console = StopRequest(), Console(file=io.StringIO(), force_terminal=True, width=120, height=40)

    def end() -> None:
        executor.processor[1] = time.process_time()
        stop.asked = True

    threading.Timer(seconds, end).start()
    with Store.open(database) as store, LiveTable(console) as table:
        session = Session(store, store.start_run(RUN), executor, table, stop)
        Loop(plan, session, OptunaSampler(SPACE, plan.metric, "tpe", SEED)).run()
        until, fold_runs = started + seconds, store.fold_runs() - stored * FOLDS
    executor.close()
    return row(executor, slots, until, fold_runs, database.stat().st_size)


def row(executor: Simulated, slots: int, until: float, fold_runs: int, size: int) -> str:
    """What was measured while all slots had a job, until `until`."""
    full = executor.begun_at[min(slots, len(executor.begun_at)) - 1]
    ends = [end for end in executor.ended_at if full <= end <= until]
    changes = sorted([(when, 1) for when in executor.begun_at] + [(when, -1) for when in executor.ended_at])
    busy, held, before = 0, 0.0, full
    for when, change in changes:
        if full <= when <= until:
            held += busy * (when - before)
            before = when
        busy += change
    share = held / (slots * (before - full)) if before > full else float("nan")
    waits = list(between(executor, full, until))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    processor = (executor.processor[1] - executor.processor[0]) / max(len(ends), 1)
    return (
        f"| {slots:,} | {full - executor.begun_at[0]:.1f} | {len(ends) / (until - full):.1f} | {share:.1%} | "
        f"{1000 * statistics.median(waits or [math.nan]):.0f} | {1000 * processor:.1f} | {fold_runs:,} | "
        f"{memory:.0f} | {size / 2**20:.0f} |"
    )


def between(executor: Simulated, start: float, until: float) -> Iterator[float]:
    """Seconds from each end of a fold run to the first begin after it that no earlier end has."""
    begins = iter(sorted(begun for begun in executor.begun_at if begun > start))
    for end in sorted(end for end in executor.ended_at if start <= end <= until):
        for begun in begins:
            if begun >= end:
                yield begun - end
                break


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.slots", description=__doc__)
    parser.add_argument("slots", nargs="*", type=int, default=list(SLOTS))
    parser.add_argument("--stored", type=int, default=100, help="trials that the study has already [default: 100]")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of each search [default: %(default)s]")
    asked = parser.parse_args(arguments)
    for line in machine.described():
        print(line)
    print()
    print(
        "| slots | s until all are busy | fold runs/s | busy | ms to the next job | ms of the processor a fold run | "
        "fold runs | MiB | MiB on disk |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |", flush=True)
    with tempfile.TemporaryDirectory() as name:
        for slots in asked.slots:
            print(a_search(Path(name), slots, asked.stored, asked.seconds), flush=True)


if __name__ == "__main__":
    main()
