"""What more pictures are expected to bring: right where the curve is a power law, wide where little is known."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from search.stats.learning_curve import PERCENTS, Part, gains

SHARES = [percent / 100 for percent in PERCENTS]
FLOORS = [0.002] * (len(SHARES) + 1)


def errors(floor: float, by_pictures: float, rate: float, noise: float, seed: int = 0) -> NDArray[np.float64]:
    """[5 folds, parts and all] of the power law floor + by_pictures * share^-rate."""
    curve = floor + by_pictures * np.array([*SHARES, 1.0]) ** -rate
    return np.asarray(curve + np.random.default_rng(seed).normal(0, noise, (5, len(curve))))


def test_the_name_of_a_part_is_read_back() -> None:
    part = Part("linear_probe", 25, 2)
    assert Part.of(part.name) == part


@pytest.mark.parametrize("name", ["linear_probe", "a@0/1", "a@100/0", "a@25", "@25/0", "a@-5/0", "a@25/0 ", "a@٢٥/0"])
def test_other_names_are_of_no_part(name: str) -> None:
    assert Part.of(name) is None


def test_nine_of_ten_intervals_and_more_contain_the_truth() -> None:
    rng, hits, count = np.random.default_rng(1), np.zeros(2), 200
    for seed in range(count):
        floor, by, rate = rng.uniform(0, 0.1), rng.uniform(0.02, 0.2), rng.uniform(0.1, 1.0)
        found = gains(SHARES, errors(floor, by, rate, 0.01, seed), FLOORS)
        truth = [by * (1 - times**-rate) for times in (2, 4)]
        hits += [gain.low <= true <= gain.high for gain, true in zip(found, truth, strict=True)]
    assert (hits / count > 0.9).all(), hits / count


def test_a_steep_curve_goes_on_falling_and_a_flat_one_does_not() -> None:
    steep, flat = gains(SHARES, errors(0.0, 0.2, 0.5, 0.002), FLOORS), gains(SHARES, errors(0.1, 0, 1, 0.002), FLOORS)
    assert steep[0].low > 0.02 and steep[0].is_clear(1.0) and not steep[0].is_little(1.0)
    assert flat[0].is_little(1.0) and flat[0].is_clear(1.0)


def test_four_times_as_many_bring_at_least_as_much_as_twice() -> None:
    twice, four = gains(SHARES, errors(0.05, 0.1, 0.4, 0.01), FLOORS)
    assert (twice.times, four.times) == (2, 4)
    assert four.value >= twice.value and four.high >= twice.high
    assert 0 <= twice.low <= twice.value <= twice.high <= 0.3


def test_where_folds_disagree_nothing_is_said() -> None:
    twice, _ = gains(SHARES, errors(0.1, 0.2, 0.5, 0.15), FLOORS)
    assert not twice.is_clear(1.0)


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_one_part_is_enough_but_says_less(parts: int) -> None:
    known = errors(0.1, 0.15, 0.5, 0.002)[:, [*range(parts), -1]]
    twice, _ = gains(SHARES[:parts], known, FLOORS[: parts + 1])
    assert twice.low < 0.15 * (1 - 2**-0.5) < twice.high


def test_an_error_of_none_cannot_fall() -> None:
    assert [gain.high for gain in gains(SHARES, np.zeros((5, 4)), FLOORS)] == [0.0, 0.0]


def test_two_folds_are_enough_not_to_fail() -> None:
    twice, _ = gains(SHARES, errors(0.1, 0.1, 0.5, 0.01)[:2], FLOORS)
    assert np.isfinite([twice.low, twice.value, twice.high]).all()
