"""Fold runs side by side in a search: what is bundled, and that what is stored does not depend on it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.executors.base import Doing
from search.executors.in_process import InProcess
from search.jobs import (
    BundleJob,
    BundleResult,
    Failure,
    FailureCause,
    FoldJob,
    FoldResult,
    Job,
    Outcome,
    Saving,
    folds_in,
)
from search.results.progress import Activity, Ending
from search.samplers.factory import make_sampler
from search.session.activity import Activities, unfinished
from search.session.bundles import together
from search.session.loop import Loop
from search.session.plan import make_plan, worker_context
from search.session.prepare import prepare
from search.session.session import Session
from search.session.signals import StopRequest
from search.stats.racing import BEHIND, BEHIND_EARLY
from search.study.config import parse
from search.study.database import create
from search.study.folder import StudyFolder
from spaces.facts import Facts
from spaces.presets import PRESETS
from storage import TrialRecord, TrialState
from tests.search.session.instant import Instant, by_formula
from tests.search.session.sessions import (
    FOLDS,
    RUN,
    STUCK_THERE,
    Ticking,
    Watcher,
    a_plan,
    dying_after_every_commit,
    new_study,
    rows,
    sit,
    stored,
)
from tests.search.session.test_activity import FOLD
from tests.search.session.test_racer import graded, lost, terms

UNEVEN = (np.arange(14) % FOLDS).astype(np.int16)
"""Two folds of five images, and one of four, as stratified folds are."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_study(tmp_path / "study.db")


def as_alone(of_fold: Callable[[Job], Outcome]) -> Callable[[Job], Outcome]:
    """Bundles with the results that `of_fold` has, up to one that ends its trial, as workers return them."""

    def answer(job: Job) -> Outcome:
        if not isinstance(job, BundleJob):
            return of_fold(job)
        results: list[FoldResult] = []
        for fold in job.folds:
            result = of_fold(fold)
            assert isinstance(result, FoldResult)
            results.append(result)
            if result.behind or (result.diagnosis and result.diagnosis.collapsed and fold.training.stop_collapsed):
                break
        return BundleResult(tuple(results))

    return answer


def trained(executor: Instant) -> list[tuple[int, ...]]:
    """(trial, its folds) of each job that trains."""
    jobs = (folds_in(job) for job in executor.jobs)
    return [(folds[0].trial, *(fold.fold for fold in folds)) for folds in jobs if folds]


def of_sizes(*sizes: int) -> list[FoldJob]:
    """Fold runs of one trial with so many training images each."""
    return [replace(FOLD, fold=fold, train=np.arange(size, dtype=np.int32)) for fold, size in enumerate(sizes)]


@pytest.mark.parametrize(
    ("sizes", "begun", "folds"),
    [
        ((8, 8, 8), (), [0, 1, 2]),
        ((8, 8, 9, 9, 9), (), [0, 1]),
        ((9, 9, 8, 9), (), [0, 1]),
        ((8, 9), (), [0]),
        ((8, 8, 8, 8), (2,), [0, 1]),
        ((8, 8, 8), (0,), [0]),
        ((), (), []),
    ],
)
def test_folds_go_with_those_after_them_that_have_as_many_images_and_were_not_begun(
    sizes: tuple[int, ...], begun: tuple[int, ...], folds: list[int]
) -> None:
    assert [job.fold for job in together(of_sizes(*sizes), lambda job: job.fold in begun)] == folds


def test_nothing_is_side_by_side_unless_it_is_wanted(path: Path) -> None:
    executor = Instant()
    sit(path, executor, trials=2)
    assert not any(isinstance(job, BundleJob) for job in executor.jobs)


def test_all_folds_of_a_trial_are_one_job_and_what_is_stored_is_the_same(tmp_path: Path) -> None:
    alone, side, executor = new_study(tmp_path / "alone.db"), new_study(tmp_path / "side.db"), Instant()
    sit(alone, Instant())
    assert sit(side, executor, side_by_side=True) is Ending.FINISHED
    assert trained(executor) == [(trial, 0, 1, 2) for trial in range(6)]
    assert rows(stored(side)) == rows(stored(alone))


def test_folds_with_other_numbers_of_images_are_another_job(tmp_path: Path) -> None:
    path, executor = new_study(tmp_path / "study.db", assignment=UNEVEN), Instant()
    sit(path, executor, trials=2, side_by_side=True, assignment=UNEVEN)
    assert trained(executor) == [(0, 0, 1), (0, 2), (1, 0, 1), (1, 2)]


