"""A running command in a terminal: lines, progress bars, a live table of the search. Elsewhere plain lines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from reports.terminal.images import images_in_words
from reports.terminal.live import watching
from reports.terminal.output import Output
from reports.terminal.progress_bar import comparing, copying, predicting, reading_images, training
from search.data.findings import Findings
from search.results.progress import Observer, Progress, Watched
from storage.records import TrialRecord, TrialState

OnBest = Callable[[TrialRecord, Progress], None]


@dataclass(frozen=True)
class TerminalDisplay:
    """Implements `search.commands.session.Display` on standard output; with `quiet` it prints nothing."""

    quiet: bool = False
    on_best: OnBest | None = None  # called when a trial is better than all before it

    def study(self, folder: str, *, going_on: bool) -> None:
        """Print the study's folder."""
        self._say([f"study: {folder}" + (" (going on)" if going_on else "")])

    def prepared(self, findings: Findings, sentences: Sequence[str]) -> None:
        """Print what was read, what was left out, by name, and what was decided."""
        self._say([*images_in_words(findings), *sentences])

    def reading(self) -> AbstractContextManager[Callable[[int, int], None]]:
        """A bar that goes away."""
        return reading_images(quiet=self.quiet)

    def predicting(self) -> AbstractContextManager[Callable[[int, int], None]]:
        """A bar with the rate that goes away."""
        return predicting(quiet=self.quiet)

    def converting(self, format_: str) -> AbstractContextManager[Callable[[int, int], None]]:
        """A line of what is done, then such a bar."""
        self._say([f"converting to {format_}, then comparing it with the study's model"])
        return comparing(quiet=self.quiet)

    def copying(self) -> AbstractContextManager[Callable[[int, int], None]]:
        """A bar that goes away."""
        return copying(quiet=self.quiet)

    def watching(self) -> AbstractContextManager[Observer]:
        """A live table on a terminal, else one line per trial."""
        return watching(quiet=self.quiet) if self.on_best is None else _telling(self.quiet, self.on_best)

    def training(self) -> AbstractContextManager[Watched]:
        """A bar that goes away."""
        return training(quiet=self.quiet)

    def _say(self, lines: Sequence[str]) -> None:
        if not self.quiet:
            out = Output()
            for line in lines:
                out.say(line)


@contextmanager
def _telling(quiet: bool, on_best: OnBest) -> Iterator[Observer]:
    with watching(quiet=quiet) as observer:
        yield _Telling(observer, on_best)


@dataclass(frozen=True)
class _Telling:
    """An observer like another one, which also tells of a new best trial."""

    observer: Observer
    on_best: OnBest

    def note(self, text: str) -> None:
        self.observer.note(text)

    def update(self, progress: Progress) -> None:
        self.observer.update(progress)

    def trial_closed(self, trial: TrialRecord, progress: Progress) -> None:
        self.observer.trial_closed(trial, progress)
        others = (other for other in progress.trials if other.number != trial.number)
        if trial.number == progress.best and any(other.state == TrialState.COMPLETE for other in others):
            self.on_best(trial, progress)
