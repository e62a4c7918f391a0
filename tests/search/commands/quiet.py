"""A display that remembers what it was shown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from search.commands.session import Session
from search.data.findings import Findings
from search.results.progress import Observer, Watched, unwatched
from tests.search.session.sessions import Watcher


class Remembering:
    """What a command showed, in order."""

    def __init__(self) -> None:
        self.studies: list[tuple[str, bool]] = []
        self.sentences: list[str] = []
        self.images: list[int] = []  # of each folder that was read

    def study(self, folder: str, *, going_on: bool) -> None:
        self.studies.append((folder, going_on))

    def prepared(self, findings: Findings, sentences: Sequence[str]) -> None:
        self.images.append(findings.images)
        self.sentences += sentences

    @contextmanager
    def reading(self) -> Iterator[Callable[[int, int], None]]:
        yield lambda _done, _total: None

    @contextmanager
    def predicting(self) -> Iterator[Callable[[int, int], None]]:
        yield lambda _done, _total: None

    @contextmanager
    def converting(self, format_: str) -> Iterator[Callable[[int, int], None]]:
        self.sentences.append(format_)
        yield lambda _done, _total: None

    @contextmanager
    def watching(self) -> Iterator[Observer]:
        yield Watcher()

    @contextmanager
    def training(self) -> Iterator[Watched]:
        yield unwatched


def session(display: Remembering) -> Session:
    return Session(display, "search run", workers=0)
