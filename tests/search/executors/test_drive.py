"""One loop that keeps the slots of an executor busy, over the executor of this process and one that does nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from search.executors.base import Executor
from search.executors.drive import Drive
from search.executors.in_process import InProcess
from search.jobs import DescribeJob, Description, Failure, FailureCause, Job, Outcome, WorkerContext
from search.study.prepared import Prepared
from tests.search.session.instant import SPACE, Instant


@pytest.fixture(params=["in process", "instant"])
def executor(request: pytest.FixtureRequest, context: WorkerContext, tmp_path: Path) -> Iterator[Executor]:
    made: Executor = InProcess() if request.param == "in process" else Instant(slots=3)
    made.prepare(context, tmp_path)
    yield made
    made.close()


@pytest.fixture
def jobs(executor: Executor, prepared: Prepared) -> list[DescribeJob]:
    """Seven of different models, which the executor can describe."""
    space = SPACE if isinstance(executor, Instant) else prepared.space
    name = "depth" if isinstance(executor, Instant) else "filters"
    values = [0, 1, 2, 3, 4, 0, 1] if isinstance(executor, Instant) else [8, 16, 24, 32, 40, 48, 56]
    return [DescribeJob(space.defaults(**{name: value})) for value in values]


def taken_from(jobs: list[DescribeJob]) -> Callable[[], DescribeJob | None]:
    left = deque(jobs)
    return lambda: left.popleft() if left else None


def always() -> bool:
    return True


class Outcomes(list[tuple[Job, Outcome]]):
    """What was handed back, in order."""

    def add(self, job: Job, outcome: Outcome) -> None:
        self.append((job, outcome))

    @property
    def jobs(self) -> list[Job]:
        return [job for job, _ in self]


def drive_of(executor: Executor, outcomes: Outcomes) -> Drive[DescribeJob]:
    return Drive(executor, lambda job: job, outcomes.add)


def test_every_outcome_is_handed_back_once_with_its_work_in_order_of_submission(
    executor: Executor, jobs: list[DescribeJob]
) -> None:
    outcomes = Outcomes()
    drive = drive_of(executor, outcomes)
    drive.run(taken_from(jobs), always)
    assert outcomes.jobs == jobs
    assert all(isinstance(outcome, Description) for _, outcome in outcomes)
    assert drive.running == ()


def test_work_may_be_more_than_its_job(executor: Executor, jobs: list[DescribeJob]) -> None:
    left, names = deque(enumerate(jobs)), list[int]()
    drive: Drive[tuple[int, DescribeJob]] = Drive(executor, lambda work: work[1], lambda work, _: names.append(work[0]))
    drive.run(lambda: left.popleft() if left else None, always)
    assert names == list(range(len(jobs)))


def test_it_ends_at_once_where_there_is_nothing_to_do(executor: Executor) -> None:
    turns: list[None] = []
    Drive[DescribeJob](executor, lambda job: job, lambda *_: None, lambda: turns.append(None)).run(lambda: None, always)
    assert turns == []


def test_a_failure_is_an_outcome_and_the_others_follow(executor: Executor, jobs: list[DescribeJob]) -> None:
    if isinstance(executor, Instant):
        formula = executor.answer
        executor.answer = lambda job: Failure(FailureCause.ERROR, "no such point") if job == broken else formula(job)
    broken = DescribeJob({**jobs[0].params, "activation": "no such thing"})
    outcomes = Outcomes()
    drive_of(executor, outcomes).run(taken_from([broken, *jobs]), always)
    assert [isinstance(outcome, Failure) for _, outcome in outcomes] == [True] + [False] * len(jobs)


def test_asked_to_stop_it_begins_no_more_and_can_be_gone_on_with(executor: Executor, jobs: list[DescribeJob]) -> None:
    outcomes, source = Outcomes(), taken_from(jobs)
    drive = drive_of(executor, outcomes)
    drive.run(source, lambda: not outcomes)
    begun = len(outcomes)
    assert begun == executor.slots
    drive.run(source, always)
    assert outcomes.jobs == jobs


def test_what_is_handed_back_may_be_answered_with_more_work(executor: Executor, jobs: list[DescribeJob]) -> None:
    left, seen = deque(jobs[1:]), list[Job]()

    def on_outcome(job: DescribeJob, _: Outcome) -> None:
        seen.append(job)
        if left:
            drive.submit(left.popleft())

    drive: Drive[DescribeJob] = Drive(executor, lambda job: job, on_outcome)
    drive.run(taken_from(jobs[:1]), always)
    assert seen == jobs


def test_a_source_that_has_nothing_now_is_asked_again_after_every_wait(
    executor: Executor, jobs: list[DescribeJob]
) -> None:
    """As a search does that draws one point at a time."""
    left, outcomes = deque(jobs), Outcomes()
    drive = drive_of(executor, outcomes)
    drive.run(lambda: left.popleft() if left and not drive.running else None, always)
    assert outcomes.jobs == jobs


class Held(Instant):
    """Its jobs end when the test says so."""

    def __init__(self, slots: int) -> None:
        super().__init__(slots=slots)
        self.futures: list[Future[Outcome]] = []

    def submit(self, job: Job) -> Future[Outcome]:
        self.jobs.append(job)
        self.futures.append(Future())
        return self.futures[-1]

    def end(self, number: int) -> None:
        self.futures[number].set_running_or_notify_cancel()
        self.futures[number].set_result(self.answer(self.jobs[number]))


JOBS = [DescribeJob(SPACE.defaults(depth=depth)) for depth in range(5)]


def test_as_many_jobs_are_under_way_as_there_are_slots_and_one_that_ends_makes_room_for_one() -> None:
    executor, outcomes, under_way = Held(2), Outcomes(), list[tuple[DescribeJob, ...]]()

    def on_turn() -> None:
        if len(drive.running) == 2 or (drive.running and len(executor.jobs) == len(JOBS)):
            under_way.append(drive.running)
            executor.end(len(outcomes))

    drive: Drive[DescribeJob] = Drive(executor, lambda job: job, outcomes.add, on_turn)
    drive.run(taken_from(JOBS), always)
    assert under_way == [tuple(JOBS[first : first + 2]) for first in range(len(JOBS))]
    assert outcomes.jobs == JOBS


def test_of_jobs_that_end_together_the_one_submitted_first_is_handed_back_first() -> None:
    executor, outcomes = Held(3), Outcomes()

    def on_turn() -> None:
        for number in (2, 0, 1):
            if not executor.futures[number].done():
                executor.end(number)

    drive: Drive[DescribeJob] = Drive(executor, lambda job: job, outcomes.add, on_turn)
    drive.run(taken_from(JOBS[:3]), always)
    assert outcomes.jobs == JOBS[:3]


def test_what_ended_together_is_handed_back_together() -> None:
    executor, told = Held(3), list[object]()

    @contextmanager
    def together() -> Iterator[None]:
        told.append("begin")
        yield
        told.append("end")

    def on_turn() -> None:
        for future, number in zip(executor.futures, range(3), strict=True):
            if not future.done():
                executor.end(number)

    drive: Drive[DescribeJob] = Drive(
        executor, lambda job: job, lambda job, _: told.append(JOBS.index(job)), on_turn, together
    )
    drive.run(taken_from(JOBS[:3]), always)
    assert told == ["begin", 0, 1, 2, "end"]


def test_what_runs_when_it_stops_stays_and_a_time_of_grace_waits_for_it_and_begins_nothing() -> None:
    executor, outcomes, turns = Held(2), Outcomes(), list[int]()
    drive: Drive[DescribeJob] = Drive(executor, lambda job: job, outcomes.add, lambda: turns.append(len(outcomes)))
    source = taken_from(JOBS)
    drive.run(source, lambda: not turns)
    assert drive.running == tuple(JOBS[:2])
    executor.end(1)
    drive.run(lambda: None, lambda: len(turns) < 3)
    assert outcomes.jobs == [JOBS[1]]
    assert drive.running == (JOBS[0],)
    assert executor.jobs == JOBS[:2]


def test_a_job_that_was_cancelled_before_it_began_has_no_outcome() -> None:
    executor, outcomes = Held(2), Outcomes()

    def on_turn() -> None:
        executor.futures[0].cancel()
        if not executor.futures[1].done():
            executor.end(1)

    drive: Drive[DescribeJob] = Drive(executor, lambda job: job, outcomes.add, on_turn)
    drive.run(taken_from(JOBS[:2]), always)
    assert outcomes.jobs == [JOBS[1]]
    assert drive.running == ()
