"""A copy of a database while it is used, from a read-only medium, and what an error of either file says."""

from __future__ import annotations

import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage import StorageError, Store, back_up
from tests.storage.children import Child, back_up_as_nobody
from tests.storage.examples import fill, make
from tests.storage.test_connections import POSIX, SECONDS_LONG_ENOUGH, protect


@pytest.fixture
def shelf() -> Iterator[Path]:
    """A folder that every user can read."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)
        Path(name).chmod(0o755)


def copied(target: Path) -> int:
    with Store.open(target, read_only=True) as store:
        return len(store.trials())


@POSIX
def test_a_study_on_a_read_only_medium_can_be_copied(shelf: Path) -> None:
    with make(shelf / "study.db") as store:
        fill(store, 2)
    protect(shelf)
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        target = Path(name) / "copy.db"
        with Child(back_up_as_nobody, shelf / "study.db", to=target) as child:
            assert child.receive(SECONDS_LONG_ENOUGH) == str(target)
        assert copied(target) == 2


def test_what_is_in_the_log_is_copied_too(path: Path, tmp_path: Path) -> None:
    with make(path) as store:
        fill(store, 3)
        assert copied(back_up(path, tmp_path / "copy.db")) == 3


def test_an_error_names_the_file_that_has_it(path: Path, tmp_path: Path) -> None:
    make(path).close()
    with pytest.raises(StorageError) as raised:
        back_up(path, tmp_path / "no" / "copy.db")
    assert str(raised.value).startswith(f"{tmp_path / 'no' / 'copy.db'}: ")
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(StorageError) as raised:
        back_up(path, tmp_path / "copy.db")
    assert str(raised.value).startswith(f"{path}: ")
    assert not list(tmp_path.glob("copy.db*"))


def test_a_signal_ends_the_copying_and_nothing_is_left(path: Path, tmp_path: Path) -> None:
    with make(path) as store:
        fill(store, 2)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            while True:
                signal.setitimer(signal.ITIMER_REAL, 0.002)
                back_up(path, tmp_path / "copy.db")
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert not (tmp_path / "copy.db.partial").exists()
