"""The table of a sweep: means over what is done, and intervals that more seeds do not make narrower."""

from __future__ import annotations

from typing import Any

import pytest

from search.results.swept import SweptStudy, swept


def study(data: str = "cats", seed: int = 0, **known: Any) -> SweptStudy:
    values: dict[str, Any] = {"done": True, "metric": "accuracy", "seconds": 10.0, "low": 0.6, "high": 0.9} | known
    return SweptStudy(data, "cnn", seed, f"sweep/{data}-cnn-{seed}", **values)


def test_each_data_set_and_preset_is_one_row_in_order() -> None:
    studies = [study(data, seed, score=0.8) for seed in (0, 1) for data in ("dogs", "cats")]
    sweep = swept(studies)
    assert [(row.data, row.preset, row.done, row.studies) for row in sweep.rows] == [
        ("cats", "cnn", 2, 2),
        ("dogs", "cnn", 2, 2),
    ]
    assert sweep.studies == tuple(studies)


def test_means_are_of_what_is_done_and_the_time_is_of_all() -> None:
    (row,) = swept(
        [
            study(seed=0, score=0.7, tested=0.6),
            study(seed=1, score=0.9, low=0.8, high=1.0, tested=0.8),
            study(seed=2, score=0.1, done=False),
            study(seed=3, score=None, problem="out of memory"),
        ]
    ).rows
    assert (row.done, row.studies, row.seconds) == (2, 4, 40.0)
    assert (row.score, row.low, row.high, row.tested) == pytest.approx((0.8, 0.7, 0.95, 0.7))
    assert row.spread == pytest.approx(0.1 * 2**0.5)


def test_what_is_not_known_is_none() -> None:
    (row,) = swept([study(score=0.7, tested=None)]).rows
    assert (row.score, row.spread, row.tested) == (0.7, None, None)
    (row,) = swept([study(score=0.7, done=False)]).rows
    assert (row.done, row.score, row.low, row.metric) == (0, None, None, "")
