"""Which fold runs are under way, and which come next."""

from __future__ import annotations

import numpy as np

from search.jobs import FitOptions, FoldJob
from search.session.under_way import UnderWay
from storage.records import Origin, TrialRecord
from tests.storage.examples import fold

ROWS = np.arange(2, dtype=np.int32)
BASELINE, FIRST, SECOND = (
    TrialRecord(number, {}, Origin.SAMPLER if number else Origin.BASELINE) for number in range(3)
)


def job(trial: int, fold: int) -> FoldJob:
    return FoldJob(trial, 0, fold, {}, ROWS, ROWS, 1, FitOptions(1))


def missing(under_way: UnderWay, *trials: TrialRecord, without: int | None = None) -> list[object]:
    found = under_way.missing(trials, 3, lambda trial: trial.number != without)
    return [(trial.number, fold) for trial, fold in found]


def test_the_folds_of_the_first_open_trial_come_first_without_those_that_are_stored_or_under_way() -> None:
    under_way = UnderWay()
    under_way.begun([job(0, 1)])
    assert missing(under_way, BASELINE, FIRST) == [(0, 0), (0, 2)]
    done = TrialRecord(1, {}, Origin.SAMPLER, folds=(fold(1, 0),))
    assert missing(under_way, done, SECOND) == [(1, 1), (1, 2)]


def test_a_trial_for_which_there_is_no_time_is_passed_over() -> None:
    assert missing(UnderWay(), FIRST, SECOND, without=1) == [(2, 0), (2, 1), (2, 2)]
    assert missing(UnderWay(), FIRST, without=1) == []


def test_what_ended_is_not_under_way_any_more() -> None:
    under_way = UnderWay()
    under_way.begun([job(1, 0), job(2, 0), job(1, 2)])
    assert sorted(under_way.runs) == [(1, 0), (1, 2), (2, 0)]
    under_way.ended([job(1, 0), job(2, 0)])
    assert [*under_way.runs] == [(1, 2)] and [*under_way.trials] == [1]
    under_way.ended([job(1, 2)])
    assert not [*under_way.runs, *under_way.trials]
