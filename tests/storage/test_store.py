"""A store returns what was stored, and refuses contradictions without a change: in a file, and on a server."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import event

from storage import OUT_OF_TIME, DiagnosisRecord, FoldRecord, Split, Store, TrialState
from tests.storage.examples import (
    FOLDS,
    IMAGE_RECORDS,
    LAYERS,
    RUN,
    SPLITS,
    STUDY,
    fill,
    fold,
    make,
    probabilities,
    reference,
    refused,
    trial,
)

Change = Callable[[], object]


def bare(record: FoldRecord) -> str:
    """A fold without probabilities, as text, so that NaN equals NaN."""
    return repr(replace(record, probabilities=None))


@pytest.fixture
def store(either_store: Store) -> Store:
    """In a file, and on a server."""
    return either_store


# The study


def test_study_images_and_splits_come_back_from_a_reopened_file(path: Path) -> None:
    make(path).close()
    with Store.open(path) as store:
        assert store.study() == STUDY
        assert store.images() == list(IMAGE_RECORDS)
        assert [split.repeat for split in store.splits()] == [0, 1]
        for split in SPLITS:
            stored = store.split(split.repeat).assignment
            assert stored.dtype == np.int16
            np.testing.assert_array_equal(stored, split.assignment)


def test_an_unknown_repeat_is_named_with_the_existing_ones(store: Store) -> None:
    with refused("no repeat 7", "0, 1"):
        store.split(7)


@pytest.mark.parametrize(
    ("images", "splits", "reason"),
    [
        ((), SPLITS, "0 images"),
        (IMAGE_RECORDS, (), "0 splits"),
        (IMAGE_RECORDS[1:], SPLITS, "rows of the images"),
        ((replace(IMAGE_RECORDS[0], label=2), *IMAGE_RECORDS[1:]), SPLITS, "label 2"),
        (IMAGE_RECORDS, SPLITS[1:], "repeats"),
        (IMAGE_RECORDS, (Split(0, np.zeros(3, np.int16)),), "int16 (3,)"),
        (IMAGE_RECORDS, (Split(0, SPLITS[0].assignment.astype(np.int64)),), "int64"),
        ((replace(IMAGE_RECORDS[0], path="\ud800"), *IMAGE_RECORDS[1:]), SPLITS, "cannot be stored"),
    ],
)
def test_parts_that_do_not_fit_together_make_no_file(path: Path, images: Any, splits: Any, reason: str) -> None:
    with refused(str(path), reason):
        Store.create(path, STUDY, images, splits)
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize(("name", "value"), [("seed", 2**64), ("config", {"a": object()}), ("space", {"$float": 1})])
def test_a_study_that_cannot_be_stored_makes_no_file(path: Path, name: str, value: Any) -> None:
    with refused("cannot be stored"):
        Store.create(path, replace(STUDY, **{name: value}), IMAGE_RECORDS, SPLITS)
    assert list(path.parent.iterdir()) == []


def test_an_existing_file_is_never_replaced(path: Path) -> None:
    path.write_text("precious")
    with refused("exists already"):
        Store.create(path, STUDY, IMAGE_RECORDS, SPLITS)
    assert path.read_text() == "precious"


def test_a_missing_folder_is_refused_in_words(tmp_path: Path) -> None:
    with refused("No such file or directory", "folder"):
        Store.create(tmp_path / "none" / "study.db", STUDY, IMAGE_RECORDS, SPLITS)


@pytest.mark.parametrize("name", ["study.db", "50% of #1?.db", "ämne 研究.db", "a=b&mode=memory.db", "q'uote\".db"])
def test_any_file_name_is_possible(tmp_path: Path, name: str) -> None:
    make(tmp_path / name).close()
    with Store.open(tmp_path / name, read_only=True) as store:
        assert store.study() == STUDY
    assert name in {file.name for file in tmp_path.iterdir()}


# Trials


def test_a_trial_comes_back_with_model_folds_and_end(store: Store) -> None:
    store.add_trial(trial(), run=0, seconds=1)
    assert store.trials() == [trial()]
    for index in range(FOLDS):
        store.add_fold(fold(fold=index), run=0, seconds=2)
    store.close_trial(0, TrialState.PRUNED, "race", "Worse than trial 3 on 2 folds.")

    (stored,) = store.trials()
    assert repr(stored) == repr(store.trial(0))
    assert (stored.state, stored.cause, stored.detail) == ("pruned", "race", "Worse than trial 3 on 2 folds.")
    assert (stored.parameters, stored.layers, stored.params, stored.redraws) == (448, LAYERS, trial().params, 2)
    assert list(map(bare, stored.folds)) == [bare(fold(fold=index)) for index in range(FOLDS)]
    assert stored.finished is not None
    assert stored.finished.endswith("+00:00")


def test_trials_are_ordered_by_number_and_folds_by_repeat_and_fold(store: Store) -> None:
    for number in (2, 0, 1):
        store.add_trial(trial(number), run=0, seconds=0)
    for repeat, index in ((1, 0), (0, 2), (0, 0), (1, 2)):
        store.add_fold(fold(1, index, repeat), run=0, seconds=0)
    assert [stored.number for stored in store.trials()] == [0, 1, 2]
    assert [(f.repeat, f.fold) for f in store.trials()[1].folds] == [(0, 0), (0, 2), (1, 0), (1, 2)]


def test_trials_can_be_read_without_curves_and_layers(store: Store) -> None:
    fill(store, 2)
    full, short = store.trials(), store.trials(curves=False)
    assert all(f.curve == {} for one in short for f in one.folds)
    assert any(one.layers for one in full)
    without = [replace(one, layers=(), folds=tuple(replace(f, curve={}) for f in one.folds)) for one in full]
    assert repr(without) == repr(short)


def test_one_curve_of_one_fold_can_be_read_for_all_trials(store: Store) -> None:
    fill(store, 2)
    (name, *_) = next(fold.curve for one in store.trials() for fold in one.folds if fold.curve)
    expected = {t.number: f.curve[name] for t in store.trials() for f in t.folds if (f.repeat, f.fold) == (0, 0)}
    assert expected
    assert repr(store.curves(0, name)) == repr(expected)
    assert store.curves(0, "no such curve") == {}


def test_reading_many_trials_takes_no_more_queries_than_reading_one(store: Store) -> None:
    statements: list[str] = []
    event.listen(store._opened.engine, "before_cursor_execute", lambda *given: statements.append(given[2]))

    def queries() -> int:
        statements.clear()
        store.trials()
        return len([statement for statement in statements if statement.startswith("SELECT")])

    fill(store, 1)
    one = queries()
    for number in range(1, 8):
        store.add_trial(trial(number), run=0, seconds=0)
    assert queries() == one == 2


def test_a_trial_without_a_start_starts_now(store: Store) -> None:
    store.add_trial(trial(started=""), run=0, seconds=0)
    assert store.trial(0).started.endswith("+00:00")


@pytest.mark.parametrize("state", [TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAILED])
def test_a_new_trial_is_running_and_without_folds(store: Store, state: TrialState) -> None:
    with refused("must be new"):
        store.add_trial(trial(state=state), run=0, seconds=0)
    with refused("must be new"):
        store.add_trial(trial(folds=(fold(),)), run=0, seconds=0)
    assert store.trials() == []


def test_a_number_is_used_once(store: Store) -> None:
    store.add_trial(trial(), run=0, seconds=1)
    with refused("trial 0 is stored already"):
        store.add_trial(trial(params={"rate": 9}), run=0, seconds=2)
    assert store.trials() == [trial()]
    assert store.spent_seconds() == 1


def test_an_unknown_trial_is_refused_everywhere(store: Store) -> None:
    asks: list[Change] = [
        lambda: store.trial(5),
        lambda: store.probabilities(5),
        lambda: store.close_trial(5, TrialState.FAILED),
        lambda: store.reopen_trial(5),
        lambda: store.add_fold(fold(5), run=0, seconds=0),
    ]
    for ask in asks:
        with refused("has no trial 5"):
            ask()


def test_a_closed_trial_stays_as_it_is(store: Store) -> None:
    fill(store, 1)
    before = repr(store.trials())
    changes: list[Change] = [
        lambda: store.close_trial(0, TrialState.FAILED),
        lambda: store.add_fold(fold(0, 0), run=0, seconds=0),
        lambda: store.add_fold(fold(0, 0, 1), run=0, seconds=0, close=(TrialState.FAILED, None, None)),
    ]
    for change in changes:
        with refused("trial 0 is closed (complete)"):
            change()
    assert repr(store.trials()) == before


def test_closing_as_running_is_refused(store: Store) -> None:
    store.add_trial(trial(), run=0, seconds=0)
    with refused("cannot be closed as running"):
        store.close_trial(0, TrialState.RUNNING)


def test_a_trial_that_ran_out_of_time_can_be_reopened(store: Store) -> None:
    store.add_trial(trial(), run=0, seconds=0)
    store.add_fold(fold(), run=0, seconds=1, close=(TrialState.FAILED, OUT_OF_TIME, "The 8 hours were over."))
    store.reopen_trial(0)
    reopened = store.trial(0)
    assert (reopened.state, reopened.cause, reopened.detail, reopened.finished) == (
        "running",
        None,
        None,
        None,
    )
    store.add_fold(fold(fold=1), run=0, seconds=2)
    assert len(store.trial(0).folds) == 2


@pytest.mark.parametrize("cause", [None, "out of memory"])
def test_a_trial_that_ended_for_another_reason_stays_closed(store: Store, cause: str | None) -> None:
    store.add_trial(trial(), run=0, seconds=0)
    with refused("cannot reopen"):
        store.reopen_trial(0)
    store.close_trial(0, TrialState.FAILED, cause)
    with refused("cannot reopen"):
        store.reopen_trial(0)


# Folds


def test_probabilities_come_back_by_fold(store: Store) -> None:
    store.add_trial(trial(), run=0, seconds=0)
    assert store.probabilities(0) == {}
    store.add_fold(fold(fold=2), run=0, seconds=0)
    store.add_fold(fold(fold=0), run=0, seconds=0)
    store.add_fold(fold(fold=1, repeat=1), run=0, seconds=0)
    stored = store.probabilities(0)
    assert list(stored) == [0, 2]
    for index, array in stored.items():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array, probabilities(index))
    assert list(store.probabilities(0, repeat=1)) == [1]


def test_probabilities_may_hold_nan(store: Store) -> None:
    given = np.full((3, 2), np.nan, np.float32)
    store.add_trial(trial(), run=0, seconds=0)
    store.add_fold(fold(probabilities=given), run=0, seconds=0)
    np.testing.assert_array_equal(store.probabilities(0)[0], given)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"probabilities": None}, "found none"),
        ({"probabilities": probabilities(0).astype(np.float64)}, "float64"),
        ({"probabilities": probabilities(0)[:2]}, "float32 (2, 2)"),
        ({"probabilities": probabilities(0)[:, :1]}, "float32 (3, 1)"),
        ({"fold": FOLDS}, "no image is validated"),
        ({"fold": -1}, "no image is validated"),
        ({"repeat": 2}, "no repeat 2"),
        ({"seconds": float("nan")}, "seconds must be finite"),
        ({"seconds": -1.0}, "seconds must be finite"),
        ({"seed": 2**63}, "cannot be stored"),
        ({"curve": {"loss": ("a",)}}, "cannot be stored"),
        ({"epochs": None}, "contradicts"),
    ],
)
def test_a_fold_that_does_not_fit_the_study_is_refused(store: Store, changes: dict[str, Any], reason: str) -> None:
    store.add_trial(trial(), run=0, seconds=1)
    with refused(reason):
        store.add_fold(fold(**changes), run=0, seconds=9)
    assert store.trial(0).folds == ()
    assert store.spent_seconds() == 1


def test_the_same_fold_twice_is_refused_and_the_first_stays(store: Store) -> None:
    store.add_trial(trial(), run=0, seconds=0)
    store.add_fold(fold(), run=0, seconds=1)
    again = fold(scores={"accuracy": 1.0}, probabilities=probabilities(99))
    with refused("fold 1 of repeat 0 of trial 0 is stored already"):
        store.add_fold(again, run=0, seconds=2, close=(TrialState.COMPLETE, None, None))
    assert bare(store.trial(0).folds[0]) == bare(fold())
    assert store.trial(0).state == "running"
    assert store.spent_seconds() == 1
    np.testing.assert_array_equal(store.probabilities(0)[0], probabilities(0))


def test_the_last_fold_and_the_end_of_its_trial_are_one_transaction(store: Store) -> None:
    store.add_trial(trial(), run=0, seconds=0)
    with refused("cannot be closed as running"):
        store.add_fold(fold(), run=0, seconds=1, close=(TrialState.RUNNING, None, None))
    assert store.trial(0).folds == ()
    store.add_fold(fold(), run=0, seconds=1, close=(TrialState.COMPLETE, None, None))
    assert (store.trial(0).state, len(store.trial(0).folds)) == ("complete", 1)


# Several in one transaction


def commits_of(store: Store) -> list[str]:
    """The words of each commit of the store from now on."""
    commits = list[str]()
    event.listen(store._opened.engine, "commit", lambda _: commits.append("commit"))
    return commits


def test_what_is_stored_together_is_one_commit_which_others_can_wait_for(path: Path) -> None:
    with make(path) as store:
        assert store.trials() == []  # what a store reads once, such as the folds, it has read
        told = commits_of(store)
        with store.together():
            store.on_commit(lambda: told.append("nothing to wait for"))
            store.add_trial(trial(), run=0, seconds=1)
            store.add_fold(fold(), run=0, seconds=2)
            store.on_commit(lambda: told.append("one fold"))
            store.add_fold(fold(fold=1), run=0, seconds=3)
            store.close_trial(0, TrialState.PRUNED, "behind")
            store.on_commit(lambda: told.append("closed"))
        assert told == ["nothing to wait for", "commit", "one fold", "closed"]
        assert (store.trial(0).state, len(store.trial(0).folds), store.spent_seconds()) == ("pruned", 2, 3)


def test_reading_sees_what_was_stored_together_with_more_that_follows(store: Store) -> None:
    told = list[str]()
    with store.together():
        store.add_trial(trial(), run=0, seconds=0)
        store.on_commit(lambda: told.append("trial"))
        assert [t.number for t in store.trials()] == [0] and told == ["trial"]
        store.add_fold(fold(), run=0, seconds=0)
    assert len(store.trial(0).folds) == 1


def test_what_was_stored_together_is_kept_if_something_else_fails_meanwhile(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), store.together():
        store.add_trial(trial(), run=0, seconds=0)
        raise KeyboardInterrupt
    assert [t.number for t in store.trials()] == [0]


def test_what_cannot_be_stored_takes_nothing_with_it_that_was_before(store: Store) -> None:
    told = list[str]()
    with refused("fold 1 of repeat 0 of trial 0 is stored already"), store.together():
        store.add_trial(trial(), run=0, seconds=0)
        store.add_fold(fold(), run=0, seconds=1)
        store.on_commit(lambda: told.append("never"))
        store.add_fold(fold(), run=0, seconds=2)
    assert bare(store.trial(0).folds[0]) == bare(fold())
    assert store.spent_seconds() == 1 and told == []
    store.add_fold(fold(fold=1), run=0, seconds=3)
    assert len(store.trial(0).folds) == 2


def test_why_a_fold_did_not_learn_comes_back_with_curves_or_without(store: Store) -> None:
    diagnosis = DiagnosisRecord(
        "stuck at chance", "dead ReLU", ("one class is predicted",), 'bias_initializer="zeros"', True
    )
    store.add_trial(trial(), run=0, seconds=0)
    store.add_fold(fold(diagnosis=diagnosis), run=0, seconds=1)
    store.add_fold(fold(fold=1, curve={}, epochs=0, best_epoch=0), run=0, seconds=2)
    for curves in (True, False):
        assert [f.diagnosis for f in store.trials(curves=curves)[0].folds] == [diagnosis, None]
    assert store.trial(0).folds[1].curve == {}


def test_a_trial_has_collapsed_if_it_was_stopped_at_chance() -> None:
    diagnosis = DiagnosisRecord("stuck at chance", "dead ReLU", (), "", True)
    stuck = trial(state=TrialState.PRUNED, cause=diagnosis.name, folds=(fold(diagnosis=diagnosis),))
    assert stuck.collapsed
    for changes in ({"cause": "out of time"}, {"cause": "behind"}, {"state": TrialState.COMPLETE}):
        assert not replace(stuck, **changes).collapsed


def test_a_complete_trial_can_be_confirmed_on_new_splits_only(store: Store) -> None:
    fill(store, 1)
    store.add_fold(fold(0, 0, repeat=1), run=0, seconds=0)
    assert store.trial(0).score("accuracy", repeat=1) == 0.5
    store.add_trial(trial(1), run=0, seconds=0)
    store.close_trial(1, TrialState.PRUNED, "race")
    with refused("trial 1 is closed (pruned)"):
        store.add_fold(fold(1, 0, repeat=1), run=0, seconds=0)


# Runs


def test_runs_come_back_in_order_with_their_seconds_and_end(store: Store) -> None:
    second = replace(RUN, command="search resume", pid=4712)
    assert store.start_run(second) == 1
    store.add_trial(trial(), run=1, seconds=1.5)
    store.add_fold(fold(), run=1, seconds=3.5)
    store.end_run(1, "stopped", 4.25)
    store.end_run(0, "finished", 100)
    assert store.runs() == [
        replace(RUN, seconds=100.0, outcome="finished"),
        replace(second, seconds=4.25, outcome="stopped"),
    ]
    assert store.spent_seconds() == 104.25


def test_the_seconds_of_a_run_never_go_back(store: Store) -> None:
    store.add_trial(trial(), run=0, seconds=10)
    store.add_fold(fold(), run=0, seconds=4)
    assert store.spent_seconds() == 10


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -1.0])
def test_seconds_must_be_a_duration(store: Store, seconds: float) -> None:
    with refused("seconds of run 0"):
        store.add_trial(trial(), run=0, seconds=seconds)
    assert store.trials() == []


def test_a_run_that_ended_or_never_began_stores_nothing(store: Store) -> None:
    with refused("run 3 was never started"):
        store.add_trial(trial(), run=3, seconds=0)
    store.end_run(0, "finished", 1)
    with refused("run 0 has ended"):
        store.add_trial(trial(), run=0, seconds=2)
    with refused("run 0 has ended"):
        store.end_run(0, "failed", 2)


# Open and closed stores


def test_a_read_only_store_changes_nothing(store: Store, path: Path) -> None:
    fill(store, 1)
    with Store.open(path, read_only=True) as reader:
        changes: list[Change] = [
            lambda: reader.start_run(RUN),
            lambda: reader.end_run(0, "finished", 1),
            lambda: reader.add_trial(trial(1), run=0, seconds=0),
            lambda: reader.add_fold(fold(0, 0, 1), run=0, seconds=0),
            lambda: reader.add_reference(reference(), run=0, seconds=0),
            lambda: reader.close_trial(0, TrialState.FAILED),
            lambda: reader.reopen_trial(0),
        ]
        for change in changes:
            with refused("read-only"):
                change()


def test_a_study_that_was_moved_meanwhile_stores_nothing_until_it_is_back(store: Store, path: Path) -> None:
    def there() -> Store:
        store.add_trial(trial(len(store.trials())), run=0, seconds=0)
        return store

    there()
    elsewhere = path.parent.rename(path.parent.with_name("elsewhere"))
    with refused(str(path), "moved, deleted or replaced meanwhile"):
        there()
    path.parent.mkdir()
    make(path).close()
    with refused(str(path), "another file is in its place"):
        there()
    shutil.rmtree(path.parent)
    elsewhere.rename(path.parent)
    assert len(there().trials()) == 2


def test_a_closed_store_says_so(store: Store) -> None:
    store.close()
    store.close()
    with refused("was closed"):
        store.trials()
    with refused("was closed"):
        store.start_run(RUN)
