"""Which point is next where workers describe several models at a time."""

from __future__ import annotations

from concurrent.futures import Future
from pathlib import Path

import pytest

from search.executors.base import Replaced
from search.jobs import DescribeJob, Description, Job, Outcome
from search.results.progress import Ending
from search.session.candidate import Candidate
from search.session.describing import SLOTS_A_DESCRIPTION, Describing
from search.session.plan import Start
from storage import TrialState
from storage.records import Origin
from tests.search.session.instant import SPACE, Instant, description_of
from tests.search.session.sessions import Watcher, new_study, rows, sit, stored

DESCRIBED = Description(100, 1600, ())


def drawn(number: int, origin: Origin = Origin.SAMPLER) -> Candidate:
    return Candidate(number, SPACE.defaults(), origin)


def settled(describing: Describing, candidate: Candidate) -> list[int]:
    return [one.number for one, _ in describing.answered(candidate, DESCRIBED)]


def test_candidates_become_trials_in_order_of_their_numbers() -> None:
    describing, several = Describing(), [drawn(number) for number in range(3)]
    for candidate in several:
        describing.add(candidate)
    assert settled(describing, several[2]) == []
    assert settled(describing, several[0]) == [0]
    assert settled(describing, several[1]) == [1, 2]
    assert len(describing) == 0


def test_one_that_is_drawn_anew_holds_up_those_after_it() -> None:
    describing, first, second = Describing(), drawn(0), drawn(1)
    describing.add(first)
    describing.add(second)
    assert settled(describing, second) == []
    for candidate, _ in describing.answered(first, DESCRIBED):
        describing.again(candidate)
    assert len(describing) == 2
    assert settled(describing, first) == [0, 1]


def test_what_was_dropped_is_not_settled_by_a_late_answer() -> None:
    describing, first, second = Describing(), drawn(0), drawn(1)
    describing.add(first)
    describing.add(second)
    describing.drop()
    again = drawn(1)
    describing.add(again)
    assert settled(describing, second) == []
    assert settled(describing, again) == [1]


@pytest.mark.parametrize(
    ("slots", "starts", "origin", "full_after"),
    [
        (1, 0, Origin.SAMPLER, 1),
        (2 * SLOTS_A_DESCRIPTION - 1, 0, Origin.SAMPLER, 1),
        (4 * SLOTS_A_DESCRIPTION, 0, Origin.SAMPLER, 4),
        (4 * SLOTS_A_DESCRIPTION, 1, Origin.SAMPLER, 1),
        (4 * SLOTS_A_DESCRIPTION, 0, Origin.START, 1),
    ],
)
def test_with_many_slots_several_points_of_the_sampler_are_described_at_a_time(
    slots: int, starts: int, origin: Origin, full_after: int
) -> None:
    describing, left = Describing(), starts * [Start(Origin.START, SPACE.defaults())]
    taken = 0
    while not describing.is_full(slots, left):
        describing.add(drawn(taken, origin))
        taken += 1
    assert taken == full_after


class Backwards(Instant):
    """Many slots, in which the model that was submitted last is described first."""

    def __init__(self) -> None:
        super().__init__(slots=4 * SLOTS_A_DESCRIPTION)
        self.most = 0  # models described at a time
        self._waiting: list[tuple[DescribeJob, Future[Outcome]]] = []

    def submit(self, job: Job) -> Future[Outcome]:
        if not isinstance(job, DescribeJob):
            return super().submit(job)
        future: Future[Outcome] = Future()
        future.set_running_or_notify_cancel()
        self._waiting.append((job, future))
        self.most = max(self.most, len(self._waiting))
        return future

    def replaced(self) -> list[Replaced]:
        """Called after each turn of the loop."""
        while self._waiting:
            job, future = self._waiting.pop()
            future.set_result(description_of(job))
        return super().replaced()


def test_many_slots_give_whole_trials_numbered_without_a_gap(tmp_path: Path) -> None:
    path, executor = new_study(tmp_path / "study.db"), Backwards()
    assert sit(path, executor, trials=30) is Ending.FINISHED
    trials = stored(path)
    assert [trial.number for trial in trials] == list(range(30))
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert executor.most == 4
    assert len({str(trial.params) for trial in trials}) == 30


def test_points_too_large_are_drawn_anew_beside_others(tmp_path: Path) -> None:
    path, executor = new_study(tmp_path / "study.db"), Backwards()
    sit(path, executor, Watcher(), trials=30, max_parameters=300)
    trials = stored(path)
    assert [trial.number for trial in trials] == list(range(30))
    assert max(trial.parameters or 0 for trial in trials) <= 300
    assert any(trial.redraws for trial in trials)


def test_a_session_goes_on_where_one_with_many_slots_ended(tmp_path: Path) -> None:
    path = new_study(tmp_path / "study.db")
    sit(path, Backwards(), trials=20)
    before = rows(stored(path))
    sit(path, Backwards(), trials=30)
    assert rows(stored(path))[:20] == before
    assert len(stored(path)) == 30
