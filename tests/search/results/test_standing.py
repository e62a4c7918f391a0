"""All scores that say how good the model is, for one axis."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.results.standing import What, disagree, standings
from search.stats.estimate import wilson
from tests.studies import a_test, example, judged, references


def test_the_models_own_scores_come_first_then_plain_methods_the_start_and_guessing() -> None:
    rows = standings(judged(a_test(0.7, 0.6, 0.8)))
    kinds = [What.EXPECTED, What.TESTED, What.REFERENCE, What.REFERENCE, What.START, What.GUESS]
    assert [row.what for row in rows] == kinds
    assert [row.value for row in rows] == pytest.approx([0.86, 0.7, 0.84, 0.73, rows[4].value, 0.5])
    assert rows[2].name == "linear probe on a pre-trained network"


def test_a_guess_has_no_interval_and_all_else_contains_its_value() -> None:
    *rows, guess = standings(judged())
    assert (guess.low, guess.high) == (None, None)
    for row in rows:
        assert row.low is not None and row.high is not None and row.low < row.value < row.high


def test_intervals_of_plain_methods_are_of_the_images_in_the_folds() -> None:
    row = next(row for row in standings(judged()) if row.what == What.REFERENCE)
    assert (row.low, row.high) == pytest.approx(wilson(0.84, 110))
    assert row.images == 110


def test_a_metric_that_is_no_share_has_points_without_intervals() -> None:
    data = replace(example(metric="log_loss"), references=references(linear_probe=0.4)).data()
    assert all(row.low is None for row in standings(data))


@pytest.mark.parametrize(("low", "high", "apart"), [(0.6, 0.79, True), (0.6, 0.81, False), (0.92, 0.99, True)])
def test_expected_and_tested_disagree_where_their_intervals_have_nothing_in_common(
    low: float, high: float, apart: bool
) -> None:
    assert disagree(judged(a_test((low + high) / 2, low, high))) is apart
    assert not disagree(judged())
