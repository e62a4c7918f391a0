"""Dying and going on equals one go, for every sampler: at the loop, with a real database and results by formula."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search import oracles, proposers
from search.jobs import DescribeJob, Failure, FoldJob, FoldResult, Job, Outcome
from search.race import BEHIND, BEHIND_EARLY
from storage import TrialState
from tests.search.instant import SPACE
from tests.search.samplers import HYPERBAND, INSTALLED, Sampler
from tests.search.sittings import STUCK_THERE, dying_after_every_commit
from tests.search.test_racing import graded, lost, terms


def troubled(job: Job) -> Outcome:
    """As `lost`; and some points cannot be built or trained, for every cause that a search treats differently."""
    kind = int(float(job.params["rate"]) * 1e7) % 12 if isinstance(job, DescribeJob | FoldJob) else 0
    if isinstance(job, DescribeJob) and job.params != SPACE.defaults():
        if kind == 1:
            return Failure("refused", "there is no such model")
        if kind == 2:
            return Failure("model", "it has the wrong output")
    if isinstance(job, FoldJob) and job.trial and job.fold == kind - 3:
        return Failure("not finite", "the loss was nan")
    return lost(job)


@pytest.fixture
def sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a sampler does, within few trials: learn, have generations, forget."""
    for module, name, value in (
        (proposers, "LATEST", 12),
        (proposers, "LEADING", 3),
        (proposers, "FORGET_EVERY", 5),
        (proposers, "POPULATION", 6),
        (oracles, "MOST_INITIAL", 6),
    ):
        monkeypatch.setattr(module, name, value)


@pytest.mark.usefixtures("sooner")
@pytest.mark.parametrize("sampler", INSTALLED)
def test_dying_after_every_commit_equals_one_go(tmp_path: Path, sampler: Sampler) -> None:
    space = sampler.space()
    starts: list[Any] = [("baseline", space.defaults()), ("start", space.defaults(depth=1))]
    asked: dict[str, Any] = {
        "sampler": sampler[:2],
        "second": sampler.second,
        "space": space,
        "max_parameters": 400,
        "race": None if sampler.second or sampler == HYPERBAND else terms(epochs=True),
        "starts": starts,
        "references": ("majority",),
    }
    more = [*starts, *(("try", space.defaults(depth=d, norm="batch")) for d in (0, 1, 4))]
    broken, whole, deaths = dying_after_every_commit(
        tmp_path, troubled, {**asked, "trials": 18}, {**asked, "starts": more, "trials": 28}
    )
    assert broken == whole
    print(deaths, len(whole), [row[3:5] for row in whole], sum(r[6] for r in whole))
