"""What is believed of trials: only what their images support, and nothing of how the trials are named or numbered."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.stats.contributions import class_weights
from search.stats.evidence import MAX_TRIALS, WORTH, Evidence, belief, comparable, evidence_of, may_be_chosen
from search.stats.metrics import METRICS
from storage.records import (
    OUT_OF_TIME,
    DiagnosisRecord,
    FoldRecord,
    LayerRecord,
    Origin,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from tests.search.stats.simulated import evidence

FOLDS = 5
FAMILIES = ("frozen", "fine-tune", "cnn")


def answers(right: NDArray[np.bool_], labels: NDArray[np.integer]) -> NDArray[np.float32]:
    """[..., images, 2] probabilities whose larger one is the true class where `right` [..., images]."""
    predicted = np.where(right, labels, 1 - labels)
    return np.eye(2, dtype=np.float32)[predicted] * 0.6 + 0.2


def of_shares(shares: list[float], known: NDArray[np.bool_], images: int = 200, **options: object) -> Evidence:
    """Trials that are right for these shares of each fold's images, the same images first for all."""
    folds = np.arange(images) % FOLDS
    labels = np.arange(images) // FOLDS % 2
    place = np.arange(images) // FOLDS * FOLDS / images  # of an image in its fold, 0..1
    right = np.stack([place < share for share in shares])
    return evidence(answers(right, labels), labels, folds, known=known, **options)  # type: ignore[arg-type]


ALL = np.ones(FOLDS, bool)


def first(folds: int) -> NDArray[np.bool_]:
    return np.arange(FOLDS) < folds


