"""The loop, with a real database, a real sampler, and results by formula instead of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.errors import UsageError
from search.jobs import DescribeJob, Description, Failure, FailureCause, FoldJob, Job, Outcome
from search.results.progress import Ending, Progress
from search.session.plan import Start
from search.session.signals import StopRequest
from spaces import Space
from spaces.parameters import integer
from storage import OUT_OF_TIME, TrialRecord, TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, Instant, by_formula, description_of
from tests.search.session.sessions import (
    ASSIGNMENT,
    FOLDS,
    Hands,
    Ticking,
    Watcher,
    dying_and_going_on,
    new_study,
    rows,
    sit,
    stored,
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_study(tmp_path / "study.db")


def test_it_runs_every_fold_of_as_many_trials_as_asked_and_stores_each(path: Path) -> None:
    watcher = Watcher()
    assert sit(path, Instant(), watcher) is Ending.FINISHED
    trials = stored(path)
    assert [t.number for t in trials] == list(range(6))
    assert {t.state for t in trials} == {TrialState.COMPLETE}
    assert all([f.fold for f in t.folds] == [0, 1, 2] for t in trials)
    assert [t.number for t in watcher.closed] == list(range(6))
    assert watcher.seen[-1].best is not None


def test_an_observer_hears_of_a_trial_once_its_end_is_stored_also_where_several_end_at_once(path: Path) -> None:
    class Reader(Watcher):
        def trial_closed(self, trial: TrialRecord, progress: Progress) -> None:
            super().trial_closed(trial, progress)
            assert stored(path)[trial.number].state == trial.state != TrialState.RUNNING

    watcher = Reader()
    sit(path, Instant(slots=7), watcher)
    assert sorted(t.number for t in watcher.closed) == list(range(6))


def test_a_fold_is_validated_on_its_own_images_and_trained_on_the_others(path: Path) -> None:
    executor = Instant()
    sit(path, executor, trials=1)
    folds = [job for job in executor.jobs if isinstance(job, FoldJob)]
    for job in folds:
        np.testing.assert_array_equal(job.validate, np.flatnonzero(job.fold == ASSIGNMENT))
        assert sorted([*job.train, *job.validate]) == list(range(12))
    assert len({job.seed for job in folds}) == FOLDS


def test_trials_are_a_total_and_a_second_session_only_adds_what_is_missing(path: Path) -> None:
    sit(path, Instant(), trials=4)
    again = Instant()
    sit(path, again, trials=4)
    assert again.jobs == []
    sit(path, again, trials=6)
    assert len(stored(path)) == 6
    assert sum(isinstance(job, FoldJob) for job in again.jobs) == 2 * FOLDS


@pytest.mark.parametrize("jobs_before", [1, 2, 3, 7, 13, 14, 15, 16, 20])
def test_dying_at_any_job_and_going_on_equals_one_go(tmp_path: Path, jobs_before: int) -> None:
    broken, whole = dying_and_going_on(tmp_path, jobs_before, trials=8)
    assert broken == whole


def test_a_rung_of_hyperband_is_the_length_of_its_fold_runs(path: Path) -> None:
    space = Space((*SPACE.parameters, integer("epochs", 1, 9, 9)))
    executor = Instant()
    sit(
        path,
        executor,
        sampler=("keras-tuner", "hyperband"),
        space=space,
        starts=[Start(Origin.BASELINE, space.defaults())],
        trials=14,
    )
    lengths = [job.training.max_epochs for job in executor.jobs if isinstance(job, FoldJob) and job.fold == 0]
    assert lengths == [9] + [1] * 9 + [3] * 3 + [9]
    _, *drawn = [dict(t.params) for t in stored(path)]
    for risen in drawn[9:]:
        assert any({**lower, "epochs": risen["epochs"]} == risen for lower in drawn[:9])
    best_three = sorted(drawn[:9], key=lambda p: -float(np.mean(scores_of(path, drawn.index(p) + 1))))[:3]
    assert [{**p, "epochs": 3} for p in best_three] == drawn[9:12]


def scores_of(path: Path, number: int) -> tuple[float, ...]:
    return stored(path)[number].scores("accuracy")


def test_a_failed_fold_fails_its_trial_with_the_cause_and_the_search_goes_on(path: Path) -> None:
    def fails_trial_2(job: Job) -> Outcome:
        if isinstance(job, FoldJob) and job.trial == 2 and job.fold == 1:
            return Failure(FailureCause.OUT_OF_MEMORY, "it needed more")
        return by_formula(job)

    sit(path, Instant(fails_trial_2))
    failed = stored(path)[2]
    assert (failed.state, failed.cause, failed.detail) == (TrialState.FAILED, "out of memory", "it needed more")
    assert [f.fold for f in failed.folds] == [0]
    assert sum(t.state == TrialState.COMPLETE for t in stored(path)) == 5


def nothing_works(job: Job) -> Outcome:
    return (
        by_formula(job) if isinstance(job, DescribeJob) else Failure(FailureCause.ERROR, "ImportError: no such thing")
    )


def test_five_broken_trials_in_a_row_end_the_search_with_why(path: Path) -> None:
    watcher = Watcher()
    assert sit(path, Instant(nothing_works), watcher, trials=50) is Ending.FAILED
    assert len(stored(path)) == 5
    assert "5 trials in a row failed, the last with: ImportError: no such thing" in watcher.notes[-1]


@pytest.mark.parametrize("jobs_before", range(1, 10))
def test_dying_among_broken_trials_and_going_on_ends_after_as_many(tmp_path: Path, jobs_before: int) -> None:
    """Each trial is two jobs. That some failed before the death is known from what is stored."""
    broken, whole = dying_and_going_on(tmp_path, jobs_before, nothing_works, trials=50)
    assert broken == whole
    assert len(whole) == 5


def test_asked_to_go_on_after_broken_trials_ended_it_a_search_has_five_more(path: Path) -> None:
    for closed in (5, 10):
        assert sit(path, Instant(nothing_works), trials=50) is Ending.FAILED
        assert len(stored(path)) == closed
    assert sit(path, Instant(), trials=12) is Ending.FINISHED


def test_points_out_of_memory_do_not_end_the_search(path: Path) -> None:
    def too_much(job: Job) -> Outcome:
        return by_formula(job) if isinstance(job, DescribeJob) else Failure(FailureCause.OUT_OF_MEMORY, "")

    assert sit(path, Instant(too_much), trials=8) is Ending.FINISHED
    assert len(stored(path)) == 8


def test_ten_failures_in_a_row_from_one_cause_end_the_search_with_it(path: Path) -> None:
    def too_much(job: Job) -> Outcome:
        return by_formula(job) if isinstance(job, DescribeJob) else Failure(FailureCause.OUT_OF_MEMORY, "9 GB")

    watcher = Watcher()
    for closed in (10, 20):
        assert sit(path, Instant(too_much), watcher, trials=50) is Ending.FAILED
        assert len(stored(path)) == closed
    assert "10 trials in a row failed with one cause, out of memory: 9 GB" in "\n".join(watcher.notes)


def test_a_model_too_large_is_drawn_anew_and_not_counted(path: Path) -> None:
    sit(path, Instant(), trials=20, max_parameters=300, starts=[Start(Origin.BASELINE, SPACE.defaults(depth=0))])
    trials = stored(path)
    assert len(trials) == 20
    assert all((t.parameters or 0) <= 300 for t in trials)
    assert sum(t.redraws for t in trials) > 0


def test_a_model_too_large_for_the_memory_is_drawn_anew_too(path: Path) -> None:
    sit(path, Instant(), trials=10, max_bytes=300 * 16, starts=[Start(Origin.BASELINE, SPACE.defaults(depth=0))])
    assert all((t.parameters or 0) <= 300 for t in stored(path))


def test_redrawing_does_not_change_that_going_on_equals_one_go(tmp_path: Path) -> None:
    small: dict[str, Any] = {"max_parameters": 300, "starts": [Start(Origin.BASELINE, SPACE.defaults(depth=0))]}
    whole, parts = new_study(tmp_path / "whole.db"), new_study(tmp_path / "parts.db")
    sit(whole, Instant(), trials=15, **small)
    for trials in (3, 4, 9, 15):
        sit(parts, Instant(), trials=trials, **small)
    assert rows(stored(parts)) == rows(stored(whole))


def test_what_a_backbone_keeps_as_it_is_is_not_too_large(path: Path) -> None:
    def frozen(job: Job) -> Outcome:
        return Description(10**9, 10, (), pretrained=10**9 - 100) if isinstance(job, DescribeJob) else by_formula(job)

    assert sit(path, Instant(frozen), max_parameters=100, trials=1) is Ending.FINISHED


def test_a_baseline_too_large_is_the_users_to_mend(path: Path) -> None:
    with pytest.raises(UsageError, match="trial 0, the baseline, cannot be trained: its model has 300 parameters"):
        sit(path, Instant(), max_parameters=100)


def test_a_space_in_which_every_model_is_too_large_ends_with_a_clear_message(path: Path) -> None:
    def grows(job: Job) -> Outcome:
        large = isinstance(job, DescribeJob) and job.params != SPACE.defaults()
        return Description(10**9, 10, ()) if large else by_formula(job)

    with pytest.raises(UsageError, match=r"200 points in a row could not be trained.*1,000,000,000 parameters"):
        sit(path, Instant(grows), starts=[Start(Origin.BASELINE, SPACE.defaults())])


def test_asked_to_stop_it_submits_nothing_more_and_the_next_session_goes_on(path: Path) -> None:
    stop = StopRequest()

    def after_two_folds(progress: Progress) -> None:
        stop.asked = progress.session_folds >= 2

    assert sit(path, Instant(), Watcher(act=after_two_folds), stop) is Ending.STOPPED
    trials = stored(path)
    assert trials[-1].state == TrialState.RUNNING
    assert sum(len(t.folds) for t in trials) == 2
    assert sit(path, Instant()) is Ending.FINISHED
    assert {t.state for t in stored(path)} == {TrialState.COMPLETE}


def test_hours_are_a_total_and_a_trial_that_runs_out_of_time_goes_on_with_more(path: Path) -> None:
    sit(path, Ticking(), seconds=55, trials=100)
    trials = stored(path)
    assert sum(len(t.folds) for t in trials) == 5
    assert (trials[-1].state, trials[-1].cause) == (TrialState.PRUNED, OUT_OF_TIME)
    assert "after 2 of 3 folds" in str(trials[-1].detail)

    nothing = Ticking()
    sit(path, nothing, seconds=50, trials=100)
    assert nothing.jobs == []
    assert stored(path)[-1].cause == OUT_OF_TIME

    sit(path, Ticking(), seconds=65, trials=100)
    assert stored(path)[1].state == TrialState.COMPLETE
    assert sum(len(t.folds) for t in stored(path)) == 6  # in the last 5 s no other trial could have two folds


def test_both_budgets_hold(path: Path) -> None:
    sit(path, Ticking(), seconds=10_000, trials=2)
    assert len(stored(path)) == 2


def test_slots_are_filled_with_folds_of_the_oldest_trial_before_a_new_point_is_asked(path: Path) -> None:
    executor = Hands()
    pairs: list[list[tuple[int, int]]] = []
    idle = 0

    def act(_: Progress) -> None:
        nonlocal idle
        idle = 0 if len(executor.futures) == 2 else idle + 1
        if len(executor.futures) == 2 or (executor.futures and idle > 3):
            pairs.append([(job.trial, job.fold) for job, _ in executor.futures if isinstance(job, FoldJob)])
            executor.end(0)

    sit(path, executor, Watcher(act=act), trials=2)
    assert pairs == [
        [(0, 0), (0, 1)],
        [(0, 1), (0, 2)],
        [(0, 2), (1, 0)],
        [(1, 0), (1, 1)],
        [(1, 1), (1, 2)],
        [(1, 2)],
    ]
    assert {t.state for t in stored(path)} == {TrialState.COMPLETE}


def test_a_fold_that_ends_after_its_trial_failed_is_dropped(path: Path) -> None:
    executor = Hands()

    def act(_: Progress) -> None:
        while executor.futures:
            job = executor.futures[0][0]
            assert isinstance(job, FoldJob)
            failing = job.trial == 0 and job.fold == 0
            executor.end(0, Failure(FailureCause.OUT_OF_MEMORY, "it needed more") if failing else None)

    sit(path, executor, Watcher(act=act), trials=2)
    first, second = stored(path)
    assert (first.state, first.folds) == (TrialState.FAILED, ())
    assert second.state == TrialState.COMPLETE


def test_a_trial_that_fails_after_later_ones_ended_well_does_not_end_the_search(path: Path) -> None:
    executor = Hands()

    def act(_: Progress) -> None:
        folds = [(job.trial, job.fold) for job, _ in executor.futures if isinstance(job, FoldJob)]
        if (0, 2) in folds and len(folds) == 2 and len(stored(path)) < 3:
            executor.end(1 - folds.index((0, 2)))  # trial 1, fold by fold
        elif (0, 2) in folds:
            executor.end(folds.index((0, 2)), Failure(FailureCause.OUT_OF_MEMORY, "9 GB"))
        elif folds:
            executor.end(0)

    assert sit(path, executor, Watcher(act=act), trials=4) is Ending.FINISHED
    assert [t.state for t in stored(path)] == [TrialState.FAILED] + [TrialState.COMPLETE] * 3


def test_a_session_that_goes_on_tells_that_a_worker_is_ready_before_its_first_fold_ends(path: Path) -> None:
    sit(path, Instant(), trials=1)
    executor, stop = Hands(), StopRequest()
    shown: list[tuple[bool, int]] = []

    def act(progress: Progress) -> None:
        if executor.futures:
            shown.append((progress.answered, progress.session_folds))
            stop.asked = executor.ready and progress.answered
            executor.ready = True
        while stop.asked and executor.futures:
            executor.end(0)

    sit(path, executor, Watcher(act=act), stop, trials=2)
    assert shown[-1] == (True, 0)


def test_progress_tells_what_runs_how_far_it_is_and_how_long_it_will_take(path: Path) -> None:
    executor = Ticking()
    watcher = Watcher()
    sit(path, executor, watcher, trials=2)
    middle = next(p for p in watcher.seen if p.session_folds == 3)
    assert middle.eta_seconds == pytest.approx(30)
    assert middle.folds_per_minute == pytest.approx(6)
    assert middle.spent_seconds == pytest.approx(30)
    assert middle.best == 0


def test_the_description_of_the_model_is_stored_with_the_trial(path: Path) -> None:
    sit(path, Instant(), trials=1)
    trial = stored(path)[0]
    assert trial.parameters == description_of(DescribeJob(SPACE.defaults())).parameters
    assert [layer.kind for layer in trial.layers] == ["Dense"]
