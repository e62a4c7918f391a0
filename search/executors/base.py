"""What an executor is: the protocol."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path
from typing import Protocol

from search.jobs import Job, Outcome, WorkerContext


class Executor(Protocol):
    """Runs jobs. `submit` never raises because of a job: a failure is an outcome."""

    slots: int
    """How many jobs run at the same time; further jobs wait."""

    @property
    def ready(self) -> bool:
        """Whether a worker has imported its libraries since `prepare`; known at the latest while it runs a job."""

    def prepare(self, context: WorkerContext, logs: Path) -> None:
        """Give workers what every job needs, and a folder for logs. Must be called before the first `submit`.

        Calling it again restarts the workers: running jobs are ended, waiting ones cancelled. Raises OSError if logs
        cannot be written.
        """

    def submit(self, job: Job) -> Future[Outcome]:
        """Run the job; the future never has an exception, and can be cancelled while it waits."""

    def close(self, *, kill: bool = False) -> None:
        """Let running jobs end (with `kill` end them now) and free all resources. Waiting jobs are cancelled."""
