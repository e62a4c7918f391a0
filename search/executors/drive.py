"""Keeping the slots of an executor busy. Only this module waits for jobs."""

from __future__ import annotations

import contextlib
import itertools
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager
from typing import Generic, TypeVar

from search.executors.base import Executor
from search.jobs import Job, Outcome

TICK_SECONDS = 0.25  # between two calls of `go_on`; of filling slots, while outcomes wait

Work = TypeVar("Work")
"""What a caller associates with a submitted job: often the job itself."""


class Drive(Generic[Work]):
    """Work submitted to an executor, and the loop that waits for it.

    No other thread is used: `run` calls all functions of the caller, one at a time.
    """

    def __init__(
        self,
        executor: Executor,
        job_of: Callable[[Work], Job],
        on_outcome: Callable[[Work, Outcome], object],
        on_turn: Callable[[], object] = lambda: None,
        together: Callable[[], AbstractContextManager[object]] = contextlib.nullcontext,
    ) -> None:
        """`job_of`: returns the job of a piece of work. `on_outcome`: called with each outcome.

        `on_turn`: called when slots were filled, and after each wait, at least every TICK_SECONDS. `together`: entered
        around the outcomes of what ended since the last wait.
        """
        self._executor, self._job_of = executor, job_of
        self._on_outcome, self._on_turn, self._together = on_outcome, on_turn, together
        self._running: dict[Future[Outcome], tuple[int, Work]] = {}  # with its number in order of submission
        self._numbers = itertools.count()
        self._ended: queue.SimpleQueue[Future[Outcome]] = queue.SimpleQueue()  # and not taken out of it yet
        self._ended_at_once = 0  # of these, those that ended before `submit` returned

    @property
    def running(self) -> tuple[Work, ...]:
        """Work that was submitted and has no outcome yet, in order of submission."""
        return tuple(work for _, work in self._running.values())

    def submit(self, work: Work) -> None:
        """Submit work, whether a slot is free or not.

        `on_outcome` may call this too, to replace work that just ended.
        """
        future = self._executor.submit(self._job_of(work))
        self._running[future] = next(self._numbers), work
        future.add_done_callback(self._ended.put)
        self._ended_at_once += future.done()

    def run(self, next_work: Callable[[], Work | None], go_on: Callable[[], bool]) -> None:
        """Fill free slots, wait, return outcomes, and repeat until `go_on` returns False or no work is left.

        `next_work` is called while a slot is free. None means that there is no work now: it is called again after the
        next wait, because an outcome may make more work possible. `go_on` is called before slots are filled, so at
        most TICK_SECONDS after an external event.

        `on_outcome` is called in order of submission. A failure is an outcome like any other, also with the cause
        'stopped' for a job that the executor ended; a job that was cancelled before it began has no outcome.

        Work that is running when `go_on` returns False stays in `running`. To give it a grace period, call `run` again
        with a `next_work` that returns None and a `go_on` that returns True until the deadline. The caller must end
        work that is still running then, with `Executor.prepare` or `Executor.close`.
        """
        while go_on():
            if self._fill(next_work):
                self._on_turn()
            if not self._running:
                return
            ended = sorted(self._wait(), key=lambda future: self._running[future][0])
            with self._together():
                for future in ended:
                    _, work = self._running.pop(future)
                    if not future.cancelled():
                        self._on_outcome(work, future.result())
            self._on_turn()

    def _fill(self, next_work: Callable[[], Work | None]) -> bool:
        """Fill free slots; whether there was work. Outcomes do not wait for long: a thousand slots may take seconds."""
        before, began = len(self._running), time.monotonic()
        while len(self._running) < self._executor.slots and (work := next_work()) is not None:
            self.submit(work)
            if self._ended.qsize() > self._ended_at_once and time.monotonic() - began > TICK_SECONDS:
                break
        return len(self._running) > before

    def _wait(self) -> list[Future[Outcome]]:
        """What has ended, after a wait for the first. With a thousand slots, asking each future takes too long."""
        ended: list[Future[Outcome]] = []
        self._ended_at_once = 0
        with contextlib.suppress(queue.Empty):
            ended.append(self._ended.get(timeout=TICK_SECONDS))
            while True:
                ended.append(self._ended.get_nowait())
        return ended
