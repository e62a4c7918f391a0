"""How a command is at work: what it shows meanwhile, and with how many workers. What it found is its result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from search.data.findings import Findings
from search.results.progress import Observer


class Display(Protocol):
    """Shows what goes on, or nothing at all."""

    def study(self, folder: str, *, going_on: bool) -> None:
        """Which study a run is of, and whether it has begun already."""

    def prepared(self, findings: Findings, sentences: Sequence[str]) -> None:
        """What was read, and what was decided for the user."""

    def reading(self) -> AbstractContextManager[Callable[[int, int], None]]:
        """Around the reading of images, which is told (images read, images in all)."""

    def watching(self) -> AbstractContextManager[Observer]:
        """Around one search."""

    def training(self) -> AbstractContextManager[Callable[[str, int, int], None]]:
        """Around the trainings of a diagnosis, which are told (what is done, trainings done, in all)."""


@dataclass(frozen=True)
class Session:
    """How one session of a study is run."""

    display: Display
    command: str  # as it was typed, for the record
    workers: int | None = None  # None: one a GPU, else one a core; 0: in this process
