"""A session as a value: what searching and finishing work with, and the time spent."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from search.executors.base import Executor
from search.results.progress import Ending, Observer
from search.session.signals import StopRequest
from storage import StorageError, Store

FIRST_TOLD = 5.0  # seconds for which a database may be locked without a word
MAX_LOCKED = 3600.0  # and at all
LOCKED_AT_END = 30.0  # once the time is over: the last results are written then
LOCKED_AT_STOP = 10.0  # once a signal asked to stop


@dataclass(frozen=True)
class Asked:
    """How a session was asked for."""

    command: str  # as it was typed; it is stored
    options: tuple[str, ...] = ()  # of it, those that the command needs which goes on
    started: float | None = None  # the `time.monotonic` from which its time counts; None: when it begins
    takeover: bool | None = None  # whether a process that has the study is ended, see `leased`; None: no such option

    def after(self, waited: bool) -> Asked:
        """For a session that `waited` for its study: the time until then was the other's, which has counted it."""
        return replace(self, started=None) if waited else self


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
    _told_of_lock: float = field(init=False, default=FIRST_TOLD)  # seconds of waiting after which it is told again
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

    def wait_for_lock(self, waited: float, *, budget: float | None) -> bool:
        """Whether to wait on for the database, which is locked, or its server away, for `waited` seconds; tells of it.

        An hour; less once the session's time is over (`budget`: seconds of all sessions), or it is asked to stop.
        """
        if waited < FIRST_TOLD:  # another lock than that of which it told
            self._told_of_lock = FIRST_TOLD
        over = budget is not None and self.spent >= budget
        if waited >= (LOCKED_AT_STOP if self.stop.asked else LOCKED_AT_END if over else MAX_LOCKED):
            return False
        if waited >= self._told_of_lock:
            self._told_of_lock = 2 * waited
            self.observer.note(
                f"{self.store.path}: {self.store.obstacle} for {waited:.0f} s; waiting, and what is committed is safe"
            )
        return True


def mark_failed(store: Store, run_id: int, seconds: float) -> None:
    """Store that a session failed, if it has not ended.

    Not where the database is locked: it was waited for before, maybe for an hour.
    """
    store.patient = lambda _: False
    with contextlib.suppress(StorageError):
        store.end_run(run_id, Ending.FAILED.value, seconds)
