"""What an executor is: the protocol."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from search.jobs import Job, Outcome, Step, WorkerContext


@dataclass(frozen=True)
class Doing:
    """A job that a worker has now."""

    job: Job
    step: Step | None = None  # how far it is, as of half a second ago; None: not known
    importing: bool = False  # whether its worker must import its libraries first


@dataclass(frozen=True)
class Replaced:
    """A worker that ended, or was ended, in the midst of a job, which is tried once more in a new one."""

    job: Job
    how: str  # it ended, in words that go on 'the worker …'


@dataclass(frozen=True)
class Cluster:
    """The Ray cluster on which jobs are to run."""

    address: str | None = None  # of its head, 'HOST:PORT' or 'auto'; None: one is started on this machine
    workers: int | None = None  # at most, on all nodes together; None: one per core, or `per_gpu` per GPU
    per_gpu: int = 1

    @property
    def options(self) -> tuple[str, ...]:
        """As they are typed, without the numbers of workers."""
        return ("--executor", "ray", *(("--address", self.address) if self.address else ()))


class Executor(Protocol):
    """Runs jobs. `submit` never raises because of a job: a failure is an outcome."""

    @property
    def slots(self) -> int:
        """How many jobs run at the same time; further jobs wait. It may change where machines come and go."""

    @property
    def memory(self) -> int | None:
        """Bytes that a worker may take; None: an equal share of this machine's memory."""

    @property
    def ready(self) -> bool:
        """Whether a worker has imported its libraries since `prepare`; known at the latest while it runs a job."""

    @property
    def doing(self) -> Sequence[Doing]:
        """What the workers that have a job do now; nothing where jobs run in this process."""

    def replaced(self) -> Sequence[Replaced]:
        """The workers that were replaced since the last call."""

    def prepare(self, context: WorkerContext, logs: Path) -> None:
        """Give workers what every job needs, and a folder for logs. Must be called before the first `submit`.

        Calling it again restarts the workers: running jobs are ended, waiting ones cancelled. Raises OSError if logs
        cannot be written.
        """

    def save(self, seconds: float) -> None:
        """Have fold runs that may take longer than this store their state, and end as stopped; see `SaveRequest`.

        Nothing happens where no worker is in the midst of a job, or where the fold run cannot be stored.
        """

    def submit(self, job: Job) -> Future[Outcome]:
        """Run the job; the future never has an exception, and can be cancelled while it waits."""

    def close(self, *, kill: bool = False) -> None:
        """Let running jobs end (with `kill` end them now) and free all resources. Waiting jobs are cancelled."""
