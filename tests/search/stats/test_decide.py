"""Which trial is chosen, and what is claimed of it: by what is expected, and by images that the choice did not see."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.stats.evidence import Evidence
from search.stats.metrics import METRICS
from search.stats.selection import PROGRESSIVE, Member, Wish, decide, expected_score, progressive
from tests.search.stats.simulated import evidence

FOLDS, IMAGES = 5, 60
ALL = np.ones(FOLDS, bool)


def first(folds: int) -> NDArray[np.bool_]:
    return np.arange(FOLDS) < folds


def all_of(made: Evidence) -> NDArray[np.bool_]:
    return np.ones(len(made.numbers), bool)


def of_shares(shares: list[float], known: list[NDArray[np.bool_]] | None = None, **options: Any) -> Evidence:
    """Trials of 1,000 images that are right for these shares of every fold, on the same images first and never surer.

    An ensemble of them is never better than the best alone.
    """
    folds, place = np.arange(1000) % FOLDS, np.arange(1000) // FOLDS / 200
    labels = np.arange(1000) // FOLDS % 2
    right = np.stack([place < share for share in shares])
    rows = np.eye(2, dtype=np.float32)[np.where(right, labels, 1 - labels)] * 0.6 + 0.2
    return evidence(rows, labels, folds, known=None if known is None else np.stack(known), **options)


def test_without_a_candidate_nothing_is_chosen() -> None:
    made = of_shares([0.7, 0.8])
    assert decide(made, np.zeros(2, bool)) == ()


def test_the_best_candidate_is_chosen_and_the_others_only_tell_what_it_is_worth() -> None:
    made = of_shares([0.7, 0.8, 0.9])
    assert decide(made, np.array([True, True, False])) == (Member(1, 1.0),)


def test_a_trial_that_is_far_ahead_on_the_folds_that_it_has_is_chosen() -> None:
    made = of_shares([0.7, 0.72, 0.9], [ALL, ALL, first(2)])
    assert decide(made, all_of(made)) == (Member(2, 1.0),)


def test_a_trial_that_is_hardly_ahead_on_one_fold_is_not_chosen() -> None:
    made = of_shares([0.80, 0.75, 0.805], [ALL, ALL, first(1)], costs=[1, 1, 2])
    assert decide(made, all_of(made)) == (Member(0, 1.0),)


@pytest.mark.parametrize(("cost", "chosen"), [(500, 0), (1000, 1), (2000, 1)])
def test_a_cheaper_trial_is_taken_if_it_is_expected_to_lose_almost_nothing(cost: int, chosen: int) -> None:
    made = of_shares([0.895, 0.9, 0.6], costs=[cost, 1000, 1])
    assert decide(made, all_of(made), Wish(price=0.006)) == (Member(chosen, 1.0),)


def as_sure(probabilities: list[float], metric: str, costs: list[int]) -> Evidence:
    """Trials of 1,000 images that give the true class this probability for all of them."""
    labels = np.arange(1000) // FOLDS % 2
    rows = [np.where(np.eye(2)[labels] == 1, sure, 1 - sure).astype(np.float32) for sure in probabilities]
    return evidence(np.stack(rows), labels, np.arange(1000) % FOLDS, metric, costs=costs)


@pytest.mark.parametrize(("prices", "chosen"), [(0.7, 0), (1.5, 1)])
def test_the_price_of_a_cheaper_trial_is_in_units_that_fit_the_metric(prices: float, chosen: int) -> None:
    """A log loss that is worse by 0.7 of the price goes with an accuracy that is worse by 0.7 of it."""
    behind = prices * Wish().price * METRICS["log_loss"].scale
    made = as_sure([0.8 * np.exp(-behind), 0.8], "log_loss", [1, 1000])
    assert decide(made, all_of(made)) == (Member(chosen, 1.0),)


def test_a_trial_beyond_the_price_is_not_taken_however_cheap_it_is() -> None:
    """The cheap one is not replaced by a dearer one for its log loss either: that would be no ensemble."""
    made = of_shares([0.88, 0.9], costs=[1, 10**9])
    assert decide(made, all_of(made)) == (Member(1, 1.0),)
    assert decide(made, all_of(made), Wish(price=0.1)) == (Member(0, 1.0),)


def different(trials: int, images: int = 300, known: list[NDArray[np.bool_]] | None = None) -> Evidence:
    """Trials that are equally good and err on different images, so that their mean is better than each."""
    rng = np.random.default_rng(3)
    labels = np.arange(images) % 3
    logits = np.eye(3)[labels] * 1.5 + rng.normal(0, 1, (trials, images, 3))
    rows = (np.exp(logits) / np.exp(logits).sum(axis=2, keepdims=True)).astype(np.float32)
    return evidence(rows, labels, np.arange(images) // 3 % FOLDS, known=None if known is None else np.stack(known))


def test_an_ensemble_is_chosen_if_it_is_better_on_the_images_of_all_its_members() -> None:
    members = decide(different(4), np.ones(4, bool))
    assert len(members) == 4
    assert sum(member.weight for member in members) == pytest.approx(1)


def test_no_member_of_an_ensemble_lacks_a_fold_of_the_best_trial() -> None:
    made = different(4, known=[ALL, ALL, ALL, first(3)])
    members = decide(made, all_of(made))
    assert {member.trial for member in members} == {0, 1, 2}
    assert {member.trial for member in decide(made, np.array([True, False, False, True]))} == {0}


def test_with_one_fold_there_is_no_ensemble() -> None:
    made = different(4, known=[first(1)] * 4)
    assert len(decide(made, all_of(made))) == 1


def test_before_the_first_fold_the_family_that_is_usually_best_is_taken() -> None:
    made = of_shares([0.5] * 3, [first(0)] * 3, families=["cnn", "frozen", "fine-tune"], costs=[1, 2, 3])
    assert decide(made, all_of(made)) == (Member(2, 1.0),)


# What is claimed


def test_the_score_of_one_clearly_best_trial_is_its_own() -> None:
    made = of_shares([0.5, 0.9])
    (member,) = decide(made, all_of(made))
    found = expected_score(made, all_of(made), [(member.trial, member.weight)])
    assert found is not None
    assert found.value == pytest.approx(0.9)
    assert found.naive == pytest.approx(0.9)
    assert found.low < 0.9 < found.high
    assert (found.method, found.trials, found.images) == (PROGRESSIVE, 2, 1000)


def test_the_choice_that_is_repeated_for_each_fold_is_made_by_what_the_user_wishes() -> None:
    made = replace(of_shares([0.6, 0.9]), milliseconds=(1.0, 9.0))
    every, quick = np.arange(FOLDS), Wish(milliseconds=5.0)
    np.testing.assert_allclose(progressive(made, all_of(made), every), made.probabilities[1])
    np.testing.assert_allclose(progressive(made, all_of(made), every, quick), made.probabilities[0])
    found = expected_score(made, all_of(made), [(0, 1.0)], quick)
    assert found is not None and found.value == pytest.approx(0.6)


def test_a_partial_choice_is_judged_on_the_folds_that_it_has() -> None:
    made = of_shares([0.5, 0.9], [ALL, first(2)])
    found = expected_score(made, all_of(made), [(1, 1.0)])
    assert found is not None
    assert found.images == 400
    assert found.naive == pytest.approx(0.9)


def test_without_a_fold_nothing_is_claimed() -> None:
    made = of_shares([0.5, 0.9], [ALL, first(0)])
    assert expected_score(made, all_of(made), [(1, 1.0)]) is None


def race(seed: int, *, families: list[str] | None = None, images: int = 200) -> tuple[Evidence, NDArray[np.bool_]]:
    """(Evidence of 30 trials that guess, who had the end): after each fold the worse half of the trials is pruned."""
    rng = np.random.default_rng(seed)
    labels, folds = rng.permutation(np.arange(images) % 2), np.arange(images) % FOLDS
    rows = rng.dirichlet([1, 1], (30, images)).astype(np.float32)
    right = rows.argmax(axis=2) == labels
    known = np.zeros((30, FOLDS), bool)
    alive = np.ones(30, bool)
    for fold in range(FOLDS):
        known[alive, fold] = True
        so_far = np.where(alive, right[:, folds <= fold].mean(axis=1), -1)
        if fold < FOLDS - 1:
            alive &= so_far >= np.median(so_far[alive])
    return evidence(rows, labels, folds, known=known, families=families), np.asarray(known.all(axis=1))


@pytest.mark.first(1)
@pytest.mark.parametrize("pretrained", [True, False])
def test_of_random_predictions_in_a_race_chance_is_claimed(pretrained: bool) -> None:
    claimed, naive = [], []
    for seed in range(40):
        made, ended = race(seed, families=["frozen"] * 30 if pretrained else None)
        members = [(member.trial, member.weight) for member in decide(made, ended)]
        found = expected_score(made, ended, members)
        assert found is not None
        claimed.append(found.value)
        naive.append(found.naive)
    assert np.mean(claimed) == pytest.approx(0.5, abs=0.02)
    assert np.mean(naive) > 0.54


Race = tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_], NDArray[np.bool_]]


@st.composite
def races(draw: st.DrawFn) -> Race:
    """(probabilities, labels, who has which fold, who may be chosen): what was pruned has the first folds only."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    trials = draw(st.integers(2, 6))
    counts = np.array(draw(st.lists(st.integers(1, FOLDS), min_size=trials, max_size=trials)))
    counts[0] = FOLDS
    pruned = (counts < FOLDS) & (rng.uniform(size=trials) < 0.8)
    return (
        rng.dirichlet([1, 1], (trials, IMAGES)).astype(np.float32),
        rng.integers(0, 2, IMAGES),
        np.arange(FOLDS)[None, :] < counts[:, None],
        ~pruned,
    )


