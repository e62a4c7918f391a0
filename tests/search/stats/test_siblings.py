"""Whether pictures of one thing in training make a score too good: found where they do, and not where they do not."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.stats.siblings import MIN_WHOLE, Siblings, compare_siblings
from tests.search.stats.simulated import siblings_of

FOLDS = 5


def of_one_division(
    right: NDArray[np.float64], labels: NDArray[np.intp], folds: NDArray[np.intp], things: NDArray[np.intp]
) -> Siblings | None:
    return compare_siblings(right, labels, folds, things, np.zeros(len(right), int))


@pytest.mark.parametrize(("divisions", "width"), [(1, 0.29), (3, 0.2)])
def test_a_gain_is_measured_within_its_interval(divisions: int, width: float) -> None:
    found = [siblings_of(seed, gain=0.3, divisions=divisions) for seed in range(200)]
    known = [each for each in found if each]
    assert len(known) >= 190
    assert abs(np.mean([each.difference for each in known]) - 0.3) < 0.015
    assert sum(each.low <= 0.3 <= each.high for each in known) >= 0.91 * len(known)
    assert sum(each.clear for each in known) >= 0.95 * len(known)
    assert np.mean([each.high - each.low for each in known]) < width


@pytest.mark.parametrize(("size", "divisions"), [(2, 1), (2, 3), (3, 3)])
def test_names_that_mean_nothing_are_hardly_ever_accused(size: int, divisions: int) -> None:
    things = 600 // size
    found = [siblings_of(n, gain=0.0, size=size, things=things, alike=1.0, divisions=divisions) for n in range(200)]
    known = [each for each in found if each]
    assert len(known) >= 150
    assert sum(each.clear for each in known) <= 0.05 * len(known)


def test_of_the_parts_predictions_and_accuracies_are_told() -> None:
    folds = np.array([[n % 2, n // 2 % 2] for n in range(4 * MIN_WHOLE)])  # half are whole, as chance has it
    things = np.repeat(np.arange(4 * MIN_WHOLE), 2)
    split = (folds[:, 0] != folds[:, 1]).repeat(2)
    right = np.where(split, 1.0, np.tile([0.0, 1.0], 4 * MIN_WHOLE))
    found = of_one_division(right, 0 * things, folds.ravel(), things)
    assert found is not None and found.clear
    assert (found.split.predictions, found.split.accuracy) == (4 * MIN_WHOLE, 1.0)
    assert (found.whole.predictions, found.whole.accuracy) == (4 * MIN_WHOLE, 0.5)
    assert found.difference == pytest.approx(0.5)
    few = slice(0, 4 * MIN_WHOLE - 4)  # one whole thing less than needed
    assert of_one_division(right[few], 0 * things[few], folds.ravel()[few], things[few]) is None


def test_things_that_something_else_keeps_together_are_not_compared() -> None:
    things = np.repeat(np.arange(200), 2)
    folds = np.repeat(np.arange(200) % FOLDS, 2)
    folds[:200] = np.arange(200) % FOLDS
    right = np.where(np.arange(400) < 200, 1.0, 0.0)
    assert of_one_division(right, 0 * things, folds, things) is None


def test_images_alone_do_not_count() -> None:
    generator = np.random.default_rng(0)
    things = np.repeat(np.arange(100), 2)
    folds, right = generator.integers(0, 2, 200), generator.random(200)
    base = of_one_division(right, 0 * things, folds, things)
    more = of_one_division(
        np.concatenate([right, generator.random(30)]),
        np.zeros(230, int),
        np.concatenate([folds, generator.integers(0, 2, 30)]),
        np.concatenate([things, 1000 + np.arange(30)]),
    )
    assert base is not None and more == base


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.integers(0, 2), st.integers(0, 4), st.sampled_from([0.0, 0.5, 1.0])),
        max_size=120,
    ),
    st.integers(0, 5),
)
def test_any_values_give_an_answer_that_does_not_depend_on_names_or_order(
    images: list[tuple[int, int, int, float]], seed: int
) -> None:
    things, labels, folds, right = (np.array([image[n] for image in images]) for n in range(4))

    def answer(order: NDArray[np.intp], names: NDArray[np.int64]) -> Siblings | None:
        return of_one_division(
            right[order].astype(float),
            labels[order].astype(int),
            folds[order].astype(int),
            names[things.astype(int)][order],
        )

    generator = np.random.default_rng(seed)
    first = answer(np.arange(len(images)), np.arange(13))
    other = answer(generator.permutation(len(images)), generator.permutation(13))
    assert (first is None) == (other is None)
    if first and other:
        assert first.low <= first.difference <= first.high
        assert (other.low, other.difference, other.high) == pytest.approx((first.low, first.difference, first.high))
