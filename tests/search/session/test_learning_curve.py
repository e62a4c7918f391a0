"""The learning curve in a session: by workers with nothing else to do, once, and without a trace in the trials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.jobs import Failure, FailureCause, FoldJob, Job, Outcome, ReferenceJob, ReferenceResult
from search.session.learning_curve import FIRST, PartQueue, PartTerms
from search.session.references import AFTERWARDS, ReferenceQueue, use_spare_time
from search.session.session import Session
from search.session.signals import StopRequest
from search.stats.learning_curve import DRAWS, PERCENTS, Part
from storage import ReferenceRecord, Store
from tests.search.session.instant import Instant, by_formula
from tests.search.session.sessions import ASSIGNMENT, FOLDS, RUN, Watcher, new_study, rows, sit, stored

NAMES = ("majority", "logistic_regression")
LABELS = (np.arange(12) % 2).astype(np.int16)
TERMS = PartTerms("logistic_regression", LABELS, np.arange(12, dtype=np.int32))
ALL = DRAWS * len(PERCENTS) * FOLDS


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return new_study(tmp_path / "study.db")


def whole(seconds: float = 0.5) -> list[ReferenceRecord]:
    none = np.zeros((0, 2), np.float32)
    return [ReferenceRecord("logistic_regression", fold, {}, seconds, none) for fold in range(FOLDS)]


def queue(known: list[ReferenceRecord] | None = None) -> PartQueue:
    waiting = PartQueue(TERMS, ASSIGNMENT, FOLDS, 5)
    waiting.load(known or [])
    return waiting


def parts(path: Path) -> list[ReferenceRecord]:
    with Store.open(path, read_only=True) as store:
        return [record for record in store.references() if Part.of(record.name)]


def after_the_end(path: Path, executor: Instant, seconds: float = AFTERWARDS) -> None:
    """What a session does once the model is saved."""
    with Store.open(path) as store:
        clock = {"clock": executor.clock} if hasattr(executor, "clock") else {}
        session = Session(store, store.start_run(RUN), executor, Watcher(), StopRequest(), **clock)
        references = ReferenceQueue(NAMES, ASSIGNMENT, FOLDS, 5, TERMS)
        references.load(store.references())
        use_spare_time(references, session, seconds)


# Jobs


def test_each_fit_is_asked_for_once_the_first_draw_first() -> None:
    waiting, jobs = queue(), []
    while job := waiting.next_job(whole(), 10):
        jobs.append(job)
    assert len({(job.name, job.fold) for job in jobs}) == len(jobs) == ALL
    assert [Part.of(job.name).draw for job in jobs[: len(PERCENTS) * FOLDS]] == [0] * len(PERCENTS) * FOLDS  # type: ignore[union-attr]
    assert len({job.seed for job in jobs}) == ALL


def test_a_fit_is_of_some_training_images_and_judged_on_the_fold_s_own() -> None:
    waiting = queue()
    while job := waiting.next_job(whole(), 10):
        assert job.part is not None and job.method == "logistic_regression"
        assert set(job.part.tolist()) < set(job.train.tolist())
        assert set(LABELS[job.part].tolist()) == {0, 1}
        np.testing.assert_array_equal(job.validate, np.flatnonzero(job.fold == ASSIGNMENT))


def test_what_is_stored_is_not_asked_for_again() -> None:
    first = replace(whole()[0], name=Part("logistic_regression", 25, 0).name)
    job = queue([first]).next_job(whole(), 10)
    assert job is not None and (job.name, job.fold) == (first.name, 1)


@pytest.mark.parametrize(
    ("known", "seconds"),
    [([], 10.0), (whole()[:2], 10.0), (whole(5.0), 10.0), (whole(), 0.1), (whole(), -1.0)],
    ids=["no reference", "part of it", "a slow one", "little time", "none"],
)
def test_without_the_whole_reference_or_time_there_is_none(known: list[ReferenceRecord], seconds: float) -> None:
    assert queue().next_job(known, seconds) is None


def test_a_study_without_references_has_no_curve() -> None:
    waiting = PartQueue(None, ASSIGNMENT, FOLDS, 5)
    waiting.load([])
    assert waiting.next_job(whole(), 10) is None


# In a session


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_trials_are_the_same_with_and_without_it(tmp_path: Path, slots: int) -> None:
    with_it, without = new_study(tmp_path / "with.db"), new_study(tmp_path / "without.db")
    sit(with_it, Instant(slots=slots), references=NAMES, parts=TERMS, trials=8)
    sit(without, Instant(slots=slots), references=NAMES, trials=8)
    assert rows(stored(with_it)) == rows(stored(without))


def taking(seconds: float) -> Callable[[Job], Outcome]:
    """Whole references take so long."""

    def answer(job: Job) -> Outcome:
        outcome = by_formula(job)
        return replace(outcome, seconds=seconds) if isinstance(outcome, ReferenceResult) else outcome

    return answer


@pytest.mark.parametrize(("seconds", "fits"), [(1.0, 5), (0.8, 6), (5.0, 0)])
def test_a_single_worker_is_kept_from_trials_for_two_seconds_at_most(path: Path, seconds: float, fits: int) -> None:
    sit(path, Instant(taking(seconds)), references=NAMES, parts=TERMS, trials=8)
    asked = [Part.of(record.name) for record in parts(path)]
    assert len(asked) == fits
    assert sum(seconds * part.percent / 100 for part in asked if part) <= FIRST
    assert len(stored(path)) == 8


def test_other_workers_fit_while_a_point_is_described(path: Path) -> None:
    alone = new_study(path.with_name("alone.db"))
    sit(alone, Instant(taking(1.0)), references=NAMES, parts=TERMS, trials=30)
    executor = Instant(taking(1.0), slots=3)
    sit(path, executor, references=NAMES, parts=TERMS, trials=30)
    assert len(parts(path)) > len(parts(alone))
    kinds = [job for job in executor.jobs if isinstance(job, FoldJob | ReferenceJob)]
    first = next(place for place, job in enumerate(kinds) if isinstance(job, ReferenceJob) and job.part is not None)
    assert {job.name for job in kinds[:first] if isinstance(job, ReferenceJob)} == {*NAMES}


def test_the_progress_and_the_reference_rows_do_not_have_it(path: Path) -> None:
    watcher = Watcher()
    sit(path, Instant(slots=3), watcher, references=NAMES, parts=TERMS, trials=30)
    assert parts(path)
    sit(path, Instant(slots=3), watcher, references=NAMES, parts=TERMS, trials=31)
    assert {record.name for record in watcher.seen[-1].references} == {*NAMES}


def test_once_the_model_is_saved_the_rest_is_fitted_and_nothing_twice(path: Path) -> None:
    sit(path, Instant(slots=2), references=NAMES, parts=TERMS, trials=2)
    after_the_end(path, Instant())
    assert len(parts(path)) == ALL
    again = Instant()
    after_the_end(path, again)
    assert again.jobs == []


class Slow(Instant):
    """A fit takes a second of a clock of its own, whatever was expected."""

    now = 0.0

    def clock(self) -> float:
        return self.now

    def submit(self, job: Job):  # type: ignore[no-untyped-def]
        self.now += 1.0
        return super().submit(job)


@pytest.mark.parametrize(("left", "fits"), [(-3.0, 0), (0.0, 0), (2.0, 2), (5.0, 5)])
def test_but_only_while_there_is_time(path: Path, left: float, fits: int) -> None:
    sit(path, Instant(), references=NAMES, trials=1)
    after_the_end(path, Slow(), left)
    assert len(parts(path)) == fits


def test_a_fit_that_fails_is_the_last_one_and_nobody_is_told(path: Path) -> None:
    def fails(job: Job) -> Outcome:
        if isinstance(job, ReferenceJob) and job.part is not None:
            return Failure(FailureCause.ERROR, "no")
        return by_formula(job)

    watcher, executor = Watcher(), Instant(fails, slots=2)
    sit(path, executor, watcher, references=NAMES, parts=TERMS, trials=20)
    fits = [job for job in executor.jobs if isinstance(job, ReferenceJob) and job.part is not None]
    assert len(fits) == 1 and watcher.notes == [] and parts(path) == []


def test_it_is_a_result_of_the_reference_s_own_method(path: Path) -> None:
    sit(path, Instant(), references=NAMES, trials=1)
    after_the_end(path, Instant())
    (first, *_), outcome = parts(path), by_formula(queue().next_job(whole(), 10))  # type: ignore[arg-type]
    assert isinstance(outcome, ReferenceResult)
    assert first.scores == outcome.scores
