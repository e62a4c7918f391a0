"""How many images of each class are recognized."""

from __future__ import annotations

import math

import numpy as np
import pytest

from search.results.recall import clearly_least, recalls


def test_the_class_that_is_recognized_least_is_first_and_one_without_images_last() -> None:
    rows = recalls(np.array([[8, 2, 0], [5, 5, 0], [0, 0, 0]]))
    assert [(row.label, row.found, row.images) for row in rows] == [(1, 5, 10), (0, 8, 10), (2, 0, 0)]
    assert math.isnan(rows[-1].share) and (rows[-1].low, rows[-1].high) == (0.0, 1.0)


@pytest.mark.parametrize(("found", "images"), [(0, 3), (3, 3), (17, 20), (990, 1000)])
def test_intervals_are_wilsons(found: int, images: int) -> None:
    """The bounds are the shares p for which the observed one is 1.96 standard errors, of p, away."""
    (row,) = recalls(np.array([[found, images - found], [0, 0]]))[:1]
    for bound in (row.low, row.high):
        error = math.sqrt(bound * (1 - bound) / images)
        assert abs(found / images - bound) == pytest.approx(1.959964 * error, abs=1e-6)
    assert 0 <= row.low <= row.share <= row.high <= 1


def test_a_class_is_named_only_if_it_is_clearly_worse_than_all_others() -> None:
    clear = clearly_least(recalls(np.array([[50, 0, 0], [0, 48, 2], [15, 10, 25]])))
    assert clear is not None and clear.label == 2
    assert clearly_least(recalls(np.array([[9, 1], [2, 8]]))) is None
    assert clearly_least(recalls(np.array([[3, 7], [0, 0]]))) is None, "nothing to compare with"
    assert clearly_least(()) is None


def test_a_class_of_one_picture_does_not_hide_one_that_is_clearly_worse() -> None:
    """A share of 0 of 1 is the lowest, and proves nothing."""
    rows = recalls(np.array([[0, 1, 0, 0], [0, 20, 80, 0], [0, 0, 95, 5], [0, 5, 0, 95]]))
    assert rows[0].label == 0
    named = clearly_least(rows)
    assert named is rows[1] and named.label == 1


def test_among_many_equal_classes_the_unluckiest_is_hardly_ever_named() -> None:
    random = np.random.default_rng(0)
    named = 0
    for _ in range(100):
        found = random.binomial(10, 0.7, 40)
        confusion = np.diag(found)
        confusion[np.arange(40), (np.arange(40) + 1) % 40] += 10 - found
        named += clearly_least(recalls(confusion)) is not None
    assert named <= 10
