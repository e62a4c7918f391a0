"""The stored states of long fold runs: which a session keeps, and what it says of them at a stop."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from search.jobs import Failure, FailureCause, FoldJob, Job, Outcome, Saving, WorkerContext
from search.results.progress import Ending
from search.session.activity import unfinished
from search.session.budget import GRACE_SECONDS
from search.session.prepare import prepare
from search.session.run import run
from search.session.session import Asked
from search.session.signals import StopRequest
from search.session.weight_files import saving_in, sweep_states
from search.study.database import create
from search.study.folder import StudyFolder
from storage import Store, TrialRecord, TrialState
from storage.records import Origin
from tests.search.session.instant import Instant, by_formula
from tests.search.session.sessions import RUN, Watcher, new_study, rows, sit, stored
from tests.search.session.test_activity import FOLD
from tests.search.shapes import FOLDER, settings


@dataclass
class Stopping(Instant):
    """Asked to stop in a fold run, it stores the state, as a worker does."""

    stop: StopRequest = field(default_factory=StopRequest)
    asked: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.answer = self._answer

    def save(self, seconds: float) -> None:
        self.asked.append(seconds)

    def _answer(self, job: Job) -> Outcome:
        if isinstance(job, FoldJob) and (job.trial, job.fold) == (2, 1):
            self.stop.asked = True
            return Failure(FailureCause.STOPPED, "its state after epoch 3 is stored")
        return by_formula(job)


def test_a_fold_run_that_stored_its_state_at_a_stop_is_gone_on_with(tmp_path: Path) -> None:
    path, whole, watcher, stopping = new_study(tmp_path / "a.db"), new_study(tmp_path / "b.db"), Watcher(), Stopping()
    assert sit(path, stopping, watcher, stopping.stop) is Ending.STOPPED
    assert stopping.asked == [GRACE_SECONDS]
    assert watcher.notes[-1] == "1 fold run in progress: the state is stored, and the next session goes on from it"
    assert (stored(path)[-1].state, len(stored(path)[-1].folds)) == (TrialState.RUNNING, 1)
    assert sit(path, Instant()) is Ending.FINISHED
    assert sit(whole, Instant()) is Ending.FINISHED
    assert rows(stored(path)) == rows(stored(whole))


@pytest.mark.parametrize(
    ("number", "running", "words"),
    [
        (0, [], ""),
        (0, ["a candidate"], ""),
        (2, [], "2 fold runs in progress: the state is stored, and the next session goes on from it"),
        (
            1,
            [FOLD],
            "1 fold run in progress: the state is stored, and the next session goes on from it; 1 fold run in progress "
            "did not end: what was trained since it last stored its state is done again",
        ),
    ],
)
def test_what_becomes_of_fold_runs_at_a_stop_in_words(number: int, running: list[object], words: str) -> None:
    assert unfinished(number, running) == words


def test_states_go_once_their_fold_run_is_over(tmp_path: Path) -> None:
    path, stopping = new_study(tmp_path / "study.db"), Stopping()
    saving = Saving(tmp_path / "folds", "f")
    saving.folder.mkdir()
    sit(path, stopping, None, stopping.stop, saving=saving)
    complete, is_open = stored(path)[0], stored(path)[2]
    done, also_done = complete.folds[0], is_open.folds[0]
    names = {
        f"{complete.number}-0-{done.fold}-{done.seed}-abc-0.state": "trained again for the model as in a fold",
        f"{is_open.number}-0-{also_done.fold}-{also_done.seed}-abc-0.state": "stored",
        f"{complete.number}-0-0-99-abc-0.state": "trained on all images",
        f"{complete.number}-1-0-99-abc-1.state": "confirmed",
        f"{is_open.number}-0-1-99-abc-0.state": "open",
        "77-0-0-99-abc-0.state": "unknown",
        "whatever.state": "unknown",
    }
    for name in names:
        (saving.folder / name).touch()
    with Store.open(path) as store:
        sweep_states(saving, store, chosen=False)
        of_model = {"trained on all images", "trained again for the model as in a fold"}
        assert {names[p.name] for p in saving.folder.iterdir()} == {*of_model, "confirmed", "open"}
        sweep_states(saving, store, chosen=True)
        assert {names[p.name] for p in saving.folder.iterdir()} == {"open"}
        sweep_states(None, store, chosen=True)


def test_the_loop_removes_those_of_a_fold_run_that_is_stored(tmp_path: Path) -> None:
    path, saving = new_study(tmp_path / "study.db"), Saving(tmp_path / "folds", "f")
    saving.folder.mkdir()
    left: list[list[str]] = []

    def answer(job: Job) -> Outcome:
        if isinstance(job, FoldJob):
            left.append([state.name for state in saving.folder.iterdir()])
            (saving.folder / f"{saving.name(job)}-abc-0.state").touch()
        return by_formula(job)

    sit(path, Instant(answer), saving=saving)
    assert len(left) > 10
    assert not any(left)
    assert list(saving.folder.iterdir()) == []


def test_a_folder_that_leads_out_of_the_study_has_no_states(tmp_path: Path) -> None:
    study = StudyFolder(tmp_path / "study")
    study.states.parent.mkdir(parents=True)
    assert saving_in(study, study.states, "f") is not None
    (tmp_path / "elsewhere").mkdir()
    study.states.symlink_to(tmp_path / "elsewhere")
    assert saving_in(study, study.states, "f") is None


class BegunError(Exception):
    """Once the workers were told what they need, nothing else is of interest."""


@dataclass
class Told(Instant):
    """Remembers how fold runs store their state."""

    saving: Saving | None = None

    def prepare(self, context: WorkerContext, logs: Path) -> None:  # noqa: ARG002 - as executors are called
        self.saving = context.saving
        raise BegunError


def test_in_a_study_of_an_earlier_release_states_are_of_the_images_as_it_knows_them(place: Path) -> None:
    folder, prepared = StudyFolder(place / FOLDER), prepare(settings(), place / FOLDER)
    known = prepared.images.fingerprint_of_paths
    with create(folder, replace(prepared, images=replace(prepared.images, fingerprint=known))) as store:
        trial = TrialRecord(0, prepared.space.defaults(), Origin.BASELINE)
        store.add_trial(trial, run=store.start_run(RUN), seconds=0)
    executor = Told()
    with pytest.raises(BegunError):
        run(folder, prepared, Watcher(), executor=executor, asked=Asked("search run"))
    assert executor.saving is not None
    assert executor.saving.images == known != prepared.images.fingerprint
