"""How long a session waits for a database that another program has locked, and what it tells."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from search.session.session import FIRST_TOLD, LOCKED_AT_END, LOCKED_AT_STOP, MAX_LOCKED, Session, mark_failed
from search.session.signals import StopRequest
from storage import Store
from tests.search.session.instant import Instant
from tests.search.session.sessions import RUN, Watcher, new_study


def session(store: Store, watcher: Watcher) -> Session:
    """One whose clock stands at 0."""
    return Session(store, store.start_run(RUN), Instant(), watcher, StopRequest(), clock=lambda: 0.0)


@pytest.mark.parametrize(
    ("budget", "asked", "most"),
    [(None, False, MAX_LOCKED), (9.0, False, MAX_LOCKED), (0.0, False, LOCKED_AT_END), (0.0, True, LOCKED_AT_STOP)],
)
def test_a_lock_is_waited_for_even_when_the_time_is_over_or_a_stop_is_asked(
    tmp_path: Path, budget: float | None, most: float, *, asked: bool
) -> None:
    with Store.open(new_study(tmp_path / "study.db")) as store:
        one = session(store, Watcher())
        one.stop.asked = asked
        assert one.wait_for_lock(most - 1, budget=budget)
        assert not one.wait_for_lock(most, budget=budget)


def test_each_lock_is_told_of_ever_more_rarely(tmp_path: Path) -> None:
    watcher = Watcher()
    with Store.open(new_study(tmp_path / "study.db")) as store:
        one = session(store, watcher)
        for lock in (1, 2):
            for waited in range(1, 45):
                one.wait_for_lock(float(waited), budget=None)
            assert len(watcher.notes) == 4 * lock  # after 5, 10, 20 and 40 seconds
    assert f"has locked it for {FIRST_TOLD:.0f} s" in watcher.notes[4]


def test_what_failed_over_a_lock_does_not_wait_for_it_again(tmp_path: Path) -> None:
    path = new_study(tmp_path / "study.db")
    waited: list[float] = []
    with Store.open(path) as store, closing(sqlite3.connect(path, isolation_level=None)) as other:

        def patient(seconds: float) -> bool:
            waited.append(seconds)
            return len(waited) < 3

        store.patient = patient
        number = store.start_run(RUN)
        other.execute("BEGIN IMMEDIATE")
        mark_failed(store, number, 1.0)
        assert not waited and store.runs()[number].outcome is None
        other.execute("ROLLBACK")
        mark_failed(store, number, 1.0)
        assert store.runs()[number].outcome == "failed"
