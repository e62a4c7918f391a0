"""What finishing asks of fold runs."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reports.wording import study as words
from search.executors.base import Executor
from search.executors.factory import open_executor
from search.jobs import Failure, FailureCause, FitOptions, Job, Outcome, RefitJob
from search.manifest import about
from search.results.read import read_stored
from search.results.summary import summarise
from search.session.finish import refit_options
from search.session.records import fold_record
from search.session.run import finish_only, run
from search.session.session import Asked
from search.stats.calibration import Correction
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.worker import Worker
from storage import FoldRecord, Split, Store
from tests.search.session.sessions import RUN, Watcher
from tests.search.worker.test_trainer import fold_job, trained

ALL = {"loss": (1.0, 0.8, 0.7, 0.6), "val_log_loss": (1.0, 0.9, 0.9, 0.9)}


def fold(number: int, best_epoch: int) -> FoldRecord:
    return FoldRecord(0, 0, number, 1, {"accuracy": 0.9}, 4, best_epoch, ALL, 100, 1.0)


def test_on_all_images_it_trains_as_long_as_folds_did_and_nothing_stops_it() -> None:
    asked = refit_options([fold(0, 2), fold(1, 3), fold(2, 4)], FitOptions(max_epochs=40, patience=8))
    assert (asked.max_epochs, asked.patience, asked.use_last_epoch) == (3, 0, True)
    assert not asked.stop_collapsed
    assert len(asked.lr_factors) == 4


def test_a_loss_that_was_lost_in_the_first_epoch_makes_one_epoch() -> None:
    lost = FoldRecord(0, 0, 0, 1, {"accuracy": 0.5}, 0, 0, {}, 100, 1.0)
    asked = refit_options([lost], FitOptions())
    assert (asked.max_epochs, asked.lr_factors) == (1, ())


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
def test_learning_rates_on_all_images_are_those_of_the_folds(worker: Worker, prepared: Prepared, schedule: str) -> None:
    params = prepared.space.defaults(schedule=schedule)
    job = fold_job(prepared, params, max_epochs=12)
    as_fold = trained(worker, job)
    again = trained(worker, replace(job, training=refit_options([fold_record(job, as_fold)], job.training)))
    assert again.curve["loss"] == as_fold.curve["loss"][: as_fold.best_epoch]


def test_the_models_of_the_folds_are_shipped_where_they_are_better_together(prepared: Prepared, tmp_path: Path) -> None:
    """What a repeat said is put in by hand; what is trained again for the file is what was judged."""
    import keras

    budget = replace(prepared, config=prepared.config.model_copy(update={"trials": 1}), max_epochs=2)
    folder = tmp_path / "study"
    folder.mkdir()
    with open_executor(0) as executor:
        run(StudyFolder(folder), budget, Watcher(), executor=executor, asked=Asked("search run"))
        with Store.open(folder / "study.db") as store:
            assert store.choices()[-1].members == ((0, 1.0),)
            by_hand = store.start_run(RUN)
            store.add_split(Split(1, store.split().assignment))
            for found in store.trial(0).folds:
                truth = prepared.images.labels[store.split().assignment == found.fold]
                sure = np.where(np.eye(2)[truth] == 1, 0.9, 0.1).astype(np.float32)
                store.add_fold(replace(found, repeat=1, probabilities=sure), run=by_hand, seconds=1.0)
        finish_only(StudyFolder(folder), budget, Watcher(), executor=executor, asked=Asked("search export"))
    with Store.open(folder / "study.db", read_only=True) as store:
        said, assignment, choice = store.probabilities(0), store.split().assignment, store.choices()[-1]
        summary = summarise(read_stored(store, searching=False))
        printed = words.choice(summary)
    assert summary.calibrated is not None
    known = about(StudyFolder(folder).model)
    assert Correction(known.temperature, known.doubt) == summary.calibrated.correction
    assert choice.members == ((0, 1 / 3),) * 3
    assert "each trained without one of its folds" in printed
    pixels = prepared.images.pixels.astype(np.float32)
    models = [keras.saving.load_model(path) for path in (folder / "cache" / "refits").glob("*.keras")]
    for fold, probabilities in said.items():
        again = [model.predict(pixels[assignment == fold], verbose=0) for model in models]
        assert any(np.allclose(one, probabilities, atol=1e-5) for one in again)
    whole = keras.saving.load_model(folder / "models" / "choice.keras").predict(pixels, verbose=0)
    assert whole.shape == (len(pixels), 2)


class Losing:
    """An executor that gives nothing usable of the first trial that is to be trained on all images."""

    def __init__(self, real: Executor, cause: FailureCause) -> None:
        self._real, self._cause, self.lost = real, cause, list[int]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        if not isinstance(job, RefitJob) or (self.lost and job.fold.trial not in self.lost):
            return self._real.submit(job)
        self.lost.append(job.fold.trial)
        future: Future[Outcome] = Future()
        future.set_result(Failure(self._cause, "trained on all images, its loss is no number"))
        return future


@pytest.mark.first(1)
@pytest.mark.parametrize("cause", [FailureCause.REFUSED, FailureCause.HUNG])
def test_a_trial_that_cannot_be_trained_on_all_images_gives_its_place_to_the_next(
    prepared: Prepared, tmp_path: Path, cause: FailureCause
) -> None:
    budget = replace(prepared, config=prepared.config.model_copy(update={"trials": 2}), max_epochs=2)
    folder, watcher = tmp_path / "study", Watcher()
    folder.mkdir()
    with open_executor(0) as real:
        executor = Losing(real, cause)
        run(StudyFolder(folder), budget, watcher, executor=executor, asked=Asked("search run"))
    (lost,) = set(executor.lost)
    with Store.open(folder / "study.db", read_only=True) as store:
        (made,) = store.choices()
    assert made.trial == 1 - lost
    assert lost not in {trial for trial, _ in made.members}
    assert (folder / "models" / "choice.keras").is_file()


def test_what_a_killed_worker_left_half_written_goes_and_nothing_outside_of_the_study(
    prepared: Prepared, tmp_path: Path
) -> None:
    budget = replace(prepared, config=prepared.config.model_copy(update={"trials": 1}), max_epochs=1)
    folder, elsewhere = tmp_path / "study", tmp_path / "elsewhere"
    half = [folder / "models" / ".choice.77.keras", folder / "cache" / "refits" / ".trial-0-ab.77.keras"]
    half += [folder / "cache" / "refits" / ".trial-0-fold-0-ab.77.npz"]
    kept = elsewhere / ".mine.77.npy"
    for path in (*half, kept):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"half")
    (folder / "cache" / "features").symlink_to(elsewhere)
    with open_executor(0) as executor:
        run(StudyFolder(folder), budget, Watcher(), executor=executor, asked=Asked("search run"))
    assert not any(path.exists() for path in half)
    assert kept.exists()
