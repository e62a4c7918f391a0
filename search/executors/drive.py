"""Keeping the slots of an executor busy: the one place where jobs are waited for."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Generic, TypeVar

from search.executors.base import Executor
from search.jobs import Job, Outcome

TICK_SECONDS = 0.25  # between two looks at whether to go on

Work = TypeVar("Work")
"""What a caller remembers of a job on its way: often the job itself."""


class Drive(Generic[Work]):
    """Work on its way through an executor, and the loop that waits for it.

    Nothing here runs in another thread: all functions of the caller are called from within `run`, one at a time.
    """

    def __init__(
        self,
        executor: Executor,
        job_of: Callable[[Work], Job],
        on_outcome: Callable[[Work, Outcome], object],
        on_turn: Callable[[], object] = lambda: None,
    ) -> None:
        """`job_of`: the job to submit for a piece of work. `on_outcome`: called with each outcome.

        `on_turn`: called after each wait, thus at least every TICK_SECONDS, whether something ended or not.
        """
        self._executor, self._job_of = executor, job_of
        self._on_outcome, self._on_turn = on_outcome, on_turn
        self._running: dict[Future[Outcome], Work] = {}

    @property
    def running(self) -> tuple[Work, ...]:
        """Work that was submitted and whose outcome was not handed back, in order of submission."""
        return tuple(self._running.values())

    def submit(self, work: Work) -> None:
        """Give work to the executor, whether a slot is free or not.

        `on_outcome` may call this too, to put other work in the place of the one that just ended.
        """
        self._running[self._executor.submit(self._job_of(work))] = work

    def run(self, next_work: Callable[[], Work | None], go_on: Callable[[], bool]) -> None:
        """Fill free slots, wait, hand outcomes back, and again, until `go_on` says no or nothing is left to wait for.

        `next_work` is asked while a slot is free. None means that there is nothing now: it is asked again after the
        next wait, since an outcome may make more work possible. `go_on` is asked before slots are filled, thus within
        TICK_SECONDS after an event from outside.

        Outcomes are handed back in order of submission. A failure is an outcome like any other, and so is one for the
        reason 'stopped' of a job that the executor ended; a job that was cancelled before it began has none.

        Work that runs when `go_on` says no stays in `running`. To give it a period of grace, call `run` again with a
        `next_work` that has nothing and a `go_on` that holds until the deadline. Work that is still running then is
        the caller's to end, by `Executor.prepare` or `Executor.close`.
        """
        while go_on():
            while len(self._running) < self._executor.slots and (work := next_work()) is not None:
                self.submit(work)
            if not self._running:
                return
            wait(self._running, TICK_SECONDS, FIRST_COMPLETED)
            for future in [future for future in self._running if future.done()]:
                ended = self._running.pop(future)
                if not future.cancelled():
                    self._on_outcome(ended, future.result())
            self._on_turn()
