"""References and choices come back as they were stored, and contradictions are refused: in a file, and on a server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from storage import OUT_OF_TIME, ChoiceRecord, Store, TrialState
from tests.storage.examples import FOLDS, fill, fold, make, probabilities, reference, refused, trial


@pytest.fixture
def store(either_store: Store) -> Store:
    """In a file, and on a server."""
    return either_store


# References


def test_references_come_back_by_name_and_fold_with_the_seconds_of_the_run(store: Store) -> None:
    assert store.references() == []
    for name, index in (("majority", 1), ("linear_probe", 0), ("majority", 0)):
        store.add_reference(reference(name, index), run=0, seconds=2.5)
    references = store.references()
    assert [(one.name, one.fold) for one in references] == [("linear_probe", 0), ("majority", 0), ("majority", 1)]
    assert (references[2].scores, references[2].seconds) == (reference().scores, 0.25)
    assert references[2].probabilities.dtype == np.float32
    np.testing.assert_array_equal(references[2].probabilities, reference(fold=1).probabilities)
    assert store.spent_seconds() == 2.5
    assert store.trials() == []


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"probabilities": probabilities(0)[:2]}, "float32 (2, 2)"),
        ({"fold": FOLDS}, "fold 4 of reference majority: no image is validated"),
        ({"seconds": float("nan")}, "seconds must be finite"),
    ],
)
def test_a_reference_that_does_not_fit_the_study_is_refused(store: Store, changes: dict[str, Any], reason: str) -> None:
    with refused(reason):
        store.add_reference(reference(**changes), run=0, seconds=9)
    assert store.references() == []
    assert store.spent_seconds() == 0


def test_the_same_fold_of_a_reference_twice_is_refused_and_the_first_stays(store: Store) -> None:
    store.add_reference(reference(), run=0, seconds=1)
    with refused("fold 1 of reference majority is stored already"):
        store.add_reference(reference(scores={"accuracy": 1.0}), run=0, seconds=2)
    assert store.references()[0].scores == reference().scores
    assert store.spent_seconds() == 1


# Choices


def chosen(members: tuple[tuple[int, float], ...], left_out: tuple[int | None, ...] = ()) -> ChoiceRecord:
    return ChoiceRecord("2025-01-02T03:04:09+00:00", members[0][0], members, (0, 1), 5, 2.5, None, left_out)


@pytest.mark.parametrize(
    ("members", "left_out"),
    [
        (((0, 1.0),), (None,)),
        (((0, 0.5), (0, 0.5)), (0, 2)),
        (((1, 0.5), (0, 0.25), (0, 0.25)), (None, 0, 1)),
    ],
    ids=["on all images", "networks of folds", "both"],
)
def test_a_choice_comes_back_with_the_fold_that_each_member_was_trained_without(
    path: Path, members: tuple[tuple[int, float], ...], left_out: tuple[int | None, ...]
) -> None:
    record = chosen(members, left_out)
    with make(path) as store:
        fill(store, 2)
        store.add_choice(record, run=0, seconds=9)
        assert store.choices() == [record]
    with Store.open(path, read_only=True) as store:
        assert store.choices() == [record]


def test_members_without_a_word_about_folds_were_trained_on_all_images(store: Store) -> None:
    fill(store, 2)
    store.add_choice(chosen(((0, 0.5), (1, 0.5))), run=0, seconds=9)
    assert store.choices()[0].left_out == (None, None)


def test_a_trial_that_was_not_finished_may_be_chosen_if_it_has_a_fold(store: Store) -> None:
    store.add_trial(trial(0), run=0, seconds=1)
    record = replace(chosen(((0, 1.0),), (1,)), pool=(0,))
    with refused("trial 0 has no finished fold; a choice needs one"):
        store.add_choice(record, run=0, seconds=1)
    store.add_fold(fold(0, 1), run=0, seconds=1)
    store.add_choice(record, run=0, seconds=2)
    store.close_trial(0, TrialState.PRUNED, OUT_OF_TIME, "there was no more")
    assert store.choices() == [record]
