"""A session as a value: what searching and finishing work with, and the time spent."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from search.executors.base import Executor
from search.results.progress import Observer
from search.session.signals import StopRequest
from storage import Store


@dataclass(frozen=True)
class Asked:
    """How a session was asked for."""

    command: str  # as it was typed; it is stored
    options: tuple[str, ...] = ()  # of it, those that the command needs which goes on
    started: float | None = None  # the `time.monotonic` from which its time counts; None: when it begins


@dataclass
class Session:
    """One session of a study."""

    store: Store
    run_id: int  # of this session in the store
    executor: Executor  # prepared
    observer: Observer
    stop: StopRequest
    clock: Callable[[], float] = time.monotonic  # seconds
    started: float | None = None  # on that clock; None: when this object is created
    _started: float = field(init=False)
    _spent_before: float = field(init=False)  # seconds of all sessions before

    def __post_init__(self) -> None:
        self._started = self.clock() if self.started is None else self.started
        self._spent_before = self.store.spent_seconds()

    @property
    def seconds(self) -> float:
        """Of this session so far."""
        return self.clock() - self._started

    @property
    def spent(self) -> float:
        """Seconds of all sessions so far."""
        return self._spent_before + self.seconds
