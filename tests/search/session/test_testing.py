"""Which testing images are predicted where there is no time for all of them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.session.testing import MIN_TESTED, TESTING_SHARE, kept_for_testing, rows_to_predict

COUNTS = st.lists(st.integers(1, 200), min_size=2, max_size=6)


def images(counts: list[int]) -> tuple[NDArray[np.bool_], NDArray[np.int16]]:
    """(testing, labels) of so many testing images of each class among as many others, in a mixed order."""
    labels = np.repeat(np.arange(2 * len(counts)) % len(counts), [*counts, *counts]).astype(np.int16)
    testing = np.arange(len(labels)) < sum(counts)
    order = np.random.default_rng(0).permutation(len(labels))
    return testing[order], labels[order]


@given(COUNTS, st.floats(0, 1e6), st.integers(0, 99))
def test_as_many_are_tested_as_there_is_time_for_and_some_in_any_case(
    counts: list[int], time: float, seed: int
) -> None:
    testing, labels = images(counts)
    rows = rows_to_predict(testing, labels, seed, time)
    assert len(rows) == min(sum(counts), max(MIN_TESTED, int(min(time, sum(counts)))))
    assert testing[rows].all()
    assert (np.diff(rows) > 0).all()


@given(COUNTS, st.integers(0, 1000), st.integers(0, 99))
def test_each_class_has_its_share_of_them(counts: list[int], time: int, seed: int) -> None:
    testing, labels = images(counts)
    rows = rows_to_predict(testing, labels, seed, time)
    expected = np.array(counts) * len(rows) / sum(counts)
    assert np.abs(np.bincount(labels[rows], minlength=len(counts)) - expected).max() <= len(counts)


@given(COUNTS, st.integers(0, 500), st.integers(0, 500))
def test_more_time_adds_to_those_of_less(counts: list[int], one: int, other: int) -> None:
    testing, labels = images(counts)
    less, more = (set(rows_to_predict(testing, labels, 7, time).tolist()) for time in sorted((one, other)))
    assert less <= more


def test_a_share_of_the_time_is_kept_back_for_them_and_enough_for_a_few() -> None:
    assert kept_for_testing(0.01, images=100, seconds=600) == pytest.approx(1.0)
    assert kept_for_testing(0.03, images=2000, seconds=60) == pytest.approx(TESTING_SHARE * 60)
    assert kept_for_testing(0.5, images=2000, seconds=60) == pytest.approx(MIN_TESTED * 0.5)
    assert kept_for_testing(0.5, images=0, seconds=60) == 0
