"""The evidence for a choice is what the database holds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from search.stats.contributions import class_weights
from search.study.evidence import stored_evidence
from storage import OUT_OF_TIME, Split, Store, TrialState
from tests.storage.examples import FOLDS, IMAGE_RECORDS, SPLITS, assignment, fold, make, probabilities, trial

SEARCHED = assignment(0) >= 0
LABELS = np.array([image.label for image in IMAGE_RECORDS])
WEIGHTS = class_weights(LABELS[SEARCHED])[LABELS[SEARCHED]]
"""What an image contributes that is right."""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with make(tmp_path / "study.db") as opened:
        yield opened


def add(store: Store, number: int, folds: int, closing: tuple[TrialState, str | None, str | None] | None) -> None:
    store.add_trial(trial(number), run=0, seconds=number)
    for index in range(folds):
        store.add_fold(fold(number, index), run=0, seconds=number, close=closing if index == folds - 1 else None)


def complete(store: Store, number: int) -> None:
    add(store, number, FOLDS, (TrialState.COMPLETE, None, None))


def test_without_a_finished_fold_there_is_no_evidence(store: Store) -> None:
    assert stored_evidence(store, store.trials(), confirmed=True) is None
    add(store, 0, 0, None)
    assert stored_evidence(store, store.trials(), confirmed=False) is None


def test_each_trial_has_its_predictions_where_they_are_and_nothing_elsewhere(store: Store) -> None:
    complete(store, 0)
    add(store, 1, 2, (TrialState.PRUNED, OUT_OF_TIME, "no more"))
    add(store, 2, 1, (TrialState.FAILED, "error", "as one"))
    add(store, 3, 1, None)
    found = stored_evidence(store, store.trials(), confirmed=False)
    assert found is not None
    assert found.numbers == (0, 1, 3)
    assert found.known.sum(axis=1).tolist() == [FOLDS, 2, 1]
    assert found.folds.tolist() == assignment(0)[SEARCHED].tolist()
    for row, number in enumerate(found.numbers):
        for index in np.flatnonzero(found.known[row]):
            np.testing.assert_array_equal(
                found.probabilities[row, found.folds == index], probabilities(number + int(index))
            )
    assert np.isnan(found.probabilities[1:, found.folds == 2]).all()


def right_everywhere(store: Store, number: int, split: Split, *, right: bool) -> None:
    """A whole repeat of a trial that is right for all images, or for none."""
    for index in range(FOLDS):
        labels = LABELS[split.assignment == index]
        rows = np.eye(2, dtype=np.float32)[labels if right else 1 - labels]
        store.add_fold(fold(number, index, split.repeat, probabilities=rows), run=0, seconds=9)


@pytest.mark.parametrize("confirmed", [True, False])
def test_folds_that_only_confirm_count_if_asked(store: Store, confirmed: bool) -> None:
    complete(store, 0)
    alone = stored_evidence(store, store.trials(), confirmed=confirmed)
    right_everywhere(store, 0, SPLITS[1], right=True)
    both = stored_evidence(store, store.trials(), confirmed=confirmed)
    assert alone is not None and both is not None
    np.testing.assert_allclose(both.gains, (alone.gains + WEIGHTS) / 2 if confirmed else alone.gains)
    np.testing.assert_array_equal(both.probabilities, alone.probabilities)


def test_a_repeat_that_a_trial_lacks_does_not_move_the_next_one_to_other_images(store: Store) -> None:
    """Its folds are other images than those of the repeat that is missing."""
    third = Split(2, np.where(SEARCHED, (assignment(0) + 2) % FOLDS, -1).astype(np.int16))
    store.add_split(third)
    complete(store, 0)
    alone = stored_evidence(store, store.trials(), confirmed=True)
    right_everywhere(store, 0, third, right=True)
    both = stored_evidence(store, store.trials(), confirmed=True)
    assert alone is not None and both is not None
    np.testing.assert_allclose(both.gains, (alone.gains + WEIGHTS) / 2)
