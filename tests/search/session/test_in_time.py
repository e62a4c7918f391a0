"""A search with real networks whose time is over: what is ahead is shipped as it is."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.wording import study as words
from search.executors.in_process import InProcess
from search.jobs import ComposeJob, FoldJob, FoldResult, Job, Outcome, RefitJob, SavedModel
from search.results.progress import Ending
from search.results.read import read_stored
from search.results.summary import summarise
from search.samplers.factory import make_sampler
from search.session.finish import Finish
from search.session.loop import Loop
from search.session.plan import Start, fold_seed, make_plan, worker_context
from search.session.session import Session
from search.session.signals import StopRequest
from search.session.testing import MIN_TESTED
from search.session.weight_files import weights_of
from search.study.database import create, folds_of
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from spaces import Value
from storage import (
    OUT_OF_TIME,
    ChoiceRecord,
    FoldRecord,
    ImageRecord,
    Split,
    Store,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from storage.records import Origin
from tests.search.session.instant import result_of
from tests.search.session.sessions import RUN, Watcher, a_plan

FOLDS = 3
LEARNS: dict[str, Value] = {"conv_depth": 2, "dense_depth": 1}  # within twelve epochs, at a rate that is right
SLOW, FAST = {**LEARNS, "learning_rate": 1e-4}, {**LEARNS, "learning_rate": 0.01}


class Clockwork(InProcess):
    """Networks are trained, by a clock of its own: a fold of trial 0 takes 10 seconds, and one of any other 40."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        self.jobs.append(job)
        future = super().submit(job)
        outcome = future.result()
        if isinstance(job, FoldJob) and isinstance(outcome, FoldResult):
            seconds = 40.0 if job.trial else 10.0
            self.now += seconds
            future = Future()
            future.set_result(replace(outcome, seconds=seconds))
        return future


@dataclass
class Searched:
    """What a search left behind."""

    folder: StudyFolder
    executor: Clockwork
    watcher: Watcher
    choice: ChoiceRecord
    printed: str

    @property
    def refits(self) -> list[RefitJob]:
        return [job for job in self.executor.jobs if isinstance(job, RefitJob)]

    def said(self, trial: int) -> dict[int, Any]:
        """The out-of-fold probabilities of a trial, by fold."""
        with Store.open(self.folder.database, read_only=True) as store:
            return dict(store.probabilities(trial))


def searched(
    prepared: Prepared,
    home: Path,
    seconds: float,
    between: Callable[[StudyFolder], object] = lambda _: None,
) -> Searched:
    """Search two points for so many seconds, then finish. `between`: is called between the two."""
    config = prepared.config.model_copy(update={"hours": seconds / 3600, "trials": 2})
    asked, folder = replace(prepared, config=config, max_epochs=12), StudyFolder(home)
    executor, watcher = Clockwork(), Watcher()
    with create(folder, asked) as store, folder.pixels_on_disk(asked.images.pixels) as pixels:
        executor.prepare(worker_context(pixels, folder.features, asked), folder.logs)
        points = (asked.space.defaults(**SLOW), asked.space.defaults(**FAST))
        plan = replace(
            make_plan(asked, store, 1),
            references=(),
            race=None,
            starts=[Start(Origin.BASELINE, points[0]), Start(Origin.TRY, points[1])],
        )
        session = Session(store, store.start_run(RUN), executor, watcher, StopRequest(), lambda: executor.now)
        loop = Loop(plan, session, make_sampler(plan.space, plan.metric, "optuna", "tpe", plan.seed, None))
        assert loop.run() is Ending.FINISHED
        between(folder)
        Finish(
            plan=plan,
            session=session,
            show=loop.show,
            folder=folder,
            draw=lambda repeat: folds_of(asked, repeat),
            labels=asked.images.labels,
            testing=asked.images.testing,
            about={"classes": list(asked.images.classes), "image_shape": [8, 8, 1]},
        ).run()
        (choice,) = store.choices()
        return Searched(folder, executor, watcher, choice, words.choice(summarise(read_stored(store, searching=False))))


def answers(path: Path, prepared: Prepared) -> Any:
    """[images, classes] by a file in plain Keras."""
    import keras

    model: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    return model.predict(prepared.images.pixels.astype(np.float32), verbose=0)


