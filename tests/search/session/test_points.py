"""Which points a search tries, and in what order; with results by formula."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from search.results.progress import Ending
from search.session.plan import Start
from spaces import Space
from spaces.parameters import choice, integer
from storage import TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, Instant
from tests.search.session.sessions import Watcher, new_study, sit, stored


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_study(tmp_path / "study.db")


def test_the_baseline_is_trial_0_known_good_points_follow_then_the_sampler(path: Path) -> None:
    sit(path, Instant())
    trials = stored(path)
    assert trials[0].params == SPACE.defaults()
    assert trials[1].params == SPACE.defaults(depth=1)
    assert [t.origin for t in trials] == [Origin.BASELINE, Origin.START] + [Origin.SAMPLER] * 4


def test_no_point_is_tried_twice(path: Path) -> None:
    sit(path, Instant(), trials=40)
    assert len({str(sorted(t.params.items())) for t in stored(path)}) == 40


FEW = Space((integer("depth", 0, 3, 2), choice("norm", "none", "batch")))
"""Eight points."""

GRID: dict[str, Any] = {
    "sampler": ("optuna", "grid"),
    "space": FEW,
    "starts": [Start(Origin.BASELINE, FEW.defaults())],
    "trials": 99,
}


def test_when_no_point_is_left_the_search_is_finished_and_says_so(path: Path) -> None:
    watcher = Watcher()
    assert sit(path, Instant(), watcher, **GRID) is Ending.FINISHED
    trials = stored(path)
    assert {str(t.params) for t in trials} == {
        str({"depth": d, "norm": n}) for d in range(4) for n in ("none", "batch")
    }
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    assert len(trials) == 8
    assert watcher.notes == ["every combination of the grid has been tried; the search is finished with trial 7."]
    again = Instant()
    assert sit(path, again, **GRID) is Ending.FINISHED
    assert again.jobs == []


def test_when_the_last_points_left_cannot_be_trained_the_search_is_finished_too(path: Path) -> None:
    """A model has 100 parameters and 100 more a level of depth: depth 3 is too large, and stands last."""
    watcher = Watcher()
    assert sit(path, Instant(), watcher, max_parameters=300, **GRID) is Ending.FINISHED
    assert {t.params["depth"] for t in stored(path)} == {0, 1, 2}
    assert len(watcher.notes) == 1
    assert all(t.state == TrialState.COMPLETE for t in stored(path))