def test_a_trial_with_missing_folds_is_compared_on_the_images_that_both_have() -> None:
    """Fold 0 is easy. A trial that has only it, and is worse there, is not ahead for it."""
    images = 200
    folds, labels = np.arange(images) % FOLDS, np.arange(images) // FOLDS % 2
    hard = (np.arange(images) // FOLDS) % 2 == 0
    whole = (folds == 0) | ~hard  # all of fold 0, half of the others
    partial = (folds == 0) & (np.arange(images) // FOLDS % 8 != 0)  # 35 of 40 of fold 0
    made = evidence(answers(np.stack([whole, partial]), labels), labels, folds, known=np.stack([ALL, first(1)]))
    assert np.nanmean(made.gains[1]) > np.nanmean(made.gains[0])
    mean = belief(made).mean
    assert mean[1] < mean[0]


def test_a_lucky_trial_with_few_images_is_not_believed() -> None:
    """All of 8 images right, where the others have 80 % of 40: that is no lead of 20 points."""
    shares = [0.8, 0.8, 0.8, 1.0]
    made = of_shares(shares, np.stack([ALL, ALL, ALL, first(1)]), images=40)
    believed = belief(made)
    assert 0 <= believed.mean[3] - believed.mean[0] < 0.02
    assert believed.error[3] > believed.error[0]


def test_a_lead_on_many_images_is_believed() -> None:
    made = of_shares([0.8, 0.8, 0.8, 0.9], np.stack([ALL] * 4), images=5000)
    believed = belief(made)
    assert believed.behind(0, 3) == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_without_any_fold_the_families_decide_in_units_of_the_metric(metric: str) -> None:
    made = of_shares([0.5] * 3, np.zeros((3, FOLDS), bool), families=FAMILIES, metric=metric)
    believed = belief(made)
    worth = METRICS[metric].scale * np.array([WORTH[name] for name in FAMILIES])
    np.testing.assert_allclose(believed.mean - believed.mean[0], worth - worth[0], atol=1e-9)
    assert (believed.error > 0).all()


def test_a_first_fold_of_another_family_is_weighed_against_what_its_family_is_worth() -> None:
    """The same lead is believed sooner of a family that is usually ahead."""
    known = np.stack([ALL, ALL, first(1)])
    leads = []
    for family in ("fine-tune", "cnn"):
        made = of_shares([0.8, 0.8, 0.85], known, images=200, families=("frozen", "frozen", family))
        leads.append(belief(made).behind(0, 2))
    assert leads[0] > leads[1]


@st.composite
def studies(draw: st.DrawFn) -> Evidence:
    """Some trials of some families on a few images, most with all folds."""
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    trials, images = draw(st.integers(2, 7)), draw(st.integers(20, 80))
    labels, folds = np.arange(images) % 2, np.arange(images) % FOLDS
    right = rng.uniform(size=(trials, images)) < rng.uniform(0.4, 1.0, (trials, 1))
    counts = np.array(draw(st.lists(st.integers(0, FOLDS), min_size=trials, max_size=trials)))
    counts[0] = FOLDS
    possible = draw(st.sampled_from([FAMILIES, FAMILIES[1:]]))  # without backbones there is no frozen
    families = draw(st.lists(st.sampled_from(possible), min_size=trials, max_size=trials))
    known = np.arange(FOLDS)[None, :] < counts[:, None]
    costs = rng.integers(1, 100, trials).tolist()
    return evidence(answers(right, labels), labels, folds, known=known, families=families, costs=costs)


@settings(max_examples=100, deadline=None)
@given(studies(), st.data())
def test_the_order_and_the_numbers_of_trials_change_nothing(made: Evidence, data: st.DataObject) -> None:
    trials = len(made.numbers)
    distinct = replace(made, gains=made.gains + np.arange(trials)[:, None] * 1e-9)  # equal ones would go by number
    order = data.draw(st.permutations(range(trials)))
    ours, theirs = belief(distinct), belief(distinct.only(order))
    np.testing.assert_allclose(theirs.mean, ours.mean[order], atol=1e-7)
    np.testing.assert_allclose(theirs.error, ours.error[order], atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(studies(), st.floats(-5, 5))
def test_a_common_shift_of_all_gains_changes_nothing(made: Evidence, shift: float) -> None:
    """Nor does a shift of each image, such as how hard it is: only differences between trials count."""
    ours = belief(made)
    of_each = np.random.default_rng(0).normal(0, 1, len(made.labels))
    for moved in (made.gains + shift, made.gains + shift * of_each):
        theirs = belief(replace(made, gains=moved))
        np.testing.assert_allclose(theirs.mean, ours.mean, atol=1e-7)
        np.testing.assert_allclose(theirs.error, ours.error, atol=1e-7)


@settings(max_examples=30, deadline=None)
@given(studies(), st.floats(0.1, 10))
def test_a_metric_in_other_units_is_believed_alike(made: Evidence, factor: float) -> None:
    ours, usual = belief(replace(made, metric="accuracy")), METRICS["accuracy"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(METRICS, "accuracy", replace(usual, scale=factor))
        theirs = belief(replace(made, metric="accuracy", gains=made.gains * factor))
    np.testing.assert_allclose(theirs.mean, ours.mean * factor, atol=1e-7 * factor)
    np.testing.assert_allclose(theirs.error, ours.error * factor, atol=1e-7 * factor)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, FOLDS), min_size=4, max_size=4),
    st.lists(st.sampled_from([0.7, 0.75, 0.8, 0.85]), min_size=4, max_size=4),
)
def test_of_trials_that_differ_alike_one_with_more_folds_has_no_larger_error(
    counts: list[int], shares: list[float]
) -> None:
    """The first two are the same network; their images differ from the others' in the same way in every fold."""
    counts, shares = [*sorted(counts[:2]), FOLDS, FOLDS], [shares[0], *shares[:3]]
    made = of_shares(shares, np.arange(FOLDS)[None, :] < np.array(counts)[:, None])
    error = belief(made).error
    assert error[0] >= error[1] - 1e-12


@settings(max_examples=40, deadline=None)
@given(studies(), st.integers(0, FOLDS - 1))
def test_a_hidden_fold_is_as_if_it_had_never_been_trained(made: Evidence, fold: int) -> None:
    hidden = made.without(np.arange(FOLDS) == fold)
    assert not hidden.known[:, fold].any()
    others = np.arange(FOLDS) != fold
    np.testing.assert_array_equal(hidden.known[:, others], made.known[:, others])
    np.testing.assert_array_equal(made.known, ~np.isnan(made.gains[:, :FOLDS]))


# From records to evidence

STUDY = StudyRecord(
    "s", "2026-01-01T00:00:00+00:00", 5, "balanced_accuracy", ("a", "b"), (8, 8, 1), "f", {"preset": "cnn"}, {}
)


@pytest.mark.parametrize("metric", sorted(METRICS))
def test_gains_are_contributions_whose_mean_is_the_metric(metric: str) -> None:
    rng = np.random.default_rng(1)
    labels, folds = np.arange(60) % 3, np.arange(60) // 3 % FOLDS
    rows = rng.dirichlet(np.ones(3), (2, 60)).astype(np.float32)
    made = evidence(rows, labels, folds, metric)
    for number in range(2):
        each = [METRICS[metric].of(labels[folds == f], rows[number, folds == f]) for f in range(FOLDS)]
        expected = METRICS[metric].gain(float(np.mean(each)))
        assert made.gains[number].mean() == pytest.approx(expected, abs=1e-6)


def test_images_outside_the_folds_are_no_evidence_and_further_repeats_count_if_they_are_whole() -> None:
    labels = np.array([0, 1, 0, 1, 0, 1])
    assignments = [np.array([0, 0, 1, 1, -1, -1], np.int16), np.array([1, 0, 0, 1, -1, -1], np.int16)]
    right, wrong = np.array([[0.9, 0.1], [0.1, 0.9]]), np.array([[0.1, 0.9], [0.9, 0.1]])
    trials = [
        TrialRecord(n, {}, Origin.SAMPLER, layers=(LayerRecord("dense", "Dense", (2,), 10 * n),)) for n in range(3)
    ]
    search = {0: right, 1: right}
    predictions = [
        [search],
        [search, {0: wrong[::-1], 1: wrong}],  # a whole repeat, wrong everywhere
        [search, {0: wrong[::-1]}],  # half a repeat
    ]
    made = evidence_of(trials, predictions, labels, assignments, STUDY)
    assert made.labels.tolist() == [0, 1, 0, 1]
    assert made.folds.tolist() == [0, 0, 1, 1]
    assert made.costs == (0.0, 10.0, 20.0)
    assert made.families == ("cnn",) * 3
    weights = class_weights(made.labels)
    assert weights.tolist() == [1.0, 1.0]
    np.testing.assert_allclose(made.gains, np.repeat([[1.0], [0.5], [1.0]], 4, axis=1))
    assert (made.probabilities[1] == made.probabilities[0]).all()


def a_trial(number: int, *scores: float, **changes: object) -> TrialRecord:
    folds = tuple(
        FoldRecord(number, 0, fold, 1, {"accuracy": score}, 5, 3, {}, 10, 1.0) for fold, score in enumerate(scores)
    )
    return replace(TrialRecord(number, {}, Origin.SAMPLER, folds=folds), **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("trial", "chosen", "compared"),
    [
        (a_trial(0, 0.8, 0.9, state=TrialState.COMPLETE), True, True),
        (a_trial(0, 0.8, state=TrialState.RUNNING), True, True),
        (a_trial(0, 0.8, state=TrialState.PRUNED, cause=OUT_OF_TIME), True, True),
        (a_trial(0, state=TrialState.PRUNED, cause=OUT_OF_TIME), False, False),
        (a_trial(0, state=TrialState.RUNNING), False, False),
        (a_trial(0, float("nan"), state=TrialState.COMPLETE), False, False),
        (a_trial(0, 0.8, state=TrialState.PRUNED, cause="behind"), False, True),
        (a_trial(0, 0.8, state=TrialState.FAILED, cause="out of memory"), False, False),
    ],
    ids=["complete", "running", "out of time", "no fold", "no fold yet", "not a number", "behind", "failed"],
)
def test_what_may_be_chosen_and_what_is_only_compared(trial: TrialRecord, chosen: bool, compared: bool) -> None:
    assert may_be_chosen(trial, "accuracy") == chosen
    assert comparable([trial], "accuracy") == ([trial] if compared else [])


def test_a_collapsed_trial_is_no_evidence() -> None:
    stuck = DiagnosisRecord("stuck at chance", "dead ReLU", (), "", collapsed=True)
    trial = a_trial(1, 0.5, 0.5, state=TrialState.PRUNED, cause=stuck.name)
    trial = replace(trial, folds=tuple(replace(fold, diagnosis=stuck) for fold in trial.folds))
    assert trial.collapsed
    assert comparable([trial], "accuracy") == []


def test_of_very_many_trials_the_best_of_the_first_fold_are_compared_in_order_of_number() -> None:
    trials = [a_trial(n, n % 7 / 7, 1 - n / 1000, state=TrialState.COMPLETE) for n in range(MAX_TRIALS + 50)]
    kept = comparable(trials, "accuracy")
    assert len(kept) == MAX_TRIALS
    assert [trial.number for trial in kept] == sorted(trial.number for trial in kept)
    dropped = {trial.number for trial in trials} - {trial.number for trial in kept}
    assert {number % 7 for number in dropped} == {0}
