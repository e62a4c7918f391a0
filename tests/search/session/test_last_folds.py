"""Trials that could be chosen get their missing folds before others are confirmed on new ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.jobs import DescribeJob, Description, FoldJob, Job, Outcome
from search.session.budget import Reserve
from search.session.last_folds import last_folds
from search.session.plan import Start
from search.session.prices import SPEED
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
    executor, _ = searched(path, 45, Reserve(making=10.5, confirming=10.0))
    second = stored(path)[1]
    assert (len(second.folds), second.cause) == (2, OUT_OF_TIME)
    assert executor.now == 34


def test_what_the_model_needs_is_left(path: Path) -> None:
    _, watcher = searched(path, 45, Reserve(making=11.5, confirming=10.0))
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
