"""Progress bars on a terminal; lines elsewhere, where it takes more than a few seconds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from reports.wording.values import duration
from search.results.progress import Watched

FIRST_LINE, MOST_BETWEEN = 5.0, 60.0  # seconds without a terminal: to the first line; between two, which grow from it
_COUNTED = 7  # characters of '12/40', so that the bar stays where it is


def reading_images(*, quiet: bool) -> AbstractContextManager[Callable[[int, int], None]]:
    """A callback (images read, images in all), drawn as a bar that disappears at the end."""
    return _images("reading images", then="checking images and settings", quiet=quiet)


def predicting(*, quiet: bool) -> AbstractContextManager[Callable[[int, int], None]]:
    """A callback (images predicted, images in all), drawn as such a bar, with the rate."""
    return _images("predicting", _Rate(), quiet=quiet)


def comparing(*, quiet: bool) -> AbstractContextManager[Callable[[int, int], None]]:
    """A callback (images compared, images to compare), drawn as such a bar. Before, a model is converted."""
    return _images("comparing", _Rate(), before="converting", quiet=quiet)


def copying(*, quiet: bool) -> AbstractContextManager[Callable[[int, int], None]]:
    """A callback (rows copied, rows in all), drawn as such a bar, while both sides are compared too."""
    return _images("copying rows", then="comparing both sides", quiet=quiet)


class _Rate(ProgressColumn):
    """Images a second over the last half minute; nothing before there is one."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:,.0f} images/s" if task.speed else "")


@contextmanager
def _images(
    what: str, *more: ProgressColumn, before: str = "", then: str = "", quiet: bool
) -> Iterator[Callable[[int, int], None]]:
    """`before`, `then`: what is done before the first image, and once all images were; empty: nothing.

    Called with (files, 0), an archive is unpacked.
    """
    console = Console(stderr=True, highlight=False)

    def doing(done: int, total: int) -> str:
        return "unpacking" if not total and done else then if then and done >= total else what

    if not console.is_terminal:
        lines = SparseLines(lambda text: None if quiet else console.print(text, soft_wrap=True))
        yield lambda done, total: lines.tell(doing(done, total), done, total)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *more, TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task(before or what, total=None)

        def count(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total or None, description=doing(done, total))

        yield count


class SparseLines:
    """How far something is, as lines for a pipe or a log: none while it is quick, and seldom where it takes hours."""

    def __init__(
        self, write: Callable[[str], object], clock: Callable[[], float] = time.monotonic, *, announces: bool = False
    ) -> None:
        """`announces`: whether a line says that a thing begins."""
        self._write, self._clock, self._announces = write, clock, announces
        self._what, self._began, self._due = "", clock(), FIRST_LINE
        self._first = self._began, 0  # when the first of these was told of, and how many were done

    def tell(self, what: str, done: int, total: int, *, at_most: bool = False) -> None:
        """Write a line if one is due. `total` 0: it is not known; `at_most`: it may be less."""
        now = self._clock()
        if self._what != what:  # of another thing the time left is another
            self._began, self._due = (now, FIRST_LINE) if self._what or self._announces else (self._began, self._due)
            self._what, self._first = what, (now, done)
            if self._announces:
                self._write(_counted(what, done, total, at_most=at_most))
        took = now - self._began
        if took < self._due:
            return
        self._due = took + min(took, MOST_BETWEEN)
        since, before = self._first  # what came before the first, such as reading headers, says nothing of the others
        left = (now - since) * (total - done) / max(done - before, 1) if before < done < total else 0.0
        time_left = f", {'at most ' if at_most else ''}about {duration(left)} left" if left else ""
        self._write(_counted(what, done, total, at_most=at_most) + time_left)


def _counted(what: str, done: int, total: int, *, at_most: bool) -> str:
    """'reading images: 100 of 1,000'."""
    whole = f" of {'at most ' if at_most else ''}{total:,}" if total else ""
    return f"{what}: {done:,}{whole}"


@contextmanager
def training(*, quiet: bool) -> Iterator[Watched]:
    """A bar with the time left; without a terminal a line as each step begins, then as seldom as `SparseLines`."""
    console = Console(stderr=True, highlight=False)
    if not quiet and not console.is_terminal:
        lines = SparseLines(partial(console.print, soft_wrap=True), announces=True)
        told = "", -1

        def line(what: str, number: int, total: int, *, at_most: bool = False) -> None:
            nonlocal told
            if told == (what, number):  # there would be lines of the same number
                return
            told = what, number
            if total:
                lines.tell(what, number, total, at_most=at_most)
            else:
                console.print(what, soft_wrap=True)

        yield line
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[counted]}", justify="right"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=quiet) as bar:
        tasks: dict[str, TaskID] = {}

        def done(what: str, number: int, total: int, *, at_most: bool = False) -> None:
            if what not in tasks:
                for task in tasks.values():
                    bar.remove_task(task)
                tasks.clear()
                tasks[what] = bar.add_task(what, total=None, counted="")
            counted = f"{number} of at most {total}" if at_most else f"{number}/{total}" if total else ""
            bar.update(tasks[what], completed=number, total=total or None, counted=counted.rjust(_COUNTED))

        yield done
