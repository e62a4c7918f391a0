"""What finishing asks of fold runs."""

from __future__ import annotations

from search.finish import length
from search.jobs import Training
from storage import FoldRecord, TrialRecord

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
