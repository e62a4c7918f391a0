"""Score against time and size."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from search.results.costs import (
    MILLISECONDS,
    MULTIPLICATIONS,
    WEIGHTS,
    quickest_of_tied,
    sizes,
    speeds,
)
from search.results.timing import milliseconds
from storage.records import ChoiceRecord, Params, TrialRecord
from tests.studies import Records, example, with_backbones, with_two_objectives


def test_without_a_measured_time_multiplications_stand_for_it() -> None:
    found = speeds(example().data())
    assert found is not None and found.kind == MULTIPLICATIONS


def test_measured_time_is_taken_if_it_is_known_for_half_of_the_trials_and_for_the_best() -> None:
    records = with_two_objectives("latency")

    def kind(*unknown: int) -> str:
        trials = tuple(
            replace(t, folds=tuple(replace(f, latency=None) for f in t.folds)) if t.number in unknown else t
            for t in records.trials
        )
        found = speeds(replace(records, trials=trials).data())
        assert found is not None
        return found.kind

    assert kind() == kind(0, 2) == MILLISECONDS
    assert kind(7) == MULTIPLICATIONS, "the best"
    assert kind(0, 1, 2, 5) == MULTIPLICATIONS, "most"


def test_no_trial_of_the_front_is_beaten_in_both_ways_and_every_other_is() -> None:
    found = speeds(with_two_objectives("latency").data())
    assert found is not None
    assert all(a.cost < b.cost and a.score < b.score for a, b in pairwise(found.front))
    for point in found.points:
        beaten = any(
            other.cost <= point.cost and other.score >= point.score and other is not point for other in found.points
        )
        assert (point in found.front) == (not beaten)


def test_of_a_loss_less_is_better() -> None:
    found = sizes(example(metric="log_loss").data())
    assert found is not None and found.kind == WEIGHTS
    assert all(a.cost < b.cost and a.score > b.score for a, b in pairwise(found.front))


def test_heads_that_have_pictures_passed_in_one_way_have_one_time() -> None:
    records = with_backbones()
    times = milliseconds("auto", records.data().trials)
    assert set(times) == {1}, "nothing is known of the others"

    def point(number: int, size: int, seconds: float | None) -> TrialRecord:
        params: Params = {"family": "frozen", "frozen_input_size": size, "frozen_c": float(number)}
        trial = records.trials[number]
        return replace(trial, params=params, folds=tuple(replace(f, latency=seconds) for f in trial.folds))

    trials = [point(1, 128, 4.0), point(2, 128, None), point(5, 128, 6.0), point(7, 192, 9.0)]
    assert milliseconds("auto", trials) == {1: 5.0, 2: 5.0, 5: 5.0, 7: 9.0}


def test_the_quickest_of_the_trials_as_good_as_the_best() -> None:
    records: Records = with_two_objectives("latency")
    data = records.data()
    assert len(data.ties) > 1
    assert quickest_of_tied(data) == min(data.ties), "latency is trial + 1 ms"
    alone = replace(records, trials=records.trials[:2]).data()
    assert len(alone.ties) == 1 and quickest_of_tied(alone) is None


@pytest.mark.parametrize("count", [0, 1])
def test_one_trial_is_compared_with_nothing(count: int) -> None:
    data = example().data(trials=example().trials[:count], probabilities={})
    assert speeds(data) is None and sizes(data) is None


def test_the_saved_trials_must_have_a_time_too() -> None:
    records = with_two_objectives("latency")
    trials = tuple(
        replace(t, folds=tuple(replace(f, latency=None) for f in t.folds)) if t.number == 5 else t
        for t in records.trials
    )
    choice = ChoiceRecord("2026-01-01T00:00:00+00:00", 5, ((5, 1.0),), (), 0, 1.0, None)
    found = speeds(replace(records, trials=trials, choices=(choice,)).data())
    assert found is not None and found.kind == MULTIPLICATIONS
