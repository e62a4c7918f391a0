"""Metrics agree with scikit-learn where it defines them; other cases are specified here."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn import metrics as reference

from search.stats.metrics import METRICS, balanced_accuracy, better, confusion, log_loss, max_scores, scores

Judged = tuple[NDArray[np.int16], NDArray[np.float32]]


@st.composite
def judged(draw: st.DrawFn, *, all_classes: bool = False) -> Judged:
    """Labels and class probabilities of up to 30 images in 2 to 6 classes; some probabilities tie, some are tiny."""
    classes = draw(st.integers(2, 6))
    label = st.integers(0, classes - 1)
    labels = draw(st.lists(label, min_size=1, max_size=30))
    if all_classes:
        labels += range(classes)
    weight = st.sampled_from((1e-5, 0.1, 0.25, 0.5, 0.5, 1.0, 7.0))
    row = st.lists(weight, min_size=classes, max_size=classes)
    weights = np.array(draw(st.lists(row, min_size=len(labels), max_size=len(labels))))
    return np.array(labels, np.int16), (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


@given(judged())
def test_accuracies_are_those_of_scikit_learn(case: Judged) -> None:
    labels, probabilities = case
    predicted = probabilities.argmax(axis=1)
    measured = scores(labels, probabilities)
    assert measured["accuracy"] == pytest.approx(reference.accuracy_score(labels, predicted))
    recalls = reference.recall_score(labels, predicted, labels=np.unique(labels), average=None)
    assert measured["balanced_accuracy"] == pytest.approx(recalls.mean())


@given(judged())
def test_the_log_loss_is_that_of_scikit_learn(case: Judged) -> None:
    labels, probabilities = case
    rows = probabilities.astype(np.float64)
    rows /= rows.sum(axis=1, keepdims=True)
    expected = reference.log_loss(labels, rows, labels=range(rows.shape[1]))
    assert log_loss(labels, probabilities) == pytest.approx(expected, rel=1e-5, abs=1e-7)


@given(judged(all_classes=True))
def test_the_auroc_is_that_of_scikit_learn_ties_and_all(case: Judged) -> None:
    labels, probabilities = case
    classes = probabilities.shape[1]
    each = [reference.roc_auc_score(labels == c, probabilities[:, c]) for c in range(classes)]
    assert scores(labels, probabilities)["auroc"] == pytest.approx(np.mean(each))
    if classes == 2 and np.array_equal(probabilities[:, 0], 1 - probabilities[:, 1]):
        expected = reference.roc_auc_score(labels, probabilities[:, 1])
        assert scores(labels, probabilities)["auroc"] == pytest.approx(expected)


@given(judged())
def test_the_confusion_matrix_is_that_of_scikit_learn(case: Judged) -> None:
    labels, probabilities = case
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    counts = confusion(labels, predicted, classes)
    assert np.array_equal(counts, reference.confusion_matrix(labels, predicted, labels=range(classes)))


@given(judged(), st.integers(0, 2**32 - 1))
def test_the_order_of_the_images_does_not_matter(case: Judged, seed: int) -> None:
    labels, probabilities = case
    order = np.random.default_rng(seed).permutation(len(labels))
    assert scores(labels[order], probabilities[order]) == pytest.approx(scores(labels, probabilities), nan_ok=True)


@given(judged(all_classes=True))
def test_metrics_stay_in_their_bounds(case: Judged) -> None:
    measured = scores(*case)
    assert list(measured) == list(METRICS)
    assert 0 <= measured.pop("log_loss") <= -math.log(1e-7)
    assert all(0 <= value <= 1 for value in measured.values())


def test_perfect_hopeless_and_undecided() -> None:
    labels = np.array([0, 0, 1, 1], np.int16)
    sure = np.eye(2, dtype=np.float32)[labels]
    undecided = np.full((4, 2), 0.5, np.float32)
    assert scores(labels, sure) == {"balanced_accuracy": 1, "accuracy": 1, "auroc": 1, "log_loss": 0}
    assert scores(labels, sure[:, ::-1]) == pytest.approx(
        {"balanced_accuracy": 0, "accuracy": 0, "auroc": 0, "log_loss": -math.log(1e-7)}
    )
    assert scores(labels, undecided) == pytest.approx(
        {"balanced_accuracy": 0.5, "accuracy": 0.5, "auroc": 0.5, "log_loss": 0.693147}, abs=1e-6
    )


def test_only_the_requested_metrics_are_computed() -> None:
    labels, probabilities = np.array([0, 1], np.int16), np.eye(2, dtype=np.float32)
    assert scores(labels, probabilities, ("log_loss",)) == {"log_loss": 0}
    assert scores(labels, probabilities, ()) == {}


def test_one_class_alone_has_no_auroc_and_counts_in_the_balanced_accuracy_by_itself() -> None:
    labels, probabilities = np.zeros(3, np.int16), np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], np.float32)
    measured = scores(labels, probabilities)
    assert math.isnan(measured["auroc"])
    assert measured["balanced_accuracy"] == pytest.approx(2 / 3)


def test_probabilities_that_are_not_finite_have_no_score() -> None:
    labels, probabilities = np.array([0, 1], np.int16), np.array([[0.5, 0.5], [math.nan, math.nan]], np.float32)
    measured = scores(labels, probabilities)
    assert math.isnan(measured["auroc"])
    assert math.isnan(measured["log_loss"])
    assert math.isnan(balanced_accuracy(np.zeros((2, 2), np.int64)))


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_better_is_strict_and_nan_loses(metric: str) -> None:
    high, low = (0.9, 0.1) if METRICS[metric].maximized else (0.1, 0.9)
    assert better(metric, high, low)
    assert not better(metric, low, high)
    assert not better(metric, high, high)
    assert better(metric, low, math.nan)
    assert not better(metric, math.nan, low)
    assert not better(metric, math.nan, math.nan)


@given(st.sampled_from(sorted(METRICS)), st.floats(), st.floats(), st.floats())
def test_better_is_an_order(metric: str, a: float, b: float, c: float) -> None:
    assert not (better(metric, a, b) and better(metric, b, a))
    if better(metric, a, b) and better(metric, b, c):
        assert better(metric, a, c)


def test_the_metrics_and_their_directions_are_these() -> None:
    assert {name: metric.direction for name, metric in METRICS.items()} == {
        "balanced_accuracy": "maximize",
        "accuracy": "maximize",
        "auroc": "maximize",
        "log_loss": "minimize",
    }


def test_scores_are_between_0_and_the_bound_of_their_metric() -> None:
    assert max_scores() == {"balanced_accuracy": 1.0, "accuracy": 1.0, "auroc": 1.0, "log_loss": math.inf}
