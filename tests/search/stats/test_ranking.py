"""The order of trials: complete ones by score, then the others; ties by number."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from search.stats.metrics import METRICS, better
from search.stats.ranking import best, pareto_front, ranked, second_value
from storage import FoldRecord, TrialRecord, TrialState
from storage.records import Origin

COMPLETE, PRUNED, RUNNING, FAILED = TrialState.COMPLETE, TrialState.PRUNED, TrialState.RUNNING, TrialState.FAILED


def trial(number: int, state: TrialState, *scores: float, metric: str = "accuracy") -> TrialRecord:
    """A trial with these scores, one per fold."""
    folds = tuple(
        FoldRecord(number, 0, fold, 1, {metric: score}, 1, 1, {}, 10, 1.0) for fold, score in enumerate(scores)
    )
    return TrialRecord(number, {}, Origin.SAMPLER, state, folds=folds)


@st.composite
def trials(draw: st.DrawFn, metric: str) -> list[TrialRecord]:
    """Up to ten trials in any state and order, with up to three folds, some scores equal and some NaN."""
    score = st.sampled_from((0.1, 0.5, 0.5, 0.9, math.nan))
    made = [
        trial(number, draw(st.sampled_from(TrialState)), *draw(st.lists(score, max_size=3)), metric=metric)
        for number in range(draw(st.integers(0, 10)))
    ]
    return draw(st.permutations(made))


def numbers(trials: list[TrialRecord]) -> list[int]:
    return [t.number for t in trials]


def test_best_first_then_pruned_running_failed() -> None:
    trials = [
        trial(0, FAILED, 0.99),
        trial(1, RUNNING, 0.98),
        trial(2, PRUNED, 0.97),
        trial(3, COMPLETE, 0.25, 0.75),
        trial(4, COMPLETE, 0.9, 0.9),
        trial(5, COMPLETE, 0.5),
        trial(6, PRUNED),
        trial(7, COMPLETE, math.nan),
    ]
    assert numbers(ranked(trials, "accuracy")) == [4, 3, 5, 7, 2, 6, 1, 0]
    assert best(trials, "accuracy") == trials[4]


def test_the_smallest_log_loss_is_best() -> None:
    trials = [trial(n, COMPLETE, loss, metric="log_loss") for n, loss in enumerate((0.7, 0.2, 0.4))]
    assert numbers(ranked(trials, "log_loss")) == [1, 2, 0]


def test_of_equal_trials_the_first_is_ahead() -> None:
    trials = [trial(n, COMPLETE, 0.5) for n in (3, 1, 2)]
    assert numbers(ranked(trials, "accuracy")) == [1, 2, 3]


@pytest.mark.parametrize("state", [PRUNED, RUNNING, FAILED])
def test_only_a_complete_trial_can_be_best(state: TrialState) -> None:
    assert best([trial(0, state, 0.9)], "accuracy") is None
    assert best([trial(0, state, 0.9), trial(1, COMPLETE, 0.1)], "accuracy") == trial(1, COMPLETE, 0.1)
    assert best([], "accuracy") is None
    assert best([trial(0, COMPLETE, math.nan)], "accuracy") is None


@given(st.sampled_from(sorted(METRICS)).flatmap(lambda metric: st.tuples(st.just(metric), trials(metric))))
def test_ranking_is_a_total_order_independent_of_the_input_order(case: tuple[str, list[TrialRecord]]) -> None:
    metric, trials = case
    order = ranked(trials, metric)
    assert sorted(numbers(order)) == sorted(numbers(trials))
    assert numbers(order) == numbers(ranked(reversed(trials), metric)) == numbers(ranked(order, metric))
    states = [COMPLETE, PRUNED, RUNNING, FAILED]
    assert [states.index(t.state) for t in order] == sorted(states.index(t.state) for t in order)


@given(st.sampled_from(sorted(METRICS)).flatmap(lambda metric: st.tuples(st.just(metric), trials(metric))))
def test_no_complete_trial_is_better_than_the_best(case: tuple[str, list[TrialRecord]]) -> None:
    metric, trials = case
    leader = best(trials, metric)
    means = {t.number: np.mean(t.scores(metric)) for t in trials if t.state == COMPLETE and t.folds}
    known = {number: float(mean) for number, mean in means.items() if not np.isnan(mean)}
    if leader is None:
        assert not known
    else:
        assert not any(better(metric, mean, known[leader.number]) for mean in known.values())


# Two objectives


def weighed(number: int, score: float, parameters: int | None, state: TrialState = COMPLETE) -> TrialRecord:
    return replace(trial(number, state, score), parameters=parameters)


def test_the_front_has_the_trials_that_no_other_dominates() -> None:
    trials = [
        weighed(0, 0.9, 100),
        weighed(1, 0.9, 200),  # as good, but larger
        weighed(2, 0.7, 100),  # as small, but worse
        weighed(3, 0.8, 50),
        weighed(4, 0.95, 300),
        weighed(5, 0.9, 100),  # equal to another on the front
        weighed(6, 0.99, 10, PRUNED),
        weighed(7, 0.99, None),
        weighed(8, math.nan, 1),
    ]
    assert pareto_front(trials, "accuracy", "parameters") == {0, 3, 4, 5}


@given(
    st.lists(st.tuples(st.sampled_from((0.1, 0.5, 0.9)), st.integers(1, 3)), max_size=8),
    st.sampled_from(sorted(METRICS)),
)
def test_the_front_is_that_of_the_definition(values: list[tuple[float, int]], metric: str) -> None:
    trials = [
        replace(trial(n, COMPLETE, score, metric=metric), parameters=size) for n, (score, size) in enumerate(values)
    ]

    def beaten(score: float, size: int) -> bool:
        return any(
            (better(metric, s, score) and z <= size) or (not better(metric, score, s) and z < size) for s, z in values
        )

    expected = {n for n, (score, size) in enumerate(values) if not beaten(score, size)}
    assert pareto_front(trials, metric, "parameters") == expected


def test_latency_is_the_mean_of_the_folds_that_have_it() -> None:
    folds = [
        replace(fold, latency=ms) for fold, ms in zip(trial(0, COMPLETE, 1, 1, 1).folds, (1.0, None, 3.0), strict=True)
    ]
    assert second_value(replace(trial(0, COMPLETE), folds=tuple(folds)), "latency") == 2.0
    assert second_value(trial(0, COMPLETE, 1.0), "latency") is None
