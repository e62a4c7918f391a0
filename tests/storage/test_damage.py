"""Flipped bytes and truncated files: the study is read, or StorageError is raised; the file is never changed."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from storage import StorageError, Store
from tests.storage.examples import FOLDS, bytes_of, fill, make, reference

FLIPS = 200
CUTS = 20
HEADER_BYTES = 100


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("whole") / "study.db"
    with make(path) as store:
        fill(store, 12)
        for index in range(FOLDS):
            store.add_reference(reference(fold=index), run=0, seconds=0)
    return path.read_bytes()


def read_all(path: Path, *, read_only: bool) -> bool:
    """Whether everything could be read; False after a StorageError."""
    try:
        with Store.open(path, read_only=read_only) as store:
            store.study()
            store.images()
            store.splits()
            store.runs()
            store.spent_seconds()
            store.references()
            for trial in store.trials():
                store.probabilities(trial.number)
    except StorageError:
        return False
    return True


def flip(data: bytes, position: int, mask: int) -> bytes:
    changed = bytearray(data)
    changed[position] ^= mask
    return bytes(changed)


def test_flipped_bytes(path: Path, whole: bytes) -> None:
    chance = random.Random(1)  # noqa: S311  places, not secrets
    outcomes = set()
    for _ in range(FLIPS):
        path.write_bytes(flip(whole, chance.randrange(len(whole)), chance.randrange(1, 256)))
        before = path.read_bytes()
        outcomes.add(read_all(path, read_only=True))
        assert path.read_bytes() == before
    assert outcomes == {True, False}


@pytest.mark.slow
def test_flipped_bytes_of_the_header(path: Path, whole: bytes) -> None:
    for position in range(HEADER_BYTES):
        for mask in (0x01, 0x80):
            path.write_bytes(flip(whole, position, mask))
            before = path.read_bytes()
            read_all(path, read_only=True)
            assert path.read_bytes() == before


def test_flipped_bytes_opened_for_writing(path: Path, whole: bytes) -> None:
    chance = random.Random(2)  # noqa: S311  places, not secrets
    for number in range(FLIPS // 4):
        position = number if number < FLIPS // 8 else chance.randrange(len(whole))
        path.write_bytes(flip(whole, position, chance.randrange(1, 256)))
        read_all(path, read_only=False)
        for file in path.parent.iterdir():
            file.unlink()


def test_cut_files(path: Path, whole: bytes) -> None:
    chance = random.Random(3)  # noqa: S311  places, not secrets
    for _ in range(CUTS):
        path.write_bytes(whole[: chance.randrange(len(whole))])
        before = bytes_of(path.parent)
        for read_only in (True, False):
            assert not read_all(path, read_only=read_only)
        assert bytes_of(path.parent) == before
