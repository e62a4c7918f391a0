"""Where the saved model looks: which network, in which images, and what a session makes of it."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.html.study import render
from search.commands.report import pictures_of, summary_of
from search.executors.base import Executor
from search.executors.factory import open_executor
from search.jobs import Failure, FailureCause, Job, Looked, LookJob, Outcome
from search.results.gradcam import Looks, read_looks
from search.results.progress import Ending
from search.results.shipped import Example
from search.session.gradcam import LOADING, look_jobs, look_seconds, looking, looks_of
from search.session.run import run
from search.session.session import Asked
from search.stats.selection import Member
from search.study.config_file import write as write_settings
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from storage import ChoiceRecord, Store
from tests.search.session.sessions import RUN, Watcher
from tests.search.session.test_in_time import Saving, finished, with_three_trials

WHOLE, OF_FOLDS = Member(4, 0.6), (Member(2, 0.2, 0), Member(2, 0.2, 2))


def example(row: int, predicted: int) -> Example:
    return Example(row, f"{row}.png", 0, predicted, 0.9, 0, 0.1)


EXAMPLES = tuple(example(row, row % 2) for row in (8, 1, 3, 5))
ASSIGNMENT = np.array([0, 0, 0, 1, 1, 2, 2, 2, 2], np.int16)
PATHS = {member: Path(f"{member.trial}-{member.fold}.keras") for member in (WHOLE, *OF_FOLDS)}


def test_a_network_of_all_images_looks_at_all_of_them() -> None:
    networks = looking(4, (*OF_FOLDS, WHOLE))
    assert networks == (WHOLE,)
    (job,) = look_jobs(EXAMPLES, networks, PATHS, ASSIGNMENT)
    assert job.path == Path("4-None.keras")
    assert (job.rows.tolist(), job.classes.tolist()) == ([8, 1, 3, 5], [0, 1, 1, 1])


def test_networks_of_folds_look_at_the_images_that_they_were_not_trained_on() -> None:
    networks = looking(2, (*OF_FOLDS, WHOLE))
    assert networks == OF_FOLDS
    jobs = look_jobs(EXAMPLES, networks, PATHS, ASSIGNMENT)
    assert [(str(job.path), job.rows.tolist()) for job in jobs] == [("2-0.keras", [1]), ("2-2.keras", [8, 5])]


def test_without_images_nothing_is_to_do() -> None:
    assert look_jobs((), (WHOLE,), PATHS, ASSIGNMENT) == []


@pytest.mark.parametrize(("networks", "unseen"), [((WHOLE,), False), (OF_FOLDS, True)])
def test_what_was_found_is_kept_with_whose_it_is(networks: tuple[Member, ...], unseen: bool) -> None:
    choice = ChoiceRecord("now", 4, (), (), 3, 1.0, None)
    job = look_jobs(EXAMPLES, (WHOLE,), PATHS, ASSIGNMENT)[0]
    maps = np.zeros((4, 2, 2), np.uint8)
    maps[1:] = 255
    looks = looks_of(choice, networks, [(job, Looked(maps, 0.1)), (job, Failure(FailureCause.HUNG, "it hung"))])
    assert (looks.made, looks.trial, looks.unseen) == ("now", 4, unseen)
    assert looks.classes == {1: 1, 3: 1, 5: 1}, "a map of zeros says nothing"
    assert looks_of(choice, networks, [(job, Looked(None, 0.1))]).maps == {}


def test_many_networks_and_slow_ones_take_longer() -> None:
    assert look_seconds(0.0, 1) == LOADING
    assert look_seconds(0.01, 5) > 5 * LOADING


@pytest.mark.parametrize(("left", "looks"), [(LOADING + 0.5, True), (LOADING - 0.5, False)])
def test_it_is_left_out_where_there_is_no_time(tmp_path: Path, left: float, looks: bool) -> None:
    with with_three_trials(tmp_path) as store:
        finished(store, tmp_path, executor := Saving(), left=left)
    assert any(isinstance(job, LookJob) for job in executor.jobs) == looks


class Hanging(Saving):
    """Whoever looks, does not come back; ten seconds pass when that begins."""

    def __init__(self) -> None:
        super().__init__()
        self.passed, self.closed = 0.0, False

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        if not isinstance(job, LookJob):
            return super().submit(job)
        self.passed += 10.0
        return Future()

    def close(self, *, kill: bool) -> None:
        """See Executor."""
        self.closed = kill


def test_one_that_does_not_come_back_is_ended_with_the_time(tmp_path: Path) -> None:
    with with_three_trials(tmp_path) as store:
        _, watcher = finished(store, tmp_path, executor := Hanging(), left=LOADING + 1, ticks=lambda: executor.passed)
        assert store.choices()
    assert executor.closed
    assert watcher.notes[-1] == "where the model looks is not shown: the time was over before"


class Odd(Saving):
    """Its answer to whoever looks is that of another number of images."""

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        if not isinstance(job, LookJob):
            return super().submit(job)
        future: Future[Outcome] = Future()
        future.set_result(Looked(np.ones((len(job.rows) + 1, 2, 2), np.uint8), 0.1))
        return future


def test_an_error_in_what_is_made_of_it_is_told_and_ends_nothing(tmp_path: Path) -> None:
    with with_three_trials(tmp_path) as store:
        _, watcher = finished(store, tmp_path, Odd(), left=500.0)
        assert store.choices()
    assert watcher.notes[-1].startswith("where the model looks is not shown: ValueError: ")


# In real sessions


class Blind:
    """An executor whose workers cannot see where a network looks."""

    def __init__(self, real: Executor) -> None:
        self._real = real

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        if not isinstance(job, LookJob):
            return self._real.submit(job)
        future: Future[Outcome] = Future()
        future.set_result(Failure(FailureCause.ERROR, "no such layer"))
        return future


def searched(prepared: Prepared, folder: Path, *, blind: bool) -> Watcher:
    config = prepared.config.model_copy(update={"trials": 1})
    folder.mkdir()
    write_settings(folder, config)
    watcher = Watcher()
    with open_executor(0) as real:
        executor: Any = Blind(real) if blind else real
        asked = replace(prepared, config=config, max_epochs=2)
        ending = run(StudyFolder(folder), asked, watcher, executor=executor, asked=Asked("search run"))
    assert ending is Ending.FINISHED
    return watcher


def test_a_session_ends_with_it_and_the_report_shows_it(prepared: Prepared, tmp_path: Path) -> None:
    searched(prepared, tmp_path / "study", blind=False)
    folder = StudyFolder(tmp_path / "study")
    summary = summary_of(folder)
    assert summary.chosen and summary.telling.examples
    looks = read_looks(folder.looks, summary.chosen.made)
    assert looks.trial == 0
    assert {*looks.maps} <= {example.row for example in summary.telling.examples}
    assert any(looks.at(example.row, example.predicted) is not None for example in summary.telling.examples)
    page = render(summary, pictures_of(folder, summary))
    assert 'id="show-looks"' in page and "no proof of the cause" in page
    with Store.open(folder.database) as store:
        store.add_choice(replace(store.choices()[-1], made="later"), run=store.start_run(RUN), seconds=0)
    later = summary_of(folder)
    assert pictures_of(folder, later).looks == Looks()


def test_a_failure_of_it_does_not_fail_the_session(prepared: Prepared, tmp_path: Path) -> None:
    watcher = searched(prepared, tmp_path / "study", blind=True)
    folder = StudyFolder(tmp_path / "study")
    assert folder.model.is_file() and not folder.looks.exists()
    assert "where the model looks is not shown: no such layer" in watcher.notes
    assert 'id="show-looks"' not in render(summary_of(folder), pictures_of(folder, summary_of(folder)))
