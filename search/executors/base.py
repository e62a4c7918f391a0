"""What an executor is: the protocol."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from search.jobs import Job, Outcome, WorkerContext


class Executor(Protocol):
    """Does jobs somewhere. `submit` never raises for what a job does: a failure is an outcome."""

    slots: int
    """How many jobs run at the same time; submitting more makes them wait."""

    @property
    def ready(self) -> bool:
        """Whether a worker has imported what it needs, since `prepare`; known at the latest while it does a job."""

    def prepare(self, context: WorkerContext, logs: Path) -> None:
        """Hand over what every job needs, and a folder for logs. Comes before the first `submit`.

        Called again it begins anew: running jobs are ended, waiting ones cancelled. Raises OSError where there can be
        no logs.
        """

    def submit(self, job: Job) -> Future[Outcome]:
        """Have the job done; the future never has an exception, and may be cancelled while it waits."""

    def close(self, *, kill: bool = False) -> None:
        """Let running jobs end (or with `kill` end them now) and free everything. Waiting jobs are cancelled."""
