"""The estimate: near the truth, unlike the naive score, and its interval contains the truth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search.stats.estimate import OWN_SCORE, Estimate, estimate, of_another, trained_on_all
from search.stats.metrics import METRICS, scores
from tests.search.stats.simulated import Simulated, studies


def found(study: Simulated, metric: str = "balanced_accuracy") -> tuple[float, float, float, float, float]:
    """(value, low, high, naive, the chosen trial's truth)."""
    result = estimate(study.probabilities, study.labels, metric)
    assert result is not None
    pooled = [scores(study.labels, rows, ("balanced_accuracy",))["balanced_accuracy"] for rows in study.probabilities]
    return result.value, result.low, result.high, result.naive, float(study.truth[int(np.argmax(pooled))])


def test_with_fifty_equal_points_the_best_score_is_far_too_high_and_the_estimate_is_not() -> None:
    rows = np.array([found(study) for study in studies(20, images=100, trials=50, spread=0.0)])
    value, low, high, naive, truth = rows.T
    assert (naive - truth).mean() > 0.04
    assert abs((value - truth).mean()) < 0.015
    assert ((low <= truth) & (truth <= high)).mean() >= 0.9


def test_with_many_images_and_different_points_both_are_near_the_truth() -> None:
    rows = np.array([found(study) for study in studies(8, images=1000, trials=10, spread=0.8)])
    value, low, high, naive, truth = rows.T
    assert abs((value - truth).mean()) < 0.015
    assert abs((naive - truth).mean()) < 0.02
    assert (high - low).mean() < 0.08


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_every_metric_is_estimated_in_its_own_direction(metric: str) -> None:
    (study,) = studies(1, images=60, trials=12, spread=0.5)
    noise = np.random.default_rng(2).uniform(0.5, 1.0, (12, 60, 1)).astype(np.float32)
    probabilities = study.probabilities * noise + (1 - noise) / 2
    result = estimate(probabilities, study.labels, metric)
    assert result is not None
    assert result.low < result.value < result.high
    best = max if METRICS[metric].maximized else min
    assert result.naive == pytest.approx(best(scores(study.labels, rows, (metric,))[metric] for rows in probabilities))
    assert result.optimism > 0
    assert (result.trials, result.images) == (12, 60)


def test_shuffled_labels_are_expected_to_score_like_chance() -> None:
    rng = np.random.default_rng(4)
    probabilities = rng.dirichlet([1, 1, 1], size=(40, 90)).astype(np.float32)
    result = estimate(probabilities, rng.permutation(np.arange(90) % 3), "balanced_accuracy")
    assert result is not None
    assert result.naive > 0.4
    assert result.low < 1 / 3 < result.high
    assert result.value == pytest.approx(1 / 3, abs=0.04)


def test_all_right_on_few_images_does_not_prove_a_perfect_score() -> None:
    labels = np.arange(60) % 2
    result = estimate(np.eye(2, dtype=np.float32)[labels][None], labels, "accuracy")
    assert result is not None
    assert result.value == 1.0
    assert result.high == pytest.approx(1.0)
    assert 0.9 < result.low < 0.95


@pytest.mark.parametrize(
    ("metric", "chance", "low", "high"),
    [
        ("accuracy", 0.5, 0.7, 0.92),  # a fifth of the error less
        ("accuracy", 0.86, 0.7, 0.91),  # no more than a quarter of what is beyond a guess
        ("accuracy", 0.95, 0.7, 0.9),  # which it is not here
        ("log_loss", 2.3, 0.56, 0.9),
        ("log_loss", 0.8, 0.675, 0.9),
    ],
)
def test_for_a_model_of_all_images_only_the_better_bound_moves(
    metric: str, chance: float, low: float, high: float
) -> None:
    of_folds = Estimate(metric, 0.8, 0.7, 0.9, 0.85, 10, 100)
    result = trained_on_all(of_folds, 5, chance)
    assert [result.low, result.high] == pytest.approx([low, high])
    assert (result.value, result.naive) == (0.8, 0.85)


def test_the_same_predictions_give_the_same_estimate() -> None:
    (study,) = studies(1, images=50, trials=5, spread=0.5)
    assert found(study) == found(study)


@given(st.integers(1, 6), st.integers(2, 4), st.integers(0, 99))
@settings(max_examples=15, deadline=None)
def test_with_any_predictions_the_estimate_is_in_its_interval_or_missing(trials: int, classes: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.arange(3 * classes) % classes)
    probabilities = rng.dirichlet(np.ones(classes), size=(trials, len(labels))).astype(np.float32)
    result = estimate(probabilities, labels, "balanced_accuracy")
    assert result is None or 0 <= result.value <= 1
    assert result is None or result.low <= result.value <= result.high


def test_with_one_image_per_class_there_is_no_estimate() -> None:
    assert estimate(np.full((2, 2, 2), 0.5, np.float32), np.array([0, 1]), "balanced_accuracy") is None


def test_the_estimate_of_another_trial_than_the_best_is_at_most_its_score() -> None:
    best = Estimate("accuracy", 0.8, 0.7, 0.9, 0.85, 20, 100)
    assert of_another(best, 0.82, 0.74, 0.9) == best
    plainer = of_another(best, 0.76, 0.66, 0.84)
    assert (plainer.value, plainer.low, plainer.high, plainer.method) == (0.76, 0.66, 0.84, OWN_SCORE)
    assert plainer.naive == 0.85
    loss = Estimate("log_loss", 0.5, 0.4, 0.6, 0.45, 20, 100)
    assert of_another(loss, 0.48, 0.4, 0.6) == loss
    assert of_another(loss, 0.55, 0.4, 0.6).value == 0.55
