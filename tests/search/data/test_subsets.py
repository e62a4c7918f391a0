"""Parts of the training images: of each class the same share, groups whole, smaller ones within larger ones."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from search.data.subsets import part_of

LABELS = np.repeat([0, 1, 2], [80, 40, 8]).astype(np.int16)
ROWS = np.arange(4, 128, dtype=np.int32)
ALONE = np.arange(128, dtype=np.int32)
PAIRS = ALONE // 2


def counts(rows: NDArray[np.int32]) -> list[int]:
    return [int((LABELS[rows] == label).sum()) for label in range(3)]


@pytest.mark.parametrize("units", [ALONE, PAIRS], ids=["alone", "pairs"])
def test_each_class_has_the_same_share(units: NDArray[np.int32]) -> None:
    assert counts(part_of(ROWS, LABELS, units, 0.5, 1)) == [38, 20, 4]
    assert counts(part_of(ROWS, LABELS, units, 0.25, 1))[1:] == [10, 2]


def test_groups_stay_whole() -> None:
    part = part_of(ROWS, LABELS, PAIRS, 0.3, 5)
    members, sizes = np.unique(PAIRS[part], return_counts=True)
    assert (sizes == 2).all() and len(members) > 3


def test_a_smaller_part_is_within_a_larger_one_of_the_same_draw() -> None:
    quarter, half = (set(part_of(ROWS, LABELS, PAIRS, share, 7).tolist()) for share in (0.25, 0.5))
    assert quarter < half < set(ROWS.tolist())
    assert half != set(part_of(ROWS, LABELS, PAIRS, 0.5, 8).tolist())


def test_the_same_seed_draws_the_same_in_ascending_order() -> None:
    one, other = (part_of(ROWS, LABELS, ALONE, 0.5, 3) for _ in range(2))
    np.testing.assert_array_equal(one, other)
    assert (np.diff(one) > 0).all() and one.dtype == np.int32


def test_no_class_is_left_out_however_small_the_part_or_large_its_groups() -> None:
    units = np.where(LABELS == 2, 200, ALONE).astype(np.int32)  # the third class is one group
    assert min(counts(part_of(ROWS, LABELS, ALONE, 0.01, 1))) == 1
    assert counts(part_of(ROWS, LABELS, units, 0.25, 1))[2] == 8


def test_all_of_it_is_all() -> None:
    np.testing.assert_array_equal(part_of(ROWS, LABELS, PAIRS, 1.0, 2), ROWS)
