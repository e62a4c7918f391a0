"""kill -9 at any moment: every committed change is stored once, and continuing gives the same study."""

from __future__ import annotations

import random
import time
from dataclasses import replace
from pathlib import Path

import pytest

from storage import Store
from tests.storage.children import Child, create, create_on_a_full_disk, go_on, keep_working, work
from tests.storage.examples import IMAGE_RECORDS, SPLITS, STUDY, make

LIMIT = 200  # actions of one child; more mean that it does not end
SECONDS_LONG_ENOUGH = 20.0


def content(path: Path) -> str:
    """Every trial and fold with its probabilities, without times."""
    with Store.open(path) as store, store._opened.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA integrity_check").scalar_one() == "ok"
        assert connection.exec_driver_sql("PRAGMA foreign_key_check").all() == []
        trials = [replace(one, started="", finished=None) for one in store.trials()]
        arrays = [
            (index, array.tobytes()) for one in trials for index, array in store.probabilities(one.number).items()
        ]
    return repr((trials, arrays))


def folds(path: Path) -> list[tuple[int, int]]:
    with Store.open(path) as store:
        return [(one.trial, one.fold) for trial in store.trials() for one in trial.folds]


@pytest.fixture
def undisturbed(tmp_path: Path) -> str:
    path = tmp_path / "undisturbed.db"
    with make(path) as store:
        go_on(store)
    return content(path)


def test_killed_before_each_action_and_resumed_it_is_the_same_study(path: Path, undisturbed: str) -> None:
    make(path).close()
    new = path.read_bytes()
    for kill_at in range(1, LIMIT):
        path.write_bytes(new)
        with Child(work, path, kill_at=kill_at) as child:
            messages = child.rest()
        acknowledged = [step for step in messages if step != "done"]
        stored = folds(path)
        assert stored[: len(acknowledged)] == acknowledged
        assert len(stored) <= len(acknowledged) + 1
        with Store.open(path) as store:
            go_on(store)
        assert content(path) == undisturbed
        for file in path.parent.iterdir():
            file.unlink()
        if "done" in messages:
            break
    assert "done" in messages
    assert kill_at > 30


def test_a_disk_that_fills_while_a_study_is_made_leaves_none(path: Path) -> None:
    with Child(create_on_a_full_disk, path) as child:
        (message,) = child.rest()
    assert message.startswith(str(path.parent)) and "disk" in message
    assert list(path.parent.iterdir()) == []


def test_killed_at_random_moments_again_and_again(path: Path) -> None:
    chance = random.Random(20250102)  # noqa: S311  moments, not secrets
    make(path).close()
    acknowledged: list[tuple[int, int]] = []
    for _ in range(25):
        with Child(keep_working, path) as child:
            acknowledged.append(child.receive(SECONDS_LONG_ENOUGH))
            time.sleep(chance.uniform(0, 0.06))
            child.process.kill()
            acknowledged += child.rest()
        stored = folds(path)
        assert stored[: len(acknowledged)] == acknowledged
        assert len(stored) <= len(acknowledged) + 1
        acknowledged = stored
    content(path)
    with Store.open(path) as store:
        assert [run.outcome for run in store.runs()] == [None] * 26


def test_a_study_is_created_whole_or_not_at_all(path: Path) -> None:
    seen = set()
    for kill_at in range(1, LIMIT):
        with Child(create, path, kill_at=kill_at) as child:
            messages = child.rest()
        seen.add(path.exists())
        if path.exists():
            with Store.open(path) as store:
                assert store.study() == STUDY
                assert store.images() == list(IMAGE_RECORDS)
                assert len(store.splits()) == len(SPLITS)
        for file in path.parent.iterdir():
            file.unlink()
        if messages == ["done"]:
            break
    assert messages == ["done"]
    assert seen == {True, False}
    assert kill_at > 10


def test_files_of_a_killed_creation_do_not_prevent_the_next(path: Path) -> None:
    with Child(create, path, kill_at=10) as child:
        assert child.rest() == []
    assert not path.exists()
    assert len(list(path.parent.iterdir())) >= 1
    make(path).close()