@pytest.mark.parametrize("answer", [graded, lost])
def test_the_race_decides_as_if_folds_came_one_by_one(tmp_path: Path, answer: Callable[[Job], Outcome]) -> None:
    """Also within the first fold; what was trained after the fold that ended a trial is not stored."""
    asked: dict[str, Any] = {"trials": 18, "race": terms(epochs=True)}
    alone, side, executor = new_study(tmp_path / "alone.db"), new_study(tmp_path / "side.db"), Instant(as_alone(answer))
    sit(alone, Instant(answer), **asked)
    sit(side, executor, side_by_side=True, **asked)
    assert rows(stored(side)) == rows(stored(alone))
    causes = {t.cause for t in stored(side)}
    assert {None, BEHIND, BEHIND_EARLY} <= causes
    assert STUCK_THERE.name in causes or answer is graded
    assert any(job.folds[0].training.min_score_at for job in executor.jobs if isinstance(job, BundleJob))


def test_dying_after_any_commit_and_going_on_equals_one_go(tmp_path: Path) -> None:
    """Also between two folds of a bundle: those that are left are another one."""
    asked: dict[str, Any] = {"trials": 5, "race": terms(), "side_by_side": True}
    broken, whole = dying_after_every_commit(tmp_path, as_alone(graded), asked)
    assert broken == whole


def test_what_cannot_be_side_by_side_is_trained_one_by_one_and_nothing_is_said(path: Path) -> None:
    executor, watcher = (
        Instant(lambda job: BundleResult(()) if isinstance(job, BundleJob) else by_formula(job)),
        Watcher(),
    )
    sit(path, executor, watcher, trials=2, side_by_side=True)
    assert trained(executor) == [
        step for trial in range(2) for step in [(trial, 0, 1, 2), (trial, 0), (trial, 1), (trial, 2)]
    ]
    assert watcher.notes == []


def test_what_fails_side_by_side_is_tried_once_more_one_by_one_and_after_two_trials_all_are(path: Path) -> None:
    def answer(job: Job) -> Outcome:
        return Failure(FailureCause.OUT_OF_MEMORY, "no room") if isinstance(job, BundleJob) else by_formula(job)

    executor, watcher = Instant(answer), Watcher()
    assert sit(path, executor, watcher, trials=3, side_by_side=True) is Ending.FINISHED
    assert {t.state for t in stored(path)} == {TrialState.COMPLETE}
    assert [len(folds) - 1 for folds in trained(executor)] == [3, 1, 1, 1, 3, 1, 1, 1, 1, 1, 1]
    assert watcher.notes == [
        "3 folds of trial 0 side by side: out of memory (no room); they are trained one by one",
        "3 folds of trial 1 side by side: out of memory (no room); they, and those of all trials from now on, are "
        "trained one by one",
    ]


def test_a_fold_run_that_fails_when_it_is_tried_alone_ends_its_trial(path: Path) -> None:
    def answer(job: Job) -> Outcome:
        fails = any((fold.trial, fold.fold) == (1, 1) for fold in folds_in(job))
        return Failure(FailureCause.WORKER_DIED, "it died") if fails else by_formula(job)

    sit(path, Instant(answer), trials=3, side_by_side=True)
    failed = stored(path)[1]
    assert (failed.state, failed.cause, len(failed.folds)) == (TrialState.FAILED, FailureCause.WORKER_DIED, 1)


def test_a_fold_run_that_has_stored_its_state_goes_on_alone_and_states_go_with_what_is_stored(tmp_path: Path) -> None:
    path, saving, executor = new_study(tmp_path / "study.db"), Saving(tmp_path / "folds", "f"), Instant()
    saving.folder.mkdir()

    def answer(job: Job) -> Outcome:
        if isinstance(job, BundleJob):
            for fold in job.folds:
                (saving.folder / f"{saving.name(fold)}-abc-0.state").touch()
            return Failure(FailureCause.STOPPED, "their states are stored")
        return by_formula(job)

    stop, watcher = StopRequest(), Watcher()
    watcher.act = lambda progress: setattr(stop, "asked", bool(progress.running) or stop.asked)
    assert sit(path, Instant(answer), watcher, stop, side_by_side=True, saving=saving) is Ending.STOPPED
    assert watcher.notes[-1] == "3 fold runs in progress: the state is stored, and the next session goes on from it"
    sit(path, executor, trials=2, side_by_side=True, saving=saving)
    assert trained(executor) == [(0, 0), (0, 1), (0, 2), (1, 0, 1, 2)]
    assert [*saving.folder.iterdir()] == []


@dataclass
class TickingTogether(Ticking):
    """Side by side, too, each fold run takes ten seconds."""

    def submit(self, job: Job) -> Future[Outcome]:
        future = super().submit(job)
        if isinstance(job, BundleJob):
            self.now += 10.0 * len(job.folds)
            result = future.result()
            assert isinstance(result, BundleResult)
            timed: Future[Outcome] = Future()
            timed.set_result(BundleResult(tuple(replace(fold, seconds=10.0) for fold in result.folds)))
            return timed
        return future