@pytest.fixture(scope="module")
def cut(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Searched:
    """The second trial is far ahead after two of three folds, and there is no time for a third, nor for all images."""
    return searched(prepared, tmp_path_factory.mktemp("cut"), 150)


def test_a_trial_far_ahead_that_ran_out_of_time_is_shipped_from_the_networks_of_its_folds(cut: Searched) -> None:
    with Store.open(cut.folder.database, read_only=True) as store:
        first, second = store.trials()
    assert (len(first.folds), len(second.folds), second.cause) == (FOLDS, 2, OUT_OF_TIME)
    assert cut.choice.trial == 1
    assert cut.choice.members == ((1, 0.5), (1, 0.5))
    assert cut.choice.left_out == (0, 1)
    assert "There was no time to train all of it on all images, so the networks of its finished folds were saved." in (
        cut.printed
    )
    assert "It was judged on 2 of 3 folds: there was no time for more." in cut.printed


def test_nothing_is_trained_again_for_it(cut: Searched) -> None:
    assert len(cut.refits) == 2 and all(job.weights for job in cut.refits)
    assert "making the model of trial 1; 2 networks of folds are used as they are" in cut.watcher.notes


def test_its_file_answers_with_the_mean_of_the_networks_that_were_judged(cut: Searched, prepared: Prepared) -> None:
    each = [answers(job.path, prepared) for job in cut.refits]
    np.testing.assert_allclose(answers(cut.folder.model, prepared), np.mean(each, axis=0), atol=1e-5)
    judged = cut.said(1)
    for job, said in zip(cut.refits, each, strict=True):
        np.testing.assert_allclose(said[job.fold.validate], judged[job.fold.fold], atol=1e-5)


def test_kept_weights_go_once_the_model_is_made(cut: Searched) -> None:
    assert not [*cut.folder.refits.glob("*.npz")]


def test_of_kept_weights_that_were_damaged_the_others_are_used(prepared: Prepared, tmp_path: Path) -> None:
    def damage(folder: StudyFolder) -> None:
        (first,) = folder.refits.glob("trial-1-fold-0-*.npz")
        first.write_bytes(first.read_bytes()[:-100])

    found = searched(prepared, tmp_path, 150, damage)
    assert (found.choice.members, found.choice.left_out) == (((1, 1.0),), (1,))
    assert "so the network of one fold was saved" in found.printed
    (job,) = found.refits
    np.testing.assert_allclose(answers(found.folder.model, prepared), answers(job.path, prepared), atol=1e-5)


def test_with_time_it_is_trained_on_all_images(prepared: Prepared, tmp_path: Path) -> None:
    found = searched(prepared, tmp_path, 10_000)
    assert (found.choice.members, found.choice.left_out) == (((1, 1.0),), (None,))
    assert [job.weights for job in found.refits] == [None]
    assert "It was trained on all 27 images and saved." in found.printed
    assert not [job.keep for job in found.executor.jobs if isinstance(job, FoldJob) and job.keep]


# An ensemble, put together by hand: nothing is trained

IMAGES = 300


class Saving:
    """Says of every model that it was saved."""

    slots, ready = 1, True

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        self.jobs.append(job)
        future: Future[Outcome] = Future()
        future.set_result(SavedModel(0.0))
        return future


def with_three_trials(home: Path, latency: float | None = None) -> Store:
    """Complete trials that err on different images; a fold of the last one takes 100 seconds, of the others one.

    `latency`: milliseconds in which each of them predicts an image.
    """
    folds, labels, rng = np.arange(IMAGES) // 3 % FOLDS, np.arange(IMAGES) % 3, np.random.default_rng(3)
    images = [ImageRecord(n, f"{n}.png", int(label), False, f"{n:064x}") for n, label in enumerate(labels)]
    record = StudyRecord("s", RUN.started, 5, "accuracy", ("a", "b", "c"), (8, 8, 1), "f", {"preset": "cnn"}, {})
    store = Store.create(StudyFolder(home).database, record, images, [Split(0, folds.astype(np.int16))])
    run = store.start_run(RUN)
    for number in range(3):
        store.add_trial(TrialRecord(number, {"rate": number / 10}, Origin.SAMPLER, parameters=1000), run=run, seconds=0)
        for fold in range(FOLDS):
            truth = labels[folds == fold]
            logits = np.eye(3)[truth] * 1.5 + rng.normal(0, 1, (len(truth), 3))
            rows = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)).astype(np.float32)
            right = float(np.mean(rows.argmax(axis=1) == truth))
            seconds = 100.0 if number == 2 else 1.0
            made = FoldRecord(number, 0, fold, 1, {"accuracy": right}, 4, 3, {}, 1000, seconds, rows, latency)
            closing = (TrialState.COMPLETE, None, None) if fold == FOLDS - 1 else None
            store.add_fold(made, run=run, seconds=0, close=closing)
    return store


class Training(Saving):
    """Fold runs have results by formula, and take a second."""

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        if not isinstance(job, FoldJob):
            return super().submit(job)
        self.jobs.append(job)
        future: Future[Outcome] = Future()
        future.set_result(replace(result_of(job, classes=3), seconds=1.0))
        return future


NEEDED = 5.8  # seconds, for making the model


def finished(
    store: Store,
    home: Path,
    executor: Saving,
    *,
    left: float,
    has_spare_time: bool = False,
    ticks: Callable[[], float] = lambda: 0.0,
    testing: int = 0,
) -> tuple[ChoiceRecord, Watcher]:
    """(The choice with so many seconds left of 1,000, what was said). `ticks`: seconds that have passed since.

    `testing`: how many of the images are for testing.
    """
    (folder := StudyFolder(home)).refits.mkdir(parents=True, exist_ok=True)
    assignment, labels, watcher = store.split().assignment, np.arange(IMAGES, dtype=np.int16) % 3, Watcher()
    plan, limit = a_plan(assignment=assignment, seconds=1000.0), 1000.0
    real: Any = executor
    session = Session(store, store.start_run(RUN), real, watcher, StopRequest(), lambda: limit - left + ticks(), 0.0)
    tested = np.arange(IMAGES) < testing
    Finish(plan, session, lambda: None, folder, lambda _: assignment, labels, tested, {}, NEEDED, has_spare_time).run()
    (choice,) = store.choices()
    return choice, watcher


