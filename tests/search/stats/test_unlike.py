"""What is unlike all training images: about one in twenty of their kind, and nearly all of another kind."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from search.stats.unlike import NTH, REFUSED, distances, limits

Rows = NDArray[np.float64]


def limit(known: Rows, folds: NDArray[np.int64]) -> float:
    return limits([known], folds)[0]


def cloud(images: int, seed: int, centres: int = 0) -> Rows:
    """Features around three directions of their own."""
    middle = np.random.default_rng(centres).normal(0, 1, (3, 50))
    random = np.random.default_rng(seed + 100)
    return np.asarray(middle[random.integers(0, 3, images)] + random.normal(0, 0.7, (images, 50)))


def test_of_their_own_kind_about_the_share_is_refused_and_of_another_nearly_all() -> None:
    known, folds = cloud(300, 1), np.arange(300) % 5
    (line,) = limits([known], folds)
    assert (distances(known, cloud(2000, 2)) > line).mean() == pytest.approx(REFUSED, abs=0.03)
    assert (distances(known, cloud(2000, 3, centres=9)) > line).mean() > 0.95


def test_copies_in_one_fold_do_not_make_the_line_tight() -> None:
    apart = cloud(100, 1)
    twice, folds = np.repeat(apart, 2 * NTH, axis=0), np.repeat(np.arange(100) % 5, 2 * NTH)
    assert limit(twice, folds) > 0.8 * limit(apart, np.arange(100) % 5)
    assert limit(twice, np.arange(len(twice)) % 5) < 0.5 * limit(apart, np.arange(100) % 5)


def test_the_length_of_features_does_not_count_and_none_is_no_error() -> None:
    known, seen = cloud(50, 1), cloud(5, 2)
    np.testing.assert_allclose(distances(3 * known, 0.5 * seen), distances(known, seen))
    assert distances(known, np.zeros((1, 50)))[0] == 1


def test_fewer_images_than_neighbours_are_enough() -> None:
    assert np.isfinite(distances(cloud(2, 1), cloud(3, 2))).all()
    assert np.isfinite(limit(cloud(4, 1), np.arange(4) % 2))


def test_an_image_may_be_unlike_in_what_is_on_it_or_in_how_it_looks() -> None:
    """Two ways of seeing share the refusals: as many as of one, and both kinds of other images are found."""
    seen, folds = (cloud(300, 1), cloud(300, 4, centres=5)), np.arange(300) % 5
    lines = limits(seen, folds)

    def refused(one: Rows, other: Rows) -> float:
        beyond = [distances(known, rows) > line for known, rows, line in zip(seen, (one, other), lines, strict=True)]
        return float(np.any(beyond, axis=0).mean())

    assert refused(cloud(2000, 2), cloud(2000, 6, centres=5)) == pytest.approx(REFUSED, abs=0.03)
    assert refused(cloud(2000, 3, centres=9), cloud(2000, 6, centres=5)) > 0.95
    assert refused(cloud(2000, 2), cloud(2000, 7, centres=9)) > 0.95


def test_images_that_are_all_alike_have_a_limit() -> None:
    assert 0 < limits([np.ones((10, 3)), cloud(10, 1)], np.arange(10) % 2)[0] <= 2
