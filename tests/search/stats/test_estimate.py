"""What is known of a model trained on all images from the estimate for models of the folds."""

from __future__ import annotations

import pytest

from search.stats.estimate import Estimate, beats, no_better_than_its_own, trained_on_all


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
    of_folds = Estimate(metric, 0.8, 0.7, 0.9, 0.85, 10, 100, "as here")
    result = trained_on_all(of_folds, 5, chance)
    assert [result.low, result.high] == pytest.approx([low, high])
    assert (result.value, result.naive) == (0.8, 0.85)


@pytest.mark.parametrize(
    ("metric", "value", "naive", "limited"),
    [
        ("accuracy", 0.8, 0.85, False),
        ("accuracy", 0.8, 0.78, True),
        ("log_loss", 0.5, 0.45, False),
        ("log_loss", 0.5, 0.55, True),
    ],
)
def test_an_estimate_is_no_better_than_the_score_of_what_was_chosen(
    metric: str, value: float, naive: float, limited: bool
) -> None:
    found = Estimate(metric, value, value - 0.1, value + 0.01, naive, 20, 100, "as here")
    result = no_better_than_its_own(found)
    assert result.value == (naive if limited else value)
    assert result.low <= result.value <= result.high
    assert result.optimism >= 0
    assert (result == found) == (not limited)


@pytest.mark.parametrize(("metric", "level", "beaten"), [("accuracy", 0.65, True), ("accuracy", 0.75, False)])
def test_a_level_is_beaten_by_the_whole_interval(metric: str, level: float, beaten: bool) -> None:
    assert beats(Estimate(metric, 0.8, 0.7, 0.9, 0.85, 20, 100, "as here"), level) == beaten
    loss = Estimate("log_loss", 0.8, 0.7, 0.9, 0.75, 20, 100, "as here")
    assert beats(loss, 1.6 - level) == (1.6 - level > 0.9)
