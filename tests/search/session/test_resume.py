"""Dying and going on equals one go, for every sampler: at the loop, with a real database and results by formula.

`tests/test_killed.py` does the same with processes, signals and training.
"""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest

from search.jobs import DescribeJob, Failure, FailureCause, FoldJob, Job, Outcome
from search.samplers import keras_tuner_sampler, memory, optuna_builders
from search.session.plan import Start
from storage.records import Origin
from tests.search.samplers.contract import EVERY, HYPERBAND, NSGA2, SamplerCase, each, space_of
from tests.search.session.instant import by_formula
from tests.search.session.sessions import Ticking, dying_after_every_commit
from tests.search.session.test_racer import lost, terms


def troubled(job: Job) -> Outcome:
    """As `lost`; and of every 16 points one is no model, one cannot be built, and one comes to nothing in a fold."""
    if not isinstance(job, DescribeJob | FoldJob):
        return lost(job)
    kind = zlib.crc32(repr(sorted(job.params.items())).encode()) % 16
    if isinstance(job, FoldJob):
        return Failure(FailureCause.OUT_OF_MEMORY, "it needed more") if (kind, job.fold) == (0, 1) else lost(job)
    if kind == 1:
        return Failure(FailureCause.REFUSED, "it is none")
    return Failure(FailureCause.MODEL, "its output is wrong") if kind == 2 else lost(job)


@pytest.fixture
def early(monkeypatch: pytest.MonkeyPatch) -> None:
    """What samplers do after many trials they do after few: learn, go from generation to generation, forget."""
    for module, name, value in (
        (memory, "LATEST", 9),
        (memory, "LEADING", 2),
        (memory, "FORGET_EVERY", 4),
        (optuna_builders, "POPULATION", 4),
        (keras_tuner_sampler, "MAX_INITIAL", 10),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.mark.first(1)
@pytest.mark.usefixtures("early")
@pytest.mark.parametrize("sampler", each(EVERY, quick=[SamplerCase("optuna", "tpe"), HYPERBAND, NSGA2]))
def test_dying_after_every_commit_equals_one_go(tmp_path: Path, sampler: SamplerCase) -> None:
    """In a race where there can be one, with points too large, failures, and points to try that come later."""
    space = space_of(sampler)
    starts: list[Any] = [Start(Origin.BASELINE, space.defaults()), Start(Origin.START, space.defaults(depth=1))]
    more = [*starts, *(Start(Origin.TRY, space.defaults(depth=depth, norm="batch")) for depth in (1, 4))]
    race = None if sampler.second or sampler == HYPERBAND else terms(epochs=True)
    asked: dict[str, Any] = {
        "sampler": (sampler.engine, sampler.name),
        "second": sampler.second,
        "space": space,
        "max_parameters": 400,
        "race": race,
        "references": ("majority",),
    }
    first, then = {"starts": starts, "trials": 14}, {"starts": more, "trials": 19}
    broken, whole = dying_after_every_commit(tmp_path, troubled, {**asked, **first}, {**asked, **then})
    assert broken == whole
    numbers, _, origins, states, _, _, redraws = zip(*(row[:7] for row in whole), strict=True)
    assert len(numbers) == 19
    assert set(origins) == {Origin.BASELINE, Origin.START, Origin.TRY, Origin.SAMPLER}
    assert len(set(states)) > 1, "nothing failed or was given up"
    assert any(redraws), "nothing was drawn anew"


def test_hours_are_a_total_over_all_deaths_those_of_folds_that_failed_among_them(tmp_path: Path) -> None:
    def failing(job: Job) -> Outcome:
        fails = isinstance(job, FoldJob) and job.trial % 2 and job.fold == 1
        return Failure(FailureCause.OUT_OF_MEMORY, "it needed more") if fails else by_formula(job)

    broken, whole = dying_after_every_commit(tmp_path, failing, {"trials": 50, "seconds": 128}, executor=Ticking)
    assert broken == whole
    assert len(whole) == 5  # with 3 folds, or 1 and one that failed, of ten seconds each
