"""Reference rows in the loop: after trial 0, once in a study, and without a trace in its trials."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.jobs import Failure, FailureCause, FoldJob, Job, Outcome, ReferenceJob
from search.results.progress import Ending
from search.samplers.factory import make_sampler
from search.session.learning_curve import PartTerms
from search.session.loop import Loop
from search.session.plan import Start
from search.session.references import ASSUMED, KEPT_SHARE, ReferenceQueue, use_spare_time
from search.session.session import Session
from search.session.signals import StopRequest
from search.stats.learning_curve import PERCENTS, Part
from storage import ReferenceRecord, Store, TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, Instant, by_formula
from tests.search.session.sessions import (
    ASSIGNMENT,
    FOLDS,
    RUN,
    Died,
    Hands,
    Ticking,
    Watcher,
    a_plan,
    new_study,
    rows,
    sit,
    stored,
)

NAMES = ("majority", "logistic_regression", "linear_probe")
ALL = [(name, fold) for name in sorted(NAMES) for fold in range(FOLDS)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_study(tmp_path / "study.db")


def references(path: Path) -> list[ReferenceRecord]:
    with Store.open(path, read_only=True) as store:
        return store.references()


def keys(path: Path) -> list[tuple[str, int]]:
    return [(record.name, record.fold) for record in references(path)]


def order(executor: Instant) -> list[Any]:
    """What was submitted: numbers of trials, names of references."""
    return [
        j.trial if isinstance(j, FoldJob) else j.name for j in executor.jobs if isinstance(j, FoldJob | ReferenceJob)
    ]


def test_they_come_after_the_folds_of_trial_0_and_before_all_other_trials(path: Path) -> None:
    executor = Instant()
    assert sit(path, executor, references=NAMES, trials=2) is Ending.FINISHED
    assert order(executor) == [0] * FOLDS + [name for name in NAMES for _ in range(FOLDS)] + [1] * FOLDS
    assert keys(path) == ALL


def test_they_are_judged_on_the_folds_of_the_search_and_kept_with_probabilities(path: Path) -> None:
    executor = Instant()
    sit(path, executor, references=NAMES, trials=1)
    for job in (j for j in executor.jobs if isinstance(j, ReferenceJob)):
        np.testing.assert_array_equal(job.validate, np.flatnonzero(job.fold == ASSIGNMENT))
        assert sorted([*job.train, *job.validate]) == list(range(12))
    for record in references(path):
        assert record.probabilities.shape == (4, 2)
        assert record.scores.keys() == {"balanced_accuracy", "accuracy", "auroc", "log_loss"}


def test_with_a_budget_of_one_trial_they_are_there_too(path: Path) -> None:
    sit(path, Instant(), references=NAMES, trials=1)
    assert keys(path) == ALL
    assert len(stored(path)) == 1


def test_they_are_computed_once_and_what_becomes_possible_later_is_added(path: Path) -> None:
    sit(path, Instant(), references=NAMES[:2], trials=2)
    again = Instant()
    sit(path, again, references=NAMES, trials=2)
    assert order(again) == ["linear_probe"] * FOLDS
    assert keys(path) == ALL


def test_trials_are_the_same_with_and_without_them(tmp_path: Path) -> None:
    with_them, without = new_study(tmp_path / "with.db"), new_study(tmp_path / "without.db")
    sit(with_them, Instant(), references=NAMES, trials=15)
    sit(without, Instant(), trials=15)
    assert rows(stored(with_them)) == rows(stored(without))


@pytest.mark.parametrize("jobs_before", [3, 5, 9, 12, 13, 14, 20])
def test_dying_among_them_and_going_on_equals_one_go(tmp_path: Path, jobs_before: int) -> None:
    whole, broken = new_study(tmp_path / "whole.db"), new_study(tmp_path / "broken.db")
    sit(whole, Instant(), references=NAMES, trials=4)
    done = 0

    def dies(job: Job) -> Outcome:
        nonlocal done
        done += 1
        if done > jobs_before:
            raise Died
        return by_formula(job)

    with pytest.raises(Died):
        sit(broken, Instant(dies), references=NAMES, trials=4)
    kept = keys(broken)
    rest = Instant()
    sit(broken, rest, references=NAMES, trials=4)
    assert rows(stored(broken)) == rows(stored(whole))
    for one, other in zip(references(broken), references(whole), strict=True):
        assert (one.name, one.fold, one.scores) == (other.name, other.fold, other.scores)
        np.testing.assert_array_equal(one.probabilities, other.probabilities)
    assert not set(kept) & {(j.name, j.fold) for j in rest.jobs if isinstance(j, ReferenceJob)}


@pytest.mark.parametrize("slots", [1, 3])
def test_one_that_fails_is_noted_once_and_left_out(path: Path, slots: int) -> None:
    def fails(job: Job) -> Outcome:
        if isinstance(job, ReferenceJob) and job.name == "logistic_regression":
            return Failure(FailureCause.OUT_OF_MEMORY, "it needed more")
        return by_formula(job)

    watcher, executor = Watcher(), Instant(fails, slots=slots)
    assert sit(path, executor, watcher, references=NAMES, trials=8) is Ending.FINISHED
    assert watcher.notes == ["no reference row of logistic regression: out of memory: it needed more"]
    assert order(executor).count("logistic_regression") <= slots
    assert keys(path) == [key for key in ALL if key[0] != "logistic_regression"]
    assert {t.state for t in stored(path)} == {TrialState.COMPLETE}


def test_they_are_no_trials_and_never_the_best(path: Path) -> None:
    watcher = Watcher()
    sit(path, Instant(), watcher, references=NAMES, trials=3)
    assert len(watcher.closed) == len(stored(path)) == 3
    last = watcher.seen[-1]
    assert last.best in (0, 1, 2)
    assert last.session_folds == 3 * FOLDS
    assert sorted((record.name, record.fold) for record in last.references) == ALL


class SlowReferences(Ticking):
    """A reference's fold takes twenty seconds, a trial's ten."""

    def submit(self, job: Job) -> Any:
        self.now += 20 if isinstance(job, ReferenceJob) else 0
        return super().submit(job)


def test_in_a_short_time_they_come_after_the_known_good_points(path: Path) -> None:
    executor = Ticking()
    sit(path, executor, references=NAMES, seconds=75, trials=2)
    assert [trial.origin for trial in stored(path)] == [Origin.BASELINE, Origin.START]
    assert isinstance([job for job in executor.jobs if isinstance(job, FoldJob | ReferenceJob)][6], ReferenceJob)


def test_their_time_is_time_of_the_search(path: Path) -> None:
    sit(path, SlowReferences(), references=NAMES, seconds=75, starts=[Start(Origin.BASELINE, SPACE.defaults())])
    assert keys(path) == [("majority", 0), ("majority", 1), ("majority", 2)]
    assert len(stored(path)) == 1
    with Store.open(path, read_only=True) as store:
        assert store.spent_seconds() == 90


# In the time that is kept back for them


TERMS = PartTerms("linear_probe", (np.arange(12) % 2).astype(np.int16), np.arange(12, dtype=np.int32))
STARTS = [Start(Origin.BASELINE, SPACE.defaults()), *(Start(Origin.START, SPACE.defaults(depth=n)) for n in (0, 1, 3))]


def searched_and_caught_up(path: Path, views: frozenset[str] = frozenset()) -> tuple[list[str], float]:
    """What a search whose last fold takes all of its 100 seconds computes after it, in order, and when."""
    plan = a_plan(references=NAMES, parts=TERMS, starts=STARTS, seconds=100.0, trials=None, probe_views=views)
    executor = Ticking(takes=lambda job: 60.0 if (job.trial, job.fold) == (3, FOLDS - 1) else 5.0)
    with Store.open(path) as store:
        session = Session(store, store.start_run(RUN), executor, Watcher(), StopRequest(), clock=executor.clock)
        loop = Loop(plan, session, make_sampler(plan.space, plan.metric, "optuna", "tpe", plan.seed, None))
        assert loop.run() is Ending.FINISHED
        assert not store.references()
        began, known = executor.now, len(executor.jobs)
        use_spare_time(loop.references, session, loop.kept_for_references, probe=loop.can_probe)
        assert loop.kept_for_references < KEPT_SHARE * 100
    return [job.name for job in executor.jobs[known:] if isinstance(job, ReferenceJob)], began


def test_of_a_short_time_some_is_kept_back_for_them_the_learning_curve_first(path: Path) -> None:
    asked, began = searched_and_caught_up(path)
    assert began == 55 + 60
    curve = [Part("linear_probe", percent, 0).name for percent in PERCENTS for _ in range(FOLDS)]
    others = [name for name in NAMES[:2] for _ in range(FOLDS)]
    assert asked[: FOLDS + len(curve) + len(others)] == ["linear_probe"] * FOLDS + curve + others
    assert keys(path)[: len(ALL)] and set(ALL) <= set(keys(path))


def test_without_its_features_the_probe_is_left_out(path: Path) -> None:
    asked, _ = searched_and_caught_up(path, views=frozenset({"lite0-128"}))
    assert asked == [name for name in NAMES[:2] for _ in range(FOLDS)]


def test_what_does_not_fit_into_the_time_is_not_begun() -> None:
    waiting = ReferenceQueue(NAMES, ASSIGNMENT, FOLDS, 5, TERMS)
    waiting.load([])
    assert waiting.next_short(ASSUMED / 2, probe=True) is None
    assert waiting.left_seconds(5.0, probe=True) == pytest.approx(ASSUMED * FOLDS * (3 + sum(PERCENTS) / 100))
    assert waiting.left_seconds(5.0, probe=False) == pytest.approx(ASSUMED * FOLDS * 2)


def a_queue(**seconds: float) -> ReferenceQueue:
    """Of which one fold of these names took so long."""
    waiting, none = ReferenceQueue(NAMES, ASSIGNMENT, FOLDS, 5, TERMS), np.zeros((0, 2), np.float32)
    waiting.load([ReferenceRecord(name, 0, {}, taken, none) for name, taken in seconds.items()])
    return waiting


def test_of_one_that_was_never_measured_a_fold_is_begun_and_the_others_after_it() -> None:
    waiting = a_queue()
    begun = [waiting.next_short(10.0, probe=False) for _ in range(3)]
    assert [job and (job.name, job.fold) for job in begun] == [("majority", 0), ("logistic_regression", 0), None]
    waiting.known.append(ReferenceRecord("majority", 0, {}, 0.1, np.zeros((0, 2), np.float32)))
    again = waiting.next_short(10.0, probe=False)
    assert again is not None and (again.name, again.fold) == ("majority", 1)


def test_after_the_search_none_is_begun_that_was_never_measured() -> None:
    job = a_queue(logistic_regression=0.1).next_short(2.0, probe=True, guess=False)
    assert job is not None and (job.name, job.fold) == ("logistic_regression", 1)
    assert a_queue().next_short(2.0, probe=True, guess=False) is None


def test_for_one_that_does_not_fit_no_time_is_kept_back_and_the_others_are_computed() -> None:
    waiting = a_queue(linear_probe=20.0, logistic_regression=20.0)
    assert waiting.left_seconds(5.0, probe=True) == pytest.approx(ASSUMED * FOLDS)
    job = waiting.next_short(5.0, probe=True)
    assert job is not None and job.name == "majority"


def test_for_fits_of_the_learning_curve_that_are_too_long_no_time_is_kept_back() -> None:
    short, long = a_queue(linear_probe=1.0), a_queue(linear_probe=1.0 + 100 / min(PERCENTS))
    assert short.left_seconds(1000.0, probe=True) > short.left_seconds(1000.0, probe=False) + 2 * 1.0
    of_long = long.left_seconds(1000.0, probe=True) - long.left_seconds(1000.0, probe=False)
    assert of_long == pytest.approx(2 * (1.0 + 100 / min(PERCENTS)))


def test_what_is_kept_back_for_them_is_not_kept_back_again_for_the_model(path: Path) -> None:
    sit(path, Ticking(), trials=1, seconds=100.0)

    def kept(*names: str) -> tuple[float, float]:
        with Store.open(path) as store:
            executor, plan = Ticking(), a_plan(references=names, seconds=100.0)
            session = Session(store, store.start_run(RUN), executor, Watcher(), StopRequest(), clock=executor.clock)
            loop = Loop(plan, session, make_sampler(plan.space, plan.metric, "optuna", "tpe", plan.seed, None))
            loop.load()
            return loop.needed, loop.kept_for_references

    (alone, nothing), (with_them, something) = kept(), kept(*NAMES)
    assert (nothing, with_them) == (0.0, alone) and something > 0


def test_one_that_does_not_end_is_not_waited_for(path: Path) -> None:
    executor, now = Hands(), 0.0

    def clock() -> float:
        nonlocal now
        now += 1.0
        return now

    with Store.open(path) as store:
        session = Session(store, store.start_run(RUN), executor, Watcher(), StopRequest(), clock=clock)
        waiting = a_queue()
        assert use_spare_time(waiting, session, 6.0, probe=False)
    assert order(executor) == ["majority", "logistic_regression"]
