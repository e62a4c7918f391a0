"""Corrections that make probabilities mean what they say, and how far they are off."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from search.stats.calibration import Correction, cross_fitted, fitted, reliability, softened


def drawn(images: int, sure: float, seed: int = 0, classes: int = 4) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """(labels drawn from probabilities, what a network says that is so many times too sure: 1 is right)."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 2, (images, classes))
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.array([rng.choice(classes, p=row) for row in exact])
    powers = np.exp(sure * logits)
    return labels, powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("sure", [0.5, 1.0, 2.0, 3.0])
def test_the_temperature_undoes_what_makes_a_network_too_sure(sure: float) -> None:
    labels, said = drawn(3000, sure)
    correction = fitted(labels, said)
    assert correction.temperature == pytest.approx(sure, rel=0.15)
    assert correction.doubt <= 0.02
    found = reliability(labels, correction.of(said))
    assert found is not None and found.error < 0.03


def test_doubt_undoes_that_some_images_can_be_taken_for_anything() -> None:
    """One image in twenty has any class, and of all others the network is half as sure as it could be."""
    labels, exact = drawn(3000, 1.0)
    anything = np.random.default_rng(3).random(len(labels)) < 0.05
    labels[anything] = np.random.default_rng(4).integers(0, 4, anything.sum())
    vague = softened(exact, 2.0)
    correction = fitted(labels, vague)
    assert correction.temperature == pytest.approx(0.5, rel=0.15)
    assert 0.02 <= correction.doubt <= 0.1
    found, before = (reliability(labels, p) for p in (correction.of(vague), vague))
    assert found is not None and before is not None
    assert found.error < 0.03 < before.error


def test_the_class_never_changes() -> None:
    rng = np.random.default_rng(1)
    said = rng.dirichlet(np.full(6, 0.05), 5000).astype(np.float32)
    for temperature in (0.25, 0.9, 1.0, 1.1, 8.0):
        for doubt in (0.0, 0.2):
            corrected = Correction(temperature, doubt).of(said)
            np.testing.assert_array_equal(corrected.argmax(axis=1), said.argmax(axis=1))
            np.testing.assert_allclose(corrected.sum(axis=1), 1)
            assert corrected.min() >= doubt / 6 * 0.999


def test_few_images_that_are_all_right_do_not_make_it_certain() -> None:
    labels = np.zeros(12, int)
    said = np.tile([0.9, 0.1], (12, 1))
    assert 0.4 < fitted(labels, said).temperature < 1
    assert fitted(labels[:0], said[:0]).is_none


def test_a_fold_is_not_judged_with_a_correction_that_knows_it() -> None:
    labels, said = drawn(400, 3.0)
    folds = np.arange(400) % 5
    before = cross_fitted(labels, said, folds)
    other = labels.copy()
    other[folds == 2] = (other[folds == 2] + 1) % 4
    after = cross_fitted(other, said, folds)
    np.testing.assert_array_equal(before[folds == 2], after[folds == 2])
    assert not np.array_equal(before[folds == 1], after[folds == 1])


def test_bins_have_as_many_images_each_and_intervals() -> None:
    labels, said = drawn(1000, 2.0)
    found = reliability(labels, said)
    assert found is not None and len(found.bins) == 10
    assert {b.images for b in found.bins} == {100}
    assert [b.said for b in found.bins] == sorted(b.said for b in found.bins)
    assert all(b.low <= b.right <= b.high for b in found.bins)
    assert found.error == pytest.approx(np.mean([abs(b.said - b.right) for b in found.bins]))


def test_exact_probabilities_are_as_far_off_as_luck_makes_them() -> None:
    results = [found for seed in range(30) if (found := reliability(*drawn(300, 1.0, seed)))]
    assert np.mean([found.error for found in results]) == pytest.approx(results[0].by_luck, rel=0.2)


@pytest.mark.parametrize(("images", "bins"), [(14, None), (15, 1), (44, 2), (150, 10), (1000, 10)])
def test_few_images_have_few_bins(images: int, bins: int | None) -> None:
    found = reliability(*drawn(images, 1.0))
    assert (len(found.bins) if found else None) == bins
