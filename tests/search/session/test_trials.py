"""The trials of a running study: the same answers as a look through all of them."""

from __future__ import annotations

from dataclasses import replace

from search.session.trials import MAX_ALIKE_IN_A_ROW, Trials, too_many_failures
from search.stats.ranking import best
from storage import FoldRecord, TrialRecord, TrialState
from storage.records import Origin

METRIC = "accuracy"


def a_trial(number: int, score: float | None = None, state: TrialState = TrialState.COMPLETE) -> TrialRecord:
    folds = () if score is None else (FoldRecord(number, 0, 0, 1, {METRIC: score}, 1, 1, {}, 1, 1.0),)
    return TrialRecord(number, {"rate": 0.1 * number, "norm": "none"}, Origin.SAMPLER, state=state, folds=folds)


def test_open_trials_are_the_running_ones_oldest_first() -> None:
    trials = Trials(METRIC, [a_trial(0, 0.5), a_trial(1, state=TrialState.RUNNING)])
    trials.append(a_trial(2, state=TrialState.RUNNING))
    assert [trial.number for trial in trials.open] == [1, 2]
    trials[1] = a_trial(1, state=TrialState.FAILED)
    assert [trial.number for trial in trials.open] == [2]
    trials[1] = a_trial(1, state=TrialState.RUNNING)
    assert [trial.number for trial in trials.open] == [1, 2]


def test_of_the_open_trials_those_of_the_sampler_are_not_free_while_they_are_busy() -> None:
    running = [replace(a_trial(number, state=TrialState.RUNNING), origin=Origin.START) for number in range(2)]
    trials = Trials(METRIC, [*running, a_trial(2, state=TrialState.RUNNING), a_trial(3, state=TrialState.RUNNING)])
    assert [trial.number for trial in trials.open_and_free({0, 3})] == [0, 1, 2]
    trials[0], trials[2] = replace(running[0], state=TrialState.FAILED), a_trial(2, 0.5)
    assert [trial.number for trial in trials.open_and_free(set())] == [1, 3]


def test_the_best_is_that_of_all_whatever_their_order() -> None:
    scores = [0.5, 0.7, 0.7, float("nan"), 0.6]
    trials = Trials(METRIC)
    for number, score in enumerate(scores):
        trials.append(a_trial(number, state=TrialState.RUNNING))
        trials[number] = a_trial(number, score)
        assert trials.best == best(list(trials), METRIC)
    assert trials.best is not None and trials.best.number == 1
    trials.append(a_trial(5, 0.9, TrialState.PRUNED))
    assert trials.best.number == 1


def test_trials_broken_in_a_row_are_the_latest_that_closed_but_for_what_is_open() -> None:
    def failed(number: int, cause: str = "error") -> TrialRecord:
        return replace(a_trial(number, state=TrialState.FAILED), cause=cause)

    trials = Trials(METRIC, [failed(0), a_trial(1, 0.5), failed(2), a_trial(3, state=TrialState.RUNNING), failed(4)])
    assert trials.broken_in_a_row == 2
    trials[3] = failed(3, "worker died")
    assert trials.broken_in_a_row == 3
    trials.append(failed(5, "not finite"))
    assert trials.broken_in_a_row == 0


def test_the_same_with_half_the_batch_is_no_further_failure() -> None:
    def failed(number: int, origin: Origin = Origin.SAMPLER) -> TrialRecord:
        return replace(a_trial(number, state=TrialState.FAILED), cause="out of memory", origin=origin)

    trials = Trials(METRIC)
    for number in range(3 * MAX_ALIKE_IN_A_ROW):
        trials.append(failed(number, Origin.SMALLER if number % 3 else Origin.SAMPLER))
        ends = number == 3 * (MAX_ALIKE_IN_A_ROW - 1)
        assert bool(too_many_failures(trials, trials[-1])) == ends, "a later session may have as many again"
    assert trials.alike_in_a_row("out of memory") == MAX_ALIKE_IN_A_ROW
    trials.append(replace(a_trial(len(trials), 0.5), origin=Origin.SMALLER))
    assert trials.alike_in_a_row("out of memory") == 0, "one that can be trained tells that others can"


def test_it_knows_every_point_whatever_the_order_of_its_parameters() -> None:
    trials = Trials(METRIC, [a_trial(0), a_trial(1)])
    assert trials.has({"norm": "none", "rate": 0.1})
    assert not trials.has({"norm": "none", "rate": 0.3})
    assert not trials.has({"rate": 0.1})


def test_it_is_a_sequence_of_the_trials() -> None:
    trials = Trials(METRIC, [a_trial(0), a_trial(1)])
    assert len(trials) == 2
    assert trials[-1] == a_trial(1)
    assert [trial.number for trial in trials[:1]] == [0]
