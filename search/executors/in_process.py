"""The executor that runs jobs in this process."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from search.executors.base import Doing, Replaced
from search.executors.devices import memory_for_each
from search.jobs import Job, Outcome, WorkerContext
from search.worker.worker import Worker


class InProcess:
    """One job at a time in this process: for debugging and tests."""

    slots = 1

    def __init__(self) -> None:
        self._worker: Worker | None = None

    @property
    def memory(self) -> int | None:
        """See Executor."""
        return None

    @property
    def ready(self) -> bool:
        """See Executor."""
        return self._worker is not None

    @property
    def doing(self) -> tuple[Doing, ...]:
        """See Executor; nobody looks while a job runs here."""
        return ()

    def replaced(self) -> tuple[Replaced, ...]:
        """See Executor."""
        return ()

    def prepare(self, context: WorkerContext, logs: Path) -> None:  # noqa: ARG002 - this process writes no log
        """See Executor; nothing runs while this is called."""
        self._worker = Worker(replace(context, memory=memory_for_each(1)))

    def save(self, seconds: float) -> None:
        """See Executor."""

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor; returns when the job is done."""
        if self._worker is None:
            raise RuntimeError("prepare comes before submit")
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        future.set_result(self._worker.do(job))
        return future

    def close(self, *, kill: bool = False) -> None:  # noqa: ARG002 - nothing runs while this is called
        """See Executor."""
        self._worker = None
