"""After a trial that needed too much memory, the same point comes with half the batch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.jobs import Failure, FailureCause, FoldJob, Job, Outcome
from search.session.plan import Start
from search.session.smaller import after_memory, with_half_the_batch
from spaces import Space
from spaces.parameters import When, choice, integer, real
from storage import TrialRecord, TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, by_formula
from tests.search.session.sessions import dying_after_every_commit

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