@pytest.mark.parametrize(
    ("left", "confirmed"),
    [(50.0, {0: {1, 2}, 1: {1, 2}}), (13.0, {0: {1}, 1: {1}}), (10.0, {0: {1}}), (8.0, {})],
)
def test_time_that_the_search_had_no_use_for_confirms_as_many_as_it_is_enough_for(
    tmp_path: Path, left: float, confirmed: dict[int, set[int]]
) -> None:
    """Three folds of a second each; never the trial of which one takes 100, and not what is needed for the model."""
    with with_three_trials(tmp_path) as store:
        _, watcher = finished(store, tmp_path, Training(), left=left, has_spare_time=True)
        again = {trial.number: {fold.repeat for fold in trial.folds} - {0} for trial in store.trials()}
    assert {number: repeats for number, repeats in again.items() if repeats} == confirmed
    which = f"{len(confirmed)} trials" if len(confirmed) > 1 else "trial"
    told = f"confirming the best {which} on new folds, {sum(map(len, confirmed.values())) * FOLDS} fold runs"
    assert any(told in note for note in watcher.notes) == bool(confirmed)


def test_where_the_search_ended_otherwise_so_few_trials_are_not_confirmed(tmp_path: Path) -> None:
    with with_three_trials(tmp_path) as store:
        finished(store, tmp_path, executor := Training(), left=500.0)
    assert not [job for job in executor.jobs if isinstance(job, FoldJob)]


@pytest.mark.parametrize(("left", "members"), [(5.5, 1), (190.0, 1), (210.0, 3)])
def test_a_single_trial_is_made_where_there_is_no_time_for_an_ensemble(
    tmp_path: Path, left: float, members: int
) -> None:
    """Its training on all images takes 153 s, 188 s with care; then three networks are packed and put together."""
    with with_three_trials(tmp_path) as store:
        choice, _ = finished(store, tmp_path, Saving(), left=left)
    assert len(choice.members) == members


@pytest.mark.parametrize(
    ("left", "testing", "members"), [(300.0, 0, 3), (300.0, 10, 3), (300.0, 300, 1), (1000.0, 300, 3)]
)
def test_a_single_trial_is_made_where_an_ensemble_cannot_predict_a_few_testing_images_in_time(
    tmp_path: Path, left: float, testing: int, members: int
) -> None:
    """Three networks of a second an image."""
    with with_three_trials(tmp_path, latency=1000.0) as store:
        choice, _ = finished(store, tmp_path, Saving(), left=left, testing=testing)
    assert len(choice.members) == members


@pytest.mark.parametrize(
    ("left", "least", "most"), [(1000.0, 260, 290), (300.0, 220, 250), (20.0, MIN_TESTED, MIN_TESTED)]
)
def test_testing_images_are_predicted_as_far_as_there_is_time(
    tmp_path: Path, left: float, least: int, most: int
) -> None:
    """Three networks of a second an image, one where there is no time for three."""
    with with_three_trials(tmp_path, latency=1000.0) as store:
        finished(store, tmp_path, executor := Saving(), left=left, testing=300)
    (compose,) = (job for job in executor.jobs if isinstance(job, ComposeJob))
    assert least <= len(compose.rows) <= most


@pytest.mark.parametrize(
    ("kept", "left", "left_out"),
    [
        ((0, 1, 2), 50.0, {2: {0, 1, 2}}),
        ((1,), 50.0, {2: {1}}),
        ((0, 1, 2), 1000.0, {}),
    ],
    ids=["all kept", "one kept", "time for all"],
)
def test_of_an_ensemble_only_what_there_is_no_time_for_is_made_of_kept_networks(
    tmp_path: Path, kept: tuple[int, ...], left: float, left_out: dict[int, set[int]]
) -> None:
    folder, executor = StudyFolder(tmp_path), Saving()
    folder.refits.mkdir(parents=True)
    with with_three_trials(tmp_path) as store:
        for of in kept:
            trial = store.trial(2)
            np.savez(
                weights_of(folder, 2, of, fold_seed(5, 2, 0, of), trial.params, store.study().fingerprint),
                np.arange(3.0),
            )
        choice, _ = finished(store, tmp_path, executor, left=left)
    weights: dict[int, float] = {}
    for number, weight in choice.members:
        weights[number] = weights.get(number, 0.0) + weight
    assert weights.keys() == {0, 1, 2}
    assert sum(weights.values()) == pytest.approx(1)
    found: dict[int, set[int]] = {}
    for (number, _), fold in zip(choice.members, choice.left_out, strict=True):
        if fold is not None:
            found.setdefault(number, set()).add(fold)
    assert found == left_out
    assert {job.fold.trial for job in executor.jobs if isinstance(job, RefitJob) and job.weights} == left_out.keys()
