"""Finalists, ties, and ensembles: only if they are better on images that were not used to put them together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.stats.metrics import log_loss
from search.stats.selection import (
    MAX_MEMBERS,
    Member,
    best_together,
    better_in_folds,
    better_together,
    cross_fitted,
    finalists,
    greedy,
    interval,
    ties,
)
from storage.records import FoldRecord, Origin, TrialRecord, TrialState

METRIC = "accuracy"


def trial(number: int, *scores: float, repeat: int = 0, parameters: int = 1000) -> TrialRecord:
    folds = tuple(
        FoldRecord(number, repeat, fold, 1, {METRIC: score, "log_loss": score}, 5, 3, {}, parameters, 1.0)
        for fold, score in enumerate(scores)
    )
    return TrialRecord(number, {}, Origin.SAMPLER, TrialState.COMPLETE, parameters=parameters, folds=folds)


def also(one: TrialRecord, *scores: float) -> TrialRecord:
    """The same trial with a further repeat."""
    repeat = max(fold.repeat for fold in one.folds) + 1
    return replace(one, folds=(*one.folds, *trial(one.number, *scores, repeat=repeat).folds))


def test_a_small_difference_that_varies_from_fold_to_fold_is_a_tie() -> None:
    trials = [trial(0, 0.70, 0.90, 0.80, 0.75, 0.85), trial(1, 0.80, 0.85, 0.85, 0.80, 0.80)]
    assert ties(trials, METRIC, 100) == (1, 0)


def test_a_constant_difference_is_no_tie() -> None:
    trials = [trial(0, 0.50, 0.52, 0.48, 0.51, 0.50), trial(1, 0.80, 0.83, 0.79, 0.80, 0.82)]
    assert ties(trials, METRIC, 100) == (1,)


def test_the_same_gain_on_every_fold_is_not_clear_with_few_images() -> None:
    trials = [trial(0, *[0.5] * 5), trial(1, *[0.6] * 5)]
    assert ties(trials, METRIC, 10) == (1, 0)
    assert ties(trials, METRIC, 1000) == (1,)


def test_trials_on_new_folds_are_compared_by_all_folds() -> None:
    lucky = also(trial(1, *[0.9] * 5), *[0.5, 0.52, 0.5, 0.49, 0.5])
    steady = also(trial(2, *[0.8, 0.82, 0.8, 0.81, 0.8]), *[0.8] * 5)
    assert ties([trial(0, *[0.85] * 5), lucky, steady], METRIC, 1000)[0] == 2


def test_a_repeat_that_was_not_finished_does_not_count() -> None:
    trials = [also(trial(1, *[0.9] * 5), 0.1), also(trial(2, *[0.8] * 5), 0.9)]
    assert ties(trials, METRIC, 1000) == (1,)


@pytest.mark.parametrize(("trials", "images", "expected"), [(10, 100, 0), (40, 100, 5), (100, 100, 10), (100, 500, 5)])
def test_confirming_costs_at_most_a_quarter_of_the_search(trials: int, images: int, expected: int) -> None:
    known = [trial(n, *[0.5 + n / 1000] * 5) for n in range(trials)]
    numbers = finalists(known, METRIC, 5, images)
    assert len(numbers) == expected
    assert numbers == sorted(numbers, reverse=True)


@st.composite
def predictions(draw: st.DrawFn) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """(probabilities of some trials, labels, folds); the trials differ in how good they are."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    trials, images, classes = draw(st.integers(1, 8)), draw(st.integers(12, 60)), draw(st.integers(2, 4))
    labels = np.arange(images) % classes
    logits = rng.normal(0, 1, (trials, images, classes))
    logits += np.eye(classes)[labels] * rng.uniform(0, 3, (trials, 1, 1))
    return np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True), labels, np.arange(images) % 3


