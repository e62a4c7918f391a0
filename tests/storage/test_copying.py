"""A study copied between files and servers is the same row for row, and a copy that was begun is finished."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from storage import OUT_OF_TIME, ChoiceRecord, ServerUrl, Store, TrialState, back_up, copy, link
from storage.schema import metadata
from tests.storage.children import Child, copy_to
from tests.storage.examples import (
    FOLDS,
    IMAGE_RECORDS,
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

TRIALS = 70  # so that there are several transactions


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("made") / "study.db"
    with make(path) as store:
        fill(store, TRIALS)
        store.add_fold(fold(0, 1, repeat=1), run=0, seconds=500)
        for name in ("majority", "linear_probe@25/0", "linear_probe"):
            store.add_reference(reference(name), run=0, seconds=500)
        store.add_trial(trial(TRIALS), run=0, seconds=500)
        store.add_fold(fold(TRIALS, probabilities=np.full((3, 2), np.nan, np.float32)), run=0, seconds=501)
        store.close_trial(TRIALS, TrialState.PRUNED, OUT_OF_TIME, "nul \0 and 犬")
        weights = ((0, 0.1 + 0.2), (1, 1 - (0.1 + 0.2)))
        chosen = ChoiceRecord("2025-01-02T03:04:09+00:00", 0, weights, (0, 1), 5, 1 / 3, probabilities(7))
        store.add_choice(chosen, run=0, seconds=502)
        store.end_run(0, "finished", 1000 / 7)
        store.start_run(replace(RUN, command="search resume"))
    return path


@pytest.fixture
def study(made: Path, path: Path) -> Path:
    """One that has something of everything."""
    shutil.copy(made, path)
    return path


@pytest.fixture(params=["file", "server"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Path | ServerUrl:
    """Where there is no study yet."""
    if request.param == "file":
        return tmp_path / "copy.db"
    url: ServerUrl = request.getfixturevalue("server").url()
    return url


def content(where: Path | ServerUrl) -> str:
    """All that a store gives, to the bit."""
    with Store.open(where, read_only=True) as store:
        trials = store.trials()
        arrays = [
            array.tobytes()
            for one in trials
            for repeat in range(len(SPLITS))
            for array in store.probabilities(one.number, repeat).values()
        ]
        rest = (store.images(), store.splits(), store.references(), store.choices(), store.runs())
        return repr((store.study(), trials, arrays, rest))


def test_there_and_back_it_is_the_same_row_for_row(study: Path, target: Path | ServerUrl, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    copied = copy(study, target, lambda *rows: told.append(rows))
    assert copied.rows["fold_run"] == TRIALS * FOLDS + 2
    assert told[-1] == (sum(copied.rows.values()),) * 2 and told == sorted(told)
    back = tmp_path / "back.db"
    assert copy(target, back) == copied
    assert content(back) == content(target) == content(study)
    with closing(sqlite3.connect(study)) as one, closing(sqlite3.connect(back)) as other:
        for table in metadata.tables.values():
            keys = ", ".join(column.name for column in table.primary_key)
            query = f"SELECT * FROM {table.name} ORDER BY {keys}"  # noqa: S608 - names of our own
            assert one.execute(query).fetchall() == other.execute(query).fetchall(), table
        assert (
            one.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
            == other.execute("SELECT sql FROM sqlite_master ORDER BY name").fetchall()
        )
    assert [file.name for file in tmp_path.glob(".*")] == []


@pytest.mark.first(5)
@pytest.mark.parametrize("kill_at", [1, 15, 100, 200, 280])
def test_a_copy_that_was_killed_cannot_be_used_and_is_finished_by_the_same_again(
    study: Path, target: Path | ServerUrl, kill_at: int
) -> None:
    with Child(copy_to, study, to=target, kill_at=kill_at) as child:
        assert child.rest() == []
    with refused("does not exist" if isinstance(target, Path) else "was not finished; the same `search copy` again"):
        Store.open(target)
    with Store.open(study) as store:  # the search went on meanwhile
        store.add_trial(trial(TRIALS + 1), run=1, seconds=5)
        store.end_run(1, "stopped", 6)
    copy(study, target)
    assert content(target) == content(study)


def test_a_study_that_is_searched_is_copied_as_it_was_at_the_beginning(study: Path, target: Path | ServerUrl) -> None:
    before = content(study)
    with Store.open(study) as store:

        def tell(done: int, _: int) -> None:
            if done == 1:
                store.add_trial(trial(TRIALS + 1), run=1, seconds=5)

        copy(study, target, tell)
        assert len(store.trials()) == TRIALS + 2
    assert content(target) == before


def test_what_is_there_is_never_replaced(study: Path, target: Path | ServerUrl) -> None:
    copy(study, target)
    before = content(target)
    with Store.open(study) as store:
        store.end_run(1, "stopped", 6)
    with refused("not changed"):
        copy(study, target)
    assert content(target) == before


def test_an_unfinished_copy_of_another_study_is_refused(study: Path, target: Path | ServerUrl, tmp_path: Path) -> None:
    with Child(copy_to, study, to=target, kill_at=100) as child:
        assert child.rest() == []
    Store.create(tmp_path / "other.db", replace(STUDY, seed=1), IMAGE_RECORDS, SPLITS).close()
    with refused("is an unfinished copy of another study"):
        copy(tmp_path / "other.db", target)
    copy(study, target)
    assert content(target) == content(study)


def test_a_copy_that_differs_is_not_finished(study: Path, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    partial = tmp_path / ".copy.db.copying"

    def tell(done: int, of: int) -> None:
        if done == of:
            with closing(sqlite3.connect(partial)) as other, other:
                other.execute("UPDATE fold_run SET seconds = seconds + 1 WHERE trial = 3 AND fold = 1")

    with refused(str(target), "its fold_run differ from those of"):
        copy(study, target, tell)
    assert not target.exists()


def test_a_backup_of_a_study_on_a_server_is_a_file(study: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("server").url()
    copy(study, url)
    linked = tmp_path / "linked.db"
    link(linked, url)
    assert back_up(linked, tmp_path / "backup.db") == tmp_path / "backup.db"
    assert content(tmp_path / "backup.db") == content(linked) == content(study)
