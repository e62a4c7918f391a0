"""A command at work, in a terminal: lines and bars, a live table of a search; plain lines anywhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from reports.terminal.images import images_in_words
from reports.terminal.live import watching
from reports.terminal.output import Output
from reports.terminal.progress_bar import reading_images, training
from search.data.findings import Findings
from search.results.progress import Observer


@dataclass(frozen=True)
class TerminalDisplay:
    """What `search.commands.session.Display` asks for, on standard output; with `quiet` nothing."""

    quiet: bool = False

    def study(self, folder: str, *, going_on: bool) -> None:
        """Say which study it is."""
        self._say([f"study: {folder}" + (" (going on)" if going_on else "")])

    def prepared(self, findings: Findings, sentences: Sequence[str]) -> None:
        """Say what was read, each thing left out by name, and what was decided."""
        self._say([*images_in_words(findings), *sentences])

    def reading(self) -> AbstractContextManager[Callable[[int, int], None]]:
        """A bar that goes away."""
        return reading_images(quiet=self.quiet)

    def watching(self) -> AbstractContextManager[Observer]:
        """A live table on a terminal, else a line a trial."""
        return watching(quiet=self.quiet)

    def training(self) -> AbstractContextManager[Callable[[str, int, int], None]]:
        """A bar that goes away."""
        return training(quiet=self.quiet)

    def _say(self, lines: Sequence[str]) -> None:
        if not self.quiet:
            out = Output()
            for line in lines:
                out.say(line)