def test_where_there_is_no_time_for_all_folds_they_are_trained_one_by_one(path: Path) -> None:
    executor = TickingTogether()
    sit(path, executor, trials=99, seconds=90.0, side_by_side=True)
    assert trained(executor)[:2] == [(0, 0, 1, 2), (1, 0, 1, 2)]
    assert {len(folds) for folds in trained(executor)[2:]} == {2}
    assert executor.now <= 90.0


def test_who_watches_sees_all_folds_that_are_trained(path: Path) -> None:
    bundle = BundleJob(tuple(replace(FOLD, fold=fold) for fold in range(3)))
    assert tuple(Activities(lambda: [Doing(bundle)], a_plan(model="cnn"))) == (
        Activity("trial 3 (cnn), folds 1, 2, 3 of 3 side by side"),
    )
    assert unfinished(0, [bundle]).startswith("3 fold runs in progress did not end")
    running: list[tuple[tuple[int, int], ...]] = []

    class Waiting(Instant):
        """Ends a bundle once it was seen."""

        def submit(self, job: Job) -> Future[Outcome]:
            if not isinstance(job, BundleJob):
                return super().submit(job)
            self.waiting: Future[Outcome] = Future()
            self.outcome = by_formula(job)
            return self.waiting

    executor, watcher = Waiting(), Watcher()

    def act(progress: Any) -> None:
        if progress.running and not executor.waiting.done():
            running.append(tuple(progress.running))
            executor.waiting.set_result(executor.outcome)

    watcher.act = act
    sit(path, executor, watcher, trials=1, side_by_side=True)
    assert running == [((0, 0), (0, 1), (0, 2))]


SMALLEST: dict[str, Any] = {
    "conv_depth": 1,
    "filters": 8,
    "dense_depth": 0,
    "normalization": "none",
    "head": "flatten",
    "augmentation": "none",
    "dropout": 0.0,
    "batch_size": 2,  # of 18 images: all steps are equal
}
FIXED: dict[str, Any] = {
    name: value
    for name, value in PRESETS["cnn"].space(Facts(8, 8, 1, 2, 27)).defaults(**SMALLEST).items()
    if name != "learning_rate"
}
"""It is compiled in seconds, once: points differ in a number alone."""


class Noting(InProcess):
    """A real worker, of which it is known what it was given and how many results came back."""

    def __init__(self) -> None:
        super().__init__()
        self.given: list[tuple[Job, int]] = []

    def submit(self, job: Job) -> Future[Outcome]:
        future = super().submit(job)
        outcome = future.result()
        if folds_in(job):
            self.given.append((job, len(outcome.folds) if isinstance(outcome, BundleResult) else 1))
        return future


def searched(folder: Path, pictures: Path, *, xla: bool) -> tuple[list[tuple[Job, int]], list[TrialRecord]]:
    """What was trained in a search with real training, and what is stored."""
    small = {"preset": "cnn", "space": FIXED, "folds": 3, "trials": 2, "sampler": "random"}
    asked = {"images": str(pictures), **small, "training": {"max_epochs": 3, "xla": xla}}
    place, executor = StudyFolder(folder), Noting()
    folder.mkdir()
    prepared = prepare(parse(asked, "here"), folder)
    with create(place, prepared) as store, place.pixels_on_disk(prepared.images.pixels) as pixels:
        executor.prepare(worker_context(pixels, place.features, prepared), folder / "logs")
        session = Session(store, store.start_run(RUN), executor, Watcher(), StopRequest())
        plan = replace(make_plan(prepared, store, 1), references=())
        Loop(plan, session, make_sampler(prepared.space, "accuracy", "optuna", "random", 5)).run()
        return executor.given, store.trials()


def test_a_search_with_xla_trains_folds_side_by_side_and_each_is_its_own_fold_run(
    pictures: Path, tmp_path: Path
) -> None:
    given, side = searched(tmp_path / "side", pictures, xla=True)
    assert [(type(job), results) for job, results in given] == [(BundleJob, 3)] * 2
    given, alone = searched(tmp_path / "alone", pictures, xla=False)
    assert {type(job) for job, _ in given} == {FoldJob}
    assert [(t.state, t.cause, len(t.folds)) for t in side] == [(t.state, t.cause, len(t.folds)) for t in alone]
    for found, expected in zip(side, alone, strict=True):
        assert found.params == expected.params
        for one, other in zip(found.folds, expected.folds, strict=True):
            assert (one.fold, one.seed, one.epochs) == (other.fold, other.seed, other.epochs)
            assert {**one.scores} == pytest.approx({**other.scores}, rel=1e-5)
            for name, values in other.curve.items():
                assert one.curve[name] == pytest.approx(values, rel=1e-5), name
