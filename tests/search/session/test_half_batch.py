"""After a trial that needed too much memory, the same point comes with half the batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.jobs import Failure, FailureCause, FoldJob, Job, Outcome
from search.results.progress import Progress
from search.session.half_batch import after_memory, with_half_the_batch
from search.session.plan import Start
from spaces import Space
from spaces.parameters import When, choice, integer, real
from storage import TrialRecord, TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, Instant, by_formula
from tests.search.session.sessions import FOLDS, Hands, Watcher, dying_after_every_commit, new_study, sit, stored

CHOICES = Space((choice("batch_size", 8, 16, 64, default=16), real("rate", 0.1, 1.0, 0.5)))


@pytest.mark.parametrize(("batch", "half"), [(64, 16), (16, 8), (8, None)])
def test_of_several_batches_the_largest_that_is_at_most_half(batch: int, half: int | None) -> None:
    found = with_half_the_batch({"batch_size": batch, "rate": 0.3}, CHOICES)
    assert found == (None if half is None else {"batch_size": half, "rate": 0.3})


@given(st.integers(1, 64), st.integers(1, 64))
def test_of_a_range_half_as_far_as_the_range_goes(low: int, batch: int) -> None:
    space = Space((integer("batch_size", low, 64, 64),))
    found = with_half_the_batch({"batch_size": max(batch, low)}, space)
    if found is None:
        assert max(batch, low) / 2 < low + 1
    else:
        assert low <= found["batch_size"] <= max(batch, low) / 2  # type: ignore[operator]


def test_where_the_family_is_chosen_too_the_batch_of_the_family_is_halved() -> None:
    space = Space((choice("family", "a", "b"), choice("a_batch_size", 8, 16, when=(When("family", ("a",)),))))
    assert with_half_the_batch({"family": "a", "a_batch_size": 16}, space) == {"family": "a", "a_batch_size": 8}
    assert with_half_the_batch({"family": "b"}, space) is None


def trial(number: int, cause: str | None, **params: Any) -> TrialRecord:
    state = TrialState.FAILED if cause else TrialState.COMPLETE
    return TrialRecord(number=number, params=params, origin=Origin.SAMPLER, state=state, cause=cause)


def test_only_memory_is_a_reason() -> None:
    trials = [
        trial(0, None, batch_size=64, rate=0.5),
        trial(1, "out of memory", batch_size=64, rate=0.4),
        trial(2, "error", batch_size=64, rate=0.3),
        trial(3, "out of memory", batch_size=8, rate=0.2),
    ]
    (start,) = after_memory(trials, CHOICES)
    assert (start.origin, dict(start.point)) == (Origin.SMALLER, {"batch_size": 16, "rate": 0.4})


def test_a_point_is_halved_twice_and_each_point_for_itself() -> None:
    space = Space((choice("batch_size", 1, 2, 4, 8, default=8), real("rate", 0.1, 1.0, 0.5)))
    halves = [trial(0, "out of memory", batch_size=8, rate=0.5)]
    halves += [
        replace(trial(number, "out of memory", batch_size=batch, rate=0.5), origin=Origin.SMALLER)
        for number, batch in ((1, 4), (2, 2))
    ]
    other = trial(3, "out of memory", batch_size=8, rate=0.4)
    found = [(start.of, start.point["batch_size"]) for start in after_memory([*halves, other], space)]
    assert found == [(0, 4), (1, 2), (3, 4)]


WITH_BATCH = Space((*SPACE.parameters, choice("batch_size", 8, 16, 64, default=64)))


def needs_memory(job: Job) -> Outcome:
    """Trials with batches of 64 do not fit, nor do those of 16 at depth 1."""
    if isinstance(job, FoldJob):
        batch, depth = job.params["batch_size"], job.params["depth"]
        if batch == 64 or (batch == 16 and depth == 1):
            return Failure(FailureCause.OUT_OF_MEMORY, "9 GB")
    return by_formula(job)


def test_the_search_tries_it_until_it_fits_and_a_session_that_was_killed_does_the_same(tmp_path: Path) -> None:
    starts = [Start(Origin.BASELINE, WITH_BATCH.defaults()), Start(Origin.START, WITH_BATCH.defaults(depth=1))]
    asked = {"space": WITH_BATCH, "starts": starts, "trials": 7}
    broken, whole = dying_after_every_commit(tmp_path, needs_memory, asked)
    assert broken == whole
    tried = [(row[1]["depth"], row[1]["batch_size"], row[2], row[3]) for row in whole[:5]]
    failed, done = TrialState.FAILED, TrialState.COMPLETE
    assert tried == [
        (2, 64, Origin.BASELINE, failed),
        (1, 64, Origin.START, failed),
        (2, 16, Origin.SMALLER, done),
        (1, 16, Origin.SMALLER, failed),
        (1, 8, Origin.SMALLER, done),
    ]


def test_half_the_batch_is_tried_after_the_last_point_of_a_grid_too(tmp_path: Path) -> None:
    """Of batches from 1 to 64 a grid tries five, 48 the last. The fourth slot asks for another before 48 fails."""
    space = Space((integer("depth", 0, 1, 1), integer("batch_size", 1, 64, 64)))

    def answer(job: Job) -> Outcome:
        fails = isinstance(job, FoldJob) and (job.params["depth"], job.params["batch_size"]) == (0, 48)
        return Failure(FailureCause.OUT_OF_MEMORY, "9 GB") if fails else by_formula(job)

    path, watcher = new_study(tmp_path / "study.db"), Watcher()
    asked: dict[str, Any] = {
        "space": space,
        "starts": [Start(Origin.BASELINE, space.defaults())],
        "sampler": ("optuna", "grid"),
    }
    sit(path, Instant(answer, slots=FOLDS + 1), watcher, trials=12, **asked)
    of_grid = [(depth, batch) for depth in (1, 0) for batch in (64, 1, 17, 33, 48)]
    assert [(trial.params["depth"], trial.params["batch_size"]) for trial in stored(path)] == [*of_grid, (0, 24)]
    assert len(watcher.notes) == 1
    sit(few := new_study(tmp_path / "few.db"), Instant(answer, slots=FOLDS + 1), trials=10, **asked)
    assert len(stored(few)) == 10, "no more than were asked for"


def test_halves_come_in_the_order_of_their_trials_as_in_a_session_that_begins_then(tmp_path: Path) -> None:
    """Trial 1 fails before trial 0, while two other starts wait."""
    starts = [Start(Origin.BASELINE, WITH_BATCH.defaults())]
    starts += [Start(Origin.START, WITH_BATCH.defaults(depth=depth)) for depth in (1, 3, 4)]
    path, executor = new_study(tmp_path / "study.db"), Hands()

    def end_one(_: Progress) -> None:
        running = [(job.trial, job.fold) for job, _ in executor.futures if isinstance(job, FoldJob)]
        for index, run in enumerate(running):
            if run != (0, 2) or any(trial == 2 for trial, _ in running):
                fails = run in {(0, 2), (1, 0)}
                executor.end(index, Failure(FailureCause.OUT_OF_MEMORY, "9 GB") if fails else None)
                return

    sit(path, executor, Watcher(act=end_one), space=WITH_BATCH, starts=starts, trials=6)
    tried = [(trial.params["depth"], trial.params["batch_size"]) for trial in stored(path)]
    assert tried == [(2, 64), (1, 64), (3, 64), (4, 64), (2, 16), (1, 16)]
