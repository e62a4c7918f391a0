"""A search whose results are on a server: the same rows, whatever happens to the server meanwhile."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from search.jobs import Job, Outcome
from search.results.progress import Ending
from search.session.session import FIRST_TOLD
from storage import Store
from tests.search.session.instant import Instant, by_formula
from tests.search.session.sessions import Died, Mortal, Watcher, new_study, rows, sit, stored
from tests.search.session.test_locked import session
from tests.storage import servers


@pytest.fixture(scope="module")
def server() -> Iterator[servers.Server]:
    yield from servers.serving()


@pytest.mark.slow
def test_killed_and_restarted_five_times_during_a_search_the_server_loses_nothing(
    tmp_path: Path, server: servers.Server
) -> None:
    whole = new_study(tmp_path / "whole.db")
    assert sit(whole, Instant(by_formula), trials=12) is Ending.FINISHED
    path = new_study(tmp_path / "study.db", server=server.url())
    restarts: list[threading.Thread] = []

    def answer(job: Job) -> Outcome:
        if len(restarts) < 5 and not any(restart.is_alive() for restart in restarts):
            restarts.append(threading.Thread(target=server.restart))
            restarts[-1].start()
        time.sleep(0.03 * (1 + len(restarts)))  # so that it is down at another step each time
        return by_formula(job)

    assert sit(path, Instant(answer), trials=12) is Ending.FINISHED
    for restart in restarts:
        restart.join()
    assert len(restarts) == 5
    assert rows(stored(path)) == rows(stored(whole))
    assert len(stored(path)) == 12


def test_a_search_that_died_after_every_commit_goes_on_as_if_it_had_not(tmp_path: Path, server: servers.Server) -> None:
    whole, broken = new_study(tmp_path / "whole.db"), new_study(tmp_path / "broken.db", server=server.url())
    sit(whole, Instant(by_formula), trials=4)
    died = 0
    while True:
        try:
            sit(broken, Instant(by_formula), kind=Mortal, trials=4)
            break
        except Died:
            died += 1
    assert died > 10
    assert rows(stored(broken)) == rows(stored(whole))


def test_a_server_that_is_away_is_told_of_by_name(tmp_path: Path, server: servers.Server) -> None:
    watcher = Watcher()
    with Store.open(new_study(tmp_path / "study.db", server=server.url())) as store:
        one = session(store, watcher)
        assert one.wait_for_lock(FIRST_TOLD, budget=None)
    assert watcher.notes == [
        f"{tmp_path / 'study.db'}: its server cannot be reached for 5 s; waiting, and what is committed is safe"
    ]
