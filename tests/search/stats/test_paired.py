"""Differences on the same images: right values, honest intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from search.stats.metrics import METRICS
from search.stats.paired import corrected_error, difference

LABELS = np.tile([0, 0, 1], 40)
FOLDS = np.repeat(np.arange(4), 30)


def predictions(right: float, seed: int) -> NDArray[np.float64]:
    """[images, classes] of a model that is right so often, with probabilities that vary."""
    rng = np.random.default_rng(seed)
    of_truth = np.where(rng.random(len(LABELS)) < right, 0.5 + rng.random(len(LABELS)) / 2, rng.random(len(LABELS)) / 2)
    rows = np.empty((len(LABELS), 2))
    rows[np.arange(len(LABELS)), LABELS], rows[np.arange(len(LABELS)), 1 - LABELS] = of_truth, 1 - of_truth
    return rows


WORSE, BETTER = predictions(0.6, 1), predictions(0.95, 2)


@pytest.mark.parametrize("metric", METRICS)
def test_the_value_is_the_difference_of_the_two_scores(metric: str) -> None:
    found = difference(metric, LABELS, WORSE, BETTER, FOLDS)
    assert found is not None
    expected = METRICS[metric].of(LABELS, BETTER) - METRICS[metric].of(LABELS, WORSE)
    assert found.value == pytest.approx(expected, abs=1e-9)
    assert found.low < found.value < found.high
    assert found.gain > 0 and found.clear
    assert (found.images, found.folds) == (120, 4)


def test_the_other_way_round_it_is_the_same_with_another_sign() -> None:
    there, back = (difference("log_loss", LABELS, *pair, FOLDS) for pair in ((WORSE, BETTER), (BETTER, WORSE)))
    assert there and back
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))
    assert back.gain < 0 and back.clear


def test_a_model_is_not_different_from_itself() -> None:
    found = difference("accuracy", LABELS, WORSE, WORSE, FOLDS)
    assert found and (found.value, found.clear) == (0.0, False)


def test_images_that_one_of_them_lacks_do_not_count() -> None:
    part = WORSE.copy()
    part[FOLDS == 3] = np.nan
    found = difference("accuracy", LABELS, part, BETTER, FOLDS)
    inside = FOLDS < 3
    assert found and (found.images, found.folds) == (90, 3)
    of = METRICS["accuracy"].of
    assert found.value == pytest.approx(of(LABELS[inside], BETTER[inside]) - of(LABELS[inside], WORSE[inside]))
    assert difference("accuracy", LABELS, np.full_like(WORSE, np.nan), BETTER, FOLDS) is None
    one = np.full_like(WORSE, np.nan)
    one[0] = WORSE[0]
    assert difference("log_loss", LABELS, one, BETTER, FOLDS) is None, "of one image there is no interval"


def test_without_folds_the_error_is_that_over_images() -> None:
    found = difference("log_loss", LABELS, WORSE, BETTER)
    images = np.arange(len(LABELS))
    losses = np.log(WORSE[images, LABELS]) - np.log(BETTER[images, LABELS])
    assert found and found.folds == 0
    assert found.high - found.value == pytest.approx(1.96 * losses.std(ddof=1) / math.sqrt(len(losses)))


def test_folds_that_disagree_widen_the_interval() -> None:
    mixed = np.where((FOLDS == 0)[:, None], WORSE, BETTER)
    other = np.where((FOLDS == 0)[:, None], BETTER, WORSE)
    apart, together = difference("accuracy", LABELS, other, mixed, FOLDS), difference("accuracy", LABELS, other, mixed)
    assert apart and together
    assert apart.high - apart.low > 2 * (together.high - together.low)


def test_what_is_too_good_is_subtracted() -> None:
    plain = difference("log_loss", LABELS, WORSE, BETTER, FOLDS)
    corrected = difference("log_loss", LABELS, WORSE, BETTER, FOLDS, (0.0, 0.1))
    assert plain and corrected and corrected.value == pytest.approx(plain.value + 0.1)


def test_the_corrected_error_is_nadeau_and_bengios() -> None:
    gaps = np.array([0.1, 0.0, 0.2, 0.1])
    assert corrected_error(gaps, 4) == pytest.approx(math.sqrt(gaps.var(ddof=1) * (1 / 4 + 1 / 3)))


def test_equal_models_are_seldom_called_different() -> None:
    clear = 0
    for seed in range(300):
        found = difference("accuracy", LABELS, predictions(0.8, 2 * seed), predictions(0.8, 2 * seed + 1), FOLDS)
        clear += bool(found and found.clear)
    assert clear <= 0.06 * 300
