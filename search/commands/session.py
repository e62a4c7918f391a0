"""How a command runs: what it displays while it runs, and the number of workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from search.data.findings import Findings
from search.executors.base import Cluster
from search.results.progress import Observer, Watched
from search.session.session import Asked


class Display(Protocol):
    """Shows the progress of a command, or nothing."""

    def study(self, folder: str, *, going_on: bool) -> None:
        """Show the study of a run; `going_on`: whether it has begun already."""

    def prepared(self, findings: Findings, sentences: Sequence[str]) -> None:
        """Show what was read, and what was decided for the user."""

    def reading(self) -> AbstractContextManager[Callable[[int, int], None]]:
        """A context for reading images. Its value is to be called with (images read, images in total)."""

    def predicting(self) -> AbstractContextManager[Callable[[int, int], None]]:
        """A context for predicting. Its value is to be called with (images predicted, images in total)."""

    def converting(self, format_: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """A context for converting a model. Its value is to be called with (images compared, images to compare)."""

    def watching(self) -> AbstractContextManager[Observer]:
        """A context for one search."""

    def training(self) -> AbstractContextManager[Watched]:
        """A context for trainings outside of a search."""


@dataclass(frozen=True)
class Session:
    """How one session of a study is run."""

    display: Display
    command: str  # as it was typed; it is stored
    workers: int | None = None  # None: chosen by what fold runs need; 0: in this process
    fold_limit: float | None = None  # seconds that a fold run may take; None: as long as it gets on
    started: float = field(default_factory=time.monotonic)  # when the command began: its budget counts from then
    takeover: bool | None = None  # whether a process that has the study is ended; None: the command cannot
    log: tuple[str, ...] = ()  # the trackers into which it is also written
    cluster: Cluster | None = None  # where folds are trained; None: on this machine

    @property
    def asked(self) -> Asked:
        """The same for a search."""
        workers = () if self.workers is None else ("--workers", str(self.workers))
        limit = () if self.fold_limit is None else ("--fold-limit", f"{self.fold_limit:g}s")
        log = (word for tracker in self.log for word in ("--log", tracker))
        cluster = self.cluster.options if self.cluster else ()
        return Asked(self.command, (*workers, *limit, *log, *cluster), self.started, self.takeover)