def predicted(made: Race, labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """[images, classes] what the choices say that are judged, if these were the labels."""
    probabilities, _, known, candidates = made
    shown = evidence(probabilities, labels, np.arange(IMAGES) % FOLDS, known=known)
    return progressive(shown, candidates, np.arange(FOLDS))


@settings(max_examples=60, deadline=None)
@given(races(), st.integers(0, FOLDS - 1), st.integers(0, 2**31))
def test_where_trials_were_pruned_a_fold_is_predicted_without_its_labels_and_those_of_later_ones(
    made: Race, fold: int, seed: int
) -> None:
    _, labels, _, candidates = made
    candidates[-1] = False
    seen = np.arange(IMAGES) % FOLDS < fold
    others = np.where(seen, labels, np.random.default_rng(seed).integers(0, 2, IMAGES))
    upto = np.arange(IMAGES) % FOLDS <= fold
    np.testing.assert_array_equal(predicted(made, labels)[upto], predicted(made, others)[upto])


@settings(max_examples=60, deadline=None)
@given(races(), st.integers(0, FOLDS - 1), st.integers(0, 2**31))
def test_where_no_trial_was_pruned_a_fold_is_predicted_without_its_own_labels(made: Race, fold: int, seed: int) -> None:
    _, labels, _, candidates = made
    candidates[:] = True
    inside = np.arange(IMAGES) % FOLDS == fold
    others = np.where(inside, np.random.default_rng(seed).integers(0, 2, IMAGES), labels)
    ours, theirs = predicted(made, labels)[inside], predicted(made, others)[inside]
    assert not np.isnan(ours).any()
    np.testing.assert_array_equal(ours, theirs)


def test_the_first_fold_of_a_race_of_networks_from_scratch_is_not_judged() -> None:
    """Before it nothing tells them apart, and any of them would be unfair to the search."""
    for families, judged in ((["cnn"] * 30, False), (["cnn"] * 29 + ["frozen"], True)):
        made, ended = race(0, families=families)
        said = progressive(made, ended, np.arange(FOLDS))
        assert np.isnan(said).any(axis=1).tolist() == ((made.folds == 0) & (not judged)).tolist()
