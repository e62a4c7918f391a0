"""What finishing asks of fold runs."""

from __future__ import annotations

from dataclasses import replace

import pytest

from search.finish import length
from search.jobs import Training
from search.outcomes import fold_record
from search.study import Prepared
from search.worker import Worker
from storage import FoldRecord, TrialRecord
from tests.search.test_training import fold_job, trained

ALL = {"loss": (1.0, 0.8, 0.7, 0.6), "val_log_loss": (1.0, 0.9, 0.9, 0.9)}


def fold(number: int, best_epoch: int) -> FoldRecord:
    return FoldRecord(0, 0, number, 1, {"accuracy": 0.9}, 4, best_epoch, ALL, 100, 1.0)


def test_on_all_images_it_trains_as_long_as_folds_did_and_nothing_stops_it() -> None:
    trial = TrialRecord(0, {}, "baseline", folds=(fold(0, 2), fold(1, 3), fold(2, 4)))
    asked = length(trial, Training(max_epochs=40, patience=8))
    assert (asked.max_epochs, asked.patience, asked.last) == (3, 0, True)
    assert not asked.stop_collapsed
    assert len(asked.factors) == 4


def test_a_loss_that_was_lost_in_the_first_epoch_makes_one_epoch() -> None:
    lost = FoldRecord(0, 0, 0, 1, {"accuracy": 0.5}, 0, 0, {}, 100, 1.0)
    asked = length(TrialRecord(0, {}, "baseline", folds=(lost,)), Training())
    assert (asked.max_epochs, asked.factors) == (1, ())


@pytest.mark.parametrize("schedule", ["constant", "cosine", "plateau"])
def test_learning_rates_on_all_images_are_those_of_the_folds(worker: Worker, prepared: Prepared, schedule: str) -> None:
    params = prepared.space.defaults(schedule=schedule)
    job = fold_job(prepared, params, max_epochs=12)
    as_fold = trained(worker, job)
    trial = TrialRecord(0, params, "baseline", folds=(fold_record(job, as_fold),))
    again = trained(worker, replace(job, training=length(trial, job.training)))
    assert again.curve["loss"] == as_fold.curve["loss"][: as_fold.best_epoch]