@settings(max_examples=40, deadline=None)
@given(predictions())
def test_an_ensemble_is_a_mean_of_few_and_no_worse_than_the_best_alone(
    made: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    probabilities, labels, _ = made
    weights = greedy(probabilities, labels, METRIC)
    assert weights.sum() == pytest.approx(1)
    assert (weights >= 0).all() and 1 <= np.count_nonzero(weights) <= MAX_MEMBERS
    together = log_loss(labels, np.tensordot(weights, probabilities, axes=1))
    assert together <= min(log_loss(labels, one) for one in probabilities) + 1e-9


@settings(max_examples=40, deadline=None)
@given(predictions())
def test_cross_fitting_never_uses_the_labels_of_the_images_it_predicts(
    made: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]],
) -> None:
    probabilities, labels, folds = made
    other = np.where(folds == 1, (labels + 1) % probabilities.shape[2], labels)
    ours, theirs = (cross_fitted(probabilities, truth, folds, METRIC)[folds == 1] for truth in (labels, other))
    np.testing.assert_array_equal(ours, theirs)


def test_an_ensemble_is_saved_if_its_trials_err_on_different_images() -> None:
    rng = np.random.default_rng(3)
    labels, folds = np.arange(300) % 3, np.arange(300) % 5
    noise = rng.normal(0, 1, (4, 300, 3))
    logits = np.eye(3)[labels] * 1.5 + noise
    different = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    members = best_together(7, [7, 8, 9, 4], different, labels, folds, METRIC)
    assert len(members) == 4
    assert sum(member.weight for member in members) == pytest.approx(1)
    assert best_together(9, [7, 9], np.stack([different[0]] * 2), labels, folds, METRIC) == (Member(9, 1.0),)


def test_a_more_certain_model_that_is_worse_by_the_metric_does_not_replace_the_choice() -> None:
    """Twenty of 200 images are of a small class, which the more certain trial hardly ever predicts."""
    labels, folds = np.repeat([0, 1], [180, 20]), np.arange(200) % 5
    even, uneven = np.full((200, 2), 0.02), np.full((200, 2), 0.02)
    rows = np.arange(200)
    even[rows, np.where(rows % 20 < 3, 1 - labels, labels)] = 0.6  # right for 85 % of either class, never sure
    uneven[rows, np.where((labels == 1) & (rows % 20 < 11), 0, labels)] = 0.98  # for all of one, 45 % of the other
    probabilities = np.stack([one / one.sum(axis=1, keepdims=True) for one in (even, uneven)])
    assert log_loss(labels, probabilities[1]) < log_loss(labels, probabilities[0])
    assert Member(8, 1.0) not in best_together(7, [7, 8], probabilities, labels, folds, "balanced_accuracy")
    assert not better_together(probabilities[1], probabilities[0], labels, "balanced_accuracy")
    assert better_together(probabilities[1], probabilities[0], labels, "log_loss")


def test_with_balanced_accuracy_an_ensemble_counts_classes_alike() -> None:
    labels = np.repeat([0, 1], [90, 10])
    probabilities = np.stack([np.tile([0.9, 0.1], (100, 1)), np.tile([0.5, 0.5], (100, 1))])
    assert greedy(probabilities, labels, "balanced_accuracy")[1] > greedy(probabilities, labels, "accuracy")[1] == 0


@pytest.mark.parametrize(("noise", "together"), [(2.0, True), (1.0, False)])
def test_models_of_the_folds_are_saved_together_if_that_is_better_than_training_on_all_images(
    noise: float, together: bool
) -> None:
    rng = np.random.default_rng(3)
    labels = np.arange(300) % 3
    logits = np.eye(3)[labels] * 1.5 + rng.normal(0, noise, (3, 300, 3))
    different = np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)
    assert log_loss(labels, different.mean(axis=0)) < log_loss(labels, different[0])
    assert better_in_folds(different, labels, 5, METRIC) == together
    assert not better_in_folds(np.stack([different[0]] * 3), labels, 5, METRIC)  # they agree: nothing is won
    assert not better_in_folds(different[:1], labels, 5, METRIC)  # no repeat: nothing is known


def test_an_interval_on_few_images_is_wide_even_if_all_are_right() -> None:
    labels = np.arange(20) % 2
    value, low, high = interval(np.eye(2)[labels], labels, "accuracy")
    assert (value, high) == (1.0, 1.0)
    assert low < 0.85


def test_an_interval_is_as_wide_as_the_smallest_class_makes_it() -> None:
    labels = np.repeat([0, 1], [95, 5])
    assert interval(np.eye(2)[labels], labels, "accuracy")[1] > 0.95
    assert interval(np.eye(2)[labels], labels, "balanced_accuracy")[1] < 0.85
