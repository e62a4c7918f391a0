"""The rules of the race: what they are, that they seldom stop equal trials, and how they depend on the metric."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from search.stats import racing
from search.stats.contributions import class_weights
from search.stats.metrics import METRICS, scores
from search.stats.racing import RaceEntry, RaceSavings, Schedule
from storage import FoldRecord, TrialRecord, TrialState
from storage.records import Origin

EVEN = np.ones(2)

answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=80)
"""Per image: whether the trial is right, and whether the incumbent is right."""


def runner(number: int, right: list[bool], folds: int = 2) -> RaceEntry:
    parts = np.array_split(np.array(right, float), folds)
    return RaceEntry(number, dict(enumerate(parts)), {f: float(np.mean(part)) for f, part in enumerate(parts)})


def decided(mine: list[bool], theirs: list[bool], folds: int = 2, metric: str = "accuracy") -> str | None:
    return racing.behind("paired", metric, runner(9, mine, folds), runner(4, theirs, folds), EVEN)


@given(answers)
def test_paired_is_the_rule_of_wins_and_losses(pairs: list[tuple[bool, bool]]) -> None:
    mine, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    wins, losses = sum(a > b for a, b in pairs), sum(a < b for a, b in pairs)
    assert (decided(mine, theirs) is not None) == (wins - losses + 0.5 < -1.64 * math.sqrt(wins + losses))


@given(answers)
def test_of_two_trials_at_most_one_is_behind_the_other(pairs: list[tuple[bool, bool]]) -> None:
    mine, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    assert decided(mine, theirs) is None or decided(theirs, mine) is None


@given(answers, st.data())
def test_a_trial_that_continues_would_continue_with_one_more_image_right(
    pairs: list[tuple[bool, bool]], data: st.DataObject
) -> None:
    mine, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    assume(decided(mine, theirs) is None)
    more = list(mine)
    more[data.draw(st.integers(0, len(more) - 1))] = True
    assert decided(more, theirs) is None


@given(answers)
def test_after_one_fold_stopping_needs_a_larger_gap_than_after_two(pairs: list[tuple[bool, bool]]) -> None:
    mine, theirs = [a for a, _ in pairs], [b for _, b in pairs]
    if decided(mine, theirs, folds=1) is not None:
        assert decided(mine, theirs, folds=2) is not None


def test_the_reason_names_the_images_worse_and_better_and_the_incumbent() -> None:
    mine, theirs = [False] * 31 + [True] * 29, [True] * 31 + [False] * 12 + [True] * 17
    assert decided(mine, theirs) == "31 images worse, 12 better than trial 4 on the same 60"


def test_with_500_images_stopping_needs_a_larger_gap() -> None:
    mine, theirs = [False] * 20 + [True] * 10 + [True] * 570, [True] * 20 + [False] * 10 + [True] * 570
    assert decided(mine[:400], theirs[:400]) is not None
    assert decided(mine, theirs) is None


def test_equal_trials_are_seldom_stopped() -> None:
    """After the second fold of 100 images of a study, z = 1.64: 5 % by design; 2,000 pairs, seed 0."""
    rng = np.random.default_rng(0)
    right = rng.random((2000, 2, 100)) < 0.8
    stopped = sum(decided(list(mine), list(theirs)) is not None for mine, theirs in right)
    assert stopped / 2000 < 0.06


def said(labels: NDArray[np.int64], rng: np.random.Generator, classes: int, skill: float) -> NDArray[np.float32]:
    logits = rng.normal(size=(len(labels), classes))
    logits[np.arange(len(labels)), labels] += skill
    rows = np.exp(logits)
    return np.asarray(rows / rows.sum(axis=1, keepdims=True), np.float32)


@settings(deadline=None)  # the first imports scipy
@given(st.integers(0, 10_000), st.integers(2, 4))
def test_contributions_add_up_to_the_metric(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(0, classes, 30)])
    rows = said(labels, rng, classes, 1.0).round(2) + np.float32(0.01)  # with ties
    measured, weights = scores(labels, rows), class_weights(labels)
    total = {metric: METRICS[metric].contributions(labels, rows, weights).sum() for metric in METRICS}
    assert total["accuracy"] / len(labels) == pytest.approx(measured["accuracy"])
    assert total["balanced_accuracy"] / len(labels) == pytest.approx(measured["balanced_accuracy"])
    assert -total["log_loss"] / len(labels) == pytest.approx(measured["log_loss"], rel=1e-5)
    assert total["auroc"] / 2 == pytest.approx(measured["auroc"])


@pytest.mark.parametrize("metric", METRICS)
def test_by_every_metric_the_worse_trial_is_stopped_and_the_better_one_continues(metric: str) -> None:
    rng, labels = np.random.default_rng(1), np.arange(120) % 2
    folds = np.array_split(np.arange(120), 3)
    good, poor = (
        RaceEntry(
            n,
            {
                f: METRICS[metric].contributions(labels[r], said(labels[r], rng, 2, s), EVEN)
                for f, r in enumerate(folds)
            },
            {},
        )
        for n, s in ((1, 3.0), (2, 0.3))
    )
    assert racing.behind("paired", metric, poor, good, EVEN) is not None
    assert racing.behind("paired", metric, good, poor, EVEN) is None
    assert racing.behind("none", metric, poor, good, EVEN) is None


def test_a_trial_as_often_right_and_more_certain_is_better_by_log_loss() -> None:
    labels = np.zeros(40, np.int64)
    unsure, sure = (np.tile(np.array([p, 1 - p], np.float32), (40, 1)) for p in (0.6, 0.9))
    mine, theirs = (
        RaceEntry(n, dict(enumerate(np.array_split(METRICS["log_loss"].contributions(labels, rows, EVEN), 2))), {})
        for n, rows in ((7, unsure), (3, sure))
    )
    reason = racing.behind("paired", "log_loss", mine, theirs, EVEN)
    assert reason == "its log loss is 0.405 higher than that of trial 3 on the same 40 images"


def test_in_balanced_accuracy_an_image_of_a_small_class_counts_for_more() -> None:
    """Classes of 90 and 10 images: eight losses in the small class outweigh ten wins in the large one."""
    labels = np.repeat([0, 1], [90, 10])
    weights = class_weights(labels)
    np.testing.assert_allclose(weights, [100 / 180, 5])
    mine, theirs = np.eye(2, dtype=np.float32)[labels], np.eye(2, dtype=np.float32)[labels]
    mine[90:98], theirs[:10] = [1, 0], [0, 1]
    one, other = (
        RaceEntry(n, {0: worth[::2], 1: worth[1::2]}, {})
        for n, rows in ((1, mine), (2, theirs))
        for worth in [METRICS["balanced_accuracy"].contributions(labels, rows, weights)]
    )
    assert racing.behind("paired", "balanced_accuracy", one, other, weights) == (
        "8 images worse, 10 better than trial 2 on the same 100"
    )
    assert decided(list(mine.argmax(axis=1) == labels), list(theirs.argmax(axis=1) == labels)) is None


@pytest.mark.parametrize(
    ("metric", "mine", "stopped"),
    [("accuracy", 0.71, False), ("accuracy", 0.7, True), ("log_loss", 0.79, False), ("log_loss", 0.8, True)],
)
def test_forgiving_asks_whether_the_mean_beats_the_incumbents_worst_fold(
    metric: str, mine: float, stopped: bool
) -> None:
    lead = RaceEntry(0, {}, {0: 0.8, 1: 0.7, 2: 0.75})
    trial = RaceEntry(5, {}, {0: mine, 1: mine})
    reason = racing.behind("forgiving", metric, trial, lead, EVEN)
    assert (reason is not None) == stopped
    if stopped:
        worst = "0.700" if metric == "accuracy" else "0.800"
        assert reason == (f"its mean of {mine:.3f} after 2 folds is no better than the worst fold of trial 0, {worst}")


@given(st.integers(1, 500))
def test_the_first_rung_is_after_a_tenth_of_the_epochs_and_none_is_at_the_end(epochs: int) -> None:
    looks = racing.rungs(epochs)
    assert all(0.1 * epochs <= look < epochs for look in looks)
    assert all(b == 3 * a for a, b in pairwise(looks))
    assert not looks or 3 * looks[-1] >= epochs


TEN = Schedule("constant", 10)  # rungs after 1, 3 and 9 epochs


def test_a_curve_that_stopped_by_itself_keeps_its_best_and_one_cut_short_has_no_later_value() -> None:
    assert racing.best_at_rungs("accuracy", (0.5, 0.7, 0.6, 0.4), TEN, cut=False) == {1: 0.5, 3: 0.7, 9: 0.7}
    assert racing.best_at_rungs("accuracy", (0.5, 0.7, 0.6), TEN, cut=True) == {1: 0.5, 3: 0.7}
    assert racing.best_at_rungs("log_loss", (0.5, 0.7, 0.4), TEN, cut=False) == {1: 0.5, 3: 0.4, 9: 0.4}
    assert racing.best_at_rungs("auroc", (math.nan, math.nan), TEN, cut=False) == {}


def test_from_eight_trials_on_a_first_fold_must_be_as_good_as_the_best_third() -> None:
    others = [n / 10 for n in range(9)]
    assert racing.thresholds("accuracy", {1: others[:7]}) == {}
    assert racing.thresholds("accuracy", {1: others, 3: others[:7]}) == {1: 0.6}  # 0.8, 0.7, 0.6: three of nine
    assert racing.thresholds("log_loss", {1: others}) == {1: 0.2}


@given(st.lists(st.floats(0, 1), min_size=8, max_size=40))
def test_a_third_of_the_trials_reach_the_threshold(values: list[float]) -> None:
    asked = racing.thresholds("accuracy", {1: sorted(values)})[1]
    assert sum(value >= asked for value in values) >= len(values) // 3
    assert sum(value > asked for value in values) < max(len(values) // 3, 1)


def trial(number: int, folds: int, **changes: Any) -> TrialRecord:
    runs = tuple(FoldRecord(number, 0, f, 1, {}, 1, 1, {}, 1, 10.0 + f) for f in range(folds))
    return TrialRecord(number, {}, Origin.SAMPLER, **{"state": TrialState.PRUNED, "folds": runs, **changes})


def test_missing_folds_are_saved_at_the_pace_of_finished_ones() -> None:
    trials = [
        trial(0, 5, state=TrialState.COMPLETE),
        trial(1, 2, cause=racing.BEHIND),
        trial(2, 1, cause=racing.BEHIND_EARLY),
        trial(3, 1, cause="out of time"),
        trial(4, 1, state=TrialState.FAILED, cause="error"),
    ]
    assert racing.saved(trials, 5) == RaceSavings(folds=3 + 4, seconds=3 * 10.5 + 4 * 10, trials=2)
