"""Labels in doubt: who is suspected, in which order, and how many that are right."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.stats.labels import ACCUSED, calibrated, rarity, suspects

Labels: TypeAlias = NDArray[np.int64]
Probabilities: TypeAlias = NDArray[np.float64]


@st.composite
def judged(draw: st.DrawFn) -> tuple[Labels, Probabilities]:
    """Labels and probabilities of 1 to 40 images and 2 to 5 classes, some of them without an image."""
    classes, images = draw(st.integers(2, 5)), draw(st.integers(1, 40))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    sharpness = draw(st.sampled_from([0.02, 0.3, 1.0, 50.0]))
    return random.integers(0, classes, images), random.dirichlet(np.full(classes, sharpness), images)


@given(judged())
def test_suspects_are_the_images_for_which_another_class_is_more_probable(
    case: tuple[Labels, Probabilities],
) -> None:
    labels, probabilities = case
    found = suspects(labels, probabilities)
    own = probabilities[np.arange(len(labels)), labels]
    assert sorted(found.order) == np.flatnonzero(probabilities.max(axis=1) > own).tolist()
    assert (found.likely != labels).all()
    assert (found.likely[found.order] == probabilities[found.order].argmax(axis=1)).all()
    rare = rarity(labels, calibrated(labels, probabilities))
    assert (np.diff(rare[found.order]) >= 0).all(), "the most improbable label first"
    assert (rare[found.order] <= ACCUSED).sum() == found.accused


@given(judged(), st.integers(0, 2**32 - 1))
def test_neither_the_order_of_images_nor_that_of_classes_matters(case: tuple[Labels, Probabilities], seed: int) -> None:
    labels, probabilities = case
    random = np.random.default_rng(seed)
    images, classes = random.permutation(len(labels)), random.permutation(probabilities.shape[1])
    found = suspects(labels, probabilities)
    again = suspects(np.argsort(classes)[labels[images]], probabilities[images][:, classes])
    assert abs(again.accused - found.accused) <= 1  # a rarity that is the line but for rounding
    assert {*images[again.order]} == {*found.order}
    assert (classes[again.likely[again.order]] == found.likely[images[again.order]]).all()


@given(judged())
def test_the_rarity_is_a_probability_and_that_of_the_most_probable_label_is_1(
    case: tuple[Labels, Probabilities],
) -> None:
    labels, probabilities = case
    rare = rarity(labels, probabilities)
    own = probabilities[np.arange(len(labels)), labels]
    assert (rare >= own).all() and (rare <= 1 + 1e-9).all()
    assert rarity(probabilities.argmax(axis=1), probabilities) == pytest.approx(np.ones(len(labels)))


def test_the_rarity_of_a_label_adds_up_what_is_no_more_probable() -> None:
    probabilities = np.array([[0.7, 0.2, 0.1]] * 3)
    assert rarity(np.array([0, 1, 2]), probabilities).tolist() == pytest.approx([1.0, 0.3, 0.1])


@given(judged())
def test_calibration_keeps_the_order_of_the_classes(case: tuple[Labels, Probabilities]) -> None:
    labels, probabilities = case
    made = calibrated(labels, probabilities)
    assert made.sum(axis=1) == pytest.approx(np.ones(len(labels)))
    assert (made.argmax(axis=1) == np.maximum(probabilities, 1e-9).argmax(axis=1)).all()


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
@pytest.mark.parametrize("share", [0.0, 0.05])
def test_calibration_undoes_a_temperature_also_if_labels_are_wrong(temperature: float, share: float) -> None:
    random = np.random.default_rng(2)
    labels, probabilities = drawn(random, 3000, 4, 0.3)
    wrong = random.random(3000) < share
    labels = np.where(wrong, random.integers(0, 4, 3000), labels)
    said = np.maximum(probabilities, 1e-6) ** (1 / temperature)
    made = calibrated(labels, said / said.sum(axis=1, keepdims=True))
    assert np.abs(made - probabilities).mean() < 0.02


def drawn(random: np.random.Generator, images: int, classes: int, sharpness: float) -> tuple[Labels, Probabilities]:
    """Labels that are drawn from their own probabilities: none is wrong, some are unlikely."""
    probabilities = random.dirichlet(np.full(classes, sharpness), images)
    labels = (random.random((images, 1)) > probabilities.cumsum(axis=1)).sum(axis=1)
    return np.minimum(labels, classes - 1), probabilities


@pytest.mark.parametrize("sharpness", [0.02, 0.1, 0.5])
@pytest.mark.parametrize("images", [100, 700])
def test_of_right_labels_about_one_in_a_hundred_is_accused_at_most(images: int, sharpness: float) -> None:
    random = np.random.default_rng(int(images + 1000 * sharpness))
    shares = []
    for _ in range(40):
        labels, probabilities = drawn(random, images, 5, sharpness)
        shares.append(suspects(labels, probabilities).accused / images)
    assert np.mean(shares) <= ACCUSED


@pytest.mark.parametrize("temperature", [0.3, 1.0, 3.0])
def test_nor_if_the_networks_are_too_sure_or_not_sure_enough(temperature: float) -> None:
    random, shares = np.random.default_rng(3), []
    for _ in range(40):
        labels, probabilities = drawn(random, 400, 4, 0.2)
        said = np.maximum(probabilities, 1e-12) ** (1 / temperature)
        shares.append(suspects(labels, said / said.sum(axis=1, keepdims=True)).accused / 400)
    assert np.mean(shares) <= ACCUSED


@pytest.mark.parametrize("share", [0.02, 0.05])
def test_planted_labels_are_found(share: float) -> None:
    random, twice, above = np.random.default_rng(8), [], []
    for _ in range(20):
        labels, probabilities = drawn(random, 500, 5, 0.03)
        wrong = random.choice(500, int(500 * share), replace=False)
        labels[wrong] = (labels[wrong] + random.integers(1, 5, len(wrong))) % 5
        found = suspects(labels, probabilities)
        twice.append(len({*wrong} & {*found.order[: 2 * len(wrong)]}) / len(wrong))
        above.append(len({*wrong} & {*found.order[: found.accused]}) / len(wrong))
    assert np.mean(twice) > 0.9
    assert np.mean(above) > 0.5


def test_networks_that_only_guess_accuse_nobody() -> None:
    labels = np.arange(60) % 3
    alike = suspects(labels, np.full((60, 3), 1 / 3))
    assert (alike.accused, len(alike.order)) == (0, 0)
    noise = np.random.default_rng(0).dirichlet([300, 300, 300], 60)
    assert suspects(labels, noise).accused == 0


def test_a_network_that_is_sure_of_every_label_accuses_nobody_but_contradictions() -> None:
    labels = np.arange(200) % 2
    sure = np.eye(2)[labels]
    assert suspects(labels, sure).accused == 0
    labels[3] = 1 - labels[3]
    found = suspects(labels, sure)
    assert (found.order.tolist(), found.accused, found.likely[3]) == ([3], 1, 1 - labels[3])
