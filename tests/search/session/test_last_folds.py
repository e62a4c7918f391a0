"""Trials that could be chosen get their missing folds before others are confirmed on new ones."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.jobs import DescribeJob, Description, FoldJob, Job, Outcome
from search.results.progress import Ending, Progress
from search.session.budget import COMBINING, RESTARTING, Reserve
from search.session.last_folds import last_folds
from search.session.plan import Start
from search.session.prices import SPEED
from search.session.signals import StopRequest
from search.stats.selection import Wish
from spaces.layers import Layer
from storage import OUT_OF_TIME, TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, by_formula
from tests.search.session.sessions import Ticking, Watcher, new_study, sit, stored
from tests.search.stats.test_decide import ALL, all_of, first, of_shares

# The decision


def test_a_trial_that_could_be_chosen_gets_its_folds_and_the_cheapest_first() -> None:
    made = of_shares([0.8, 0.81, 0.81, 0.81], [ALL, first(1), first(2), first(3)])
    assert last_folds(made, all_of(made), {1: 9.0, 2: 1.0, 3: 4.0}, Wish()) == (2, 3, 1)
    assert last_folds(made, all_of(made), {3: 4.0}, Wish()) == (3,), "the others are closed"


def test_a_trial_that_is_out_of_reach_does_not_get_them() -> None:
    made = of_shares([0.9, 0.6, 0.9], [ALL, first(2), first(1)])
    assert last_folds(made, all_of(made), {1: 1.0, 2: 1.0}, Wish()) == (2,)


def test_one_that_is_no_candidate_does_not_get_them_either() -> None:
    made = of_shares([0.8, 0.9], [ALL, first(1)])
    assert last_folds(made, np.array([True, False]), {1: 1.0}, Wish()) == ()
    assert last_folds(made, np.zeros(2, bool), {1: 1.0}, Wish()) == ()


# In a search


SAVED = 1.8  # seconds that are kept back to save a network, as fast as fold runs are here


def frozen(job: Job) -> Outcome:
    """As by formula; of each trial the features have to be computed first, and that takes nearly all of its time."""
    if not isinstance(job, DescribeJob):
        return by_formula(job)
    head = Layer("output", "Dense", (2,), 100, "2 units")
    return Description(100, 1600, (head,), macs=2 * SPEED, views=(f"view {job.params['depth']}",))


def takes(job: FoldJob) -> float:
    """A second, but the first fold of trial 1 takes half a minute."""
    return 30.0 if (job.trial, job.fold) == (1, 0) else 1.0


def searched(path: Path, seconds: float, reserve: Reserve, **changes: Any) -> tuple[Ticking, Watcher]:
    points = [Start(Origin.BASELINE, dict(SPACE.defaults(depth=1))), Start(Origin.START, dict(SPACE.defaults(depth=2)))]
    executor, watcher = Ticking(frozen, takes=takes), Watcher()
    asked: dict[str, Any] = {"starts": points, "trials": 2, "seconds": seconds, "reserve": lambda _: reserve}
    sit(path, executor, watcher, **(asked | changes))
    return executor, watcher


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_study(tmp_path / "study.db")


def test_cheap_folds_are_trained_in_the_time_that_was_kept_back_for_confirming(path: Path) -> None:
    """After 33 of 45 s the search is over: 10 s are for confirming and 5 for the model. Two folds of a second fit."""
    executor, watcher = searched(path, 45, Reserve(making=5.0, confirming=10.0))
    first, second = stored(path)
    assert (len(first.folds), len(second.folds)) == (3, 3)
    assert second.state == TrialState.COMPLETE
    assert executor.now == 35
    assert watcher.notes == ["trial 1 could be chosen: folds that it lacks come first"]


def test_as_many_as_there_is_time_for(path: Path) -> None:
    executor, _ = searched(path, 45, Reserve(making=10.5 - SAVED, confirming=10.0))
    second = stored(path)[1]
    assert (len(second.folds), second.cause) == (2, OUT_OF_TIME)
    assert executor.now == 34


def test_what_the_model_needs_is_left_with_care(path: Path) -> None:
    """Of 1.1 s a fold that is expected to take one is not begun."""
    _, watcher = searched(path, 45, Reserve(making=10.9 - SAVED, confirming=10.0))
    second = stored(path)[1]
    assert (len(second.folds), second.cause) == (1, OUT_OF_TIME)
    assert not watcher.notes


def test_they_are_the_folds_that_more_time_would_have_trained(path: Path, tmp_path: Path) -> None:
    searched(path, 45, Reserve(making=5.0, confirming=10.0))
    (tmp_path / "other").mkdir()
    other = new_study(tmp_path / "other" / "study.db")
    searched(other, 450, Reserve())
    assert [[f.seed for f in trial.folds] for trial in stored(path)] == [
        [f.seed for f in trial.folds] for trial in stored(other)
    ]


# Long ones, and a request to stop


@dataclass
class Waiting(Ticking):
    """One fold run, the second of trial 1, does not end by itself."""

    stop: StopRequest | None = None  # is asked to stop when that fold run begins
    future: Future[Outcome] | None = None  # of it
    job: FoldJob | None = None

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        if not isinstance(job, FoldJob) or (job.trial, job.fold) != (1, 1):
            return super().submit(job)
        if self.stop:
            self.stop.asked = True
        self.job, self.future = job, Future()
        self.future.set_running_or_notify_cancel()
        return self.future


def long_ones(job: FoldJob) -> float:
    """Six seconds, but the first fold of trial 1 takes half a minute: after 48 s there are four folds."""
    return 30.0 if (job.trial, job.fold) == (1, 0) else 6.0


@pytest.mark.parametrize(("left", "folds"), [(10, 1), (13, 2), (20, 3)])
def test_before_the_model_is_made_there_is_time_to_start_the_worker_of_a_long_one_again(
    path: Path, left: int, folds: int
) -> None:
    """A fold of 6 s, a fifth more with care, and 5 s to start again."""
    sit(path, Ticking(frozen, takes=long_ones), **asked_for(left))
    assert len(stored(path)[1].folds) == folds


def test_a_long_one_that_is_slow_is_ended_in_time_for_that(path: Path) -> None:
    executor = Waiting(frozen, takes=long_ones)
    watcher = Watcher(act=lambda _: executor.__setattr__("now", executor.now + (4 if executor.future else 0)))
    sit(path, executor, watcher, **asked_for(left=13))
    assert 48 + 13 - RESTARTING <= executor.now < 48 + 13
    assert stored(path)[1].cause == OUT_OF_TIME


def asked_for(left: int) -> dict[str, Any]:
    """So that the search is over after 48 of 70 s, with so many seconds left before the model has to be made."""
    points = [Start(Origin.BASELINE, dict(SPACE.defaults(depth=1))), Start(Origin.START, dict(SPACE.defaults(depth=2)))]
    networks = 2 * SAVED  # of both trials: they are one model once the second has enough folds
    if of_three_folds := left > 18:
        networks += COMBINING * networks
    making = 70.0 - 48.0 - left - networks
    reserve = Reserve(making=making, confirming=18.0 if of_three_folds else 12.0)
    return {"starts": points, "trials": 2, "seconds": 70.0, "reserve": lambda _: reserve}


def test_asked_to_stop_meanwhile_a_fold_has_time_to_end_and_the_next_session_trains_the_others(path: Path) -> None:
    executor = Waiting(frozen, takes=takes, stop=(stop := StopRequest()))

    def end_it(_: Progress) -> None:
        if executor.job and executor.future and not executor.future.done() and "stopping" in watcher.notes[-1]:
            executor.future.set_result(by_formula(executor.job))

    points = [Start(Origin.BASELINE, dict(SPACE.defaults(depth=1))), Start(Origin.START, dict(SPACE.defaults(depth=2)))]
    reserve = Reserve(making=5.0, confirming=10.0)
    asked: dict[str, Any] = {"starts": points, "trials": 2, "seconds": 45, "reserve": lambda _: reserve}
    watcher = Watcher(act=end_it)
    assert sit(path, executor, watcher, stop, **asked) is Ending.STOPPED
    assert watcher.notes[-1] == "stopping: running folds get 10 s to end; ask again to leave at once"
    second = stored(path)[1]
    assert (second.state, len(second.folds)) == (TrialState.RUNNING, 2)
    assert sit(path, Ticking(frozen, takes=takes), **asked) is Ending.FINISHED
    assert (stored(path)[1].state, len(stored(path)[1].folds)) == (TrialState.COMPLETE, 3)
