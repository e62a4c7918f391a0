"""The work of child processes, and how a test communicates with them. They import only this module."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Engine, event

from storage import ServerUrl, StorageError, Store, TrialState, back_up, copy
from tests.faults import moments
from tests.storage.examples import FOLDS, IMAGE_RECORDS, RUN, SPLITS, STUDY, fold, trial

TRIALS = 2
NOBODY = 65534


class Child:
    """A process that runs `work(pipe, path, **options)`; leaving the block kills it with SIGKILL."""

    def __init__(self, work: Callable[..., None], path: Path, **options: Any) -> None:
        # A fork server is fast, and its children inherit no database connection and no thread of the tests.
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__, "alembic.command", "alembic.config"])
        self.pipe, other_end = context.Pipe()
        # The fork server has the environment of its start.
        arguments = (os.environ.get("PGPASSWORD"), work, other_end, path)
        self.process = context.Process(target=_work, args=arguments, kwargs=options, daemon=True)
        self.process.start()
        other_end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.process.kill()
        self.process.join()

    def receive(self, seconds: float) -> Any:
        assert self.pipe.poll(seconds), "the child process sent no message"
        return self.pipe.recv()

    def send(self, message: str) -> None:
        self.pipe.send(message)

    def rest(self) -> list[Any]:
        """All its messages until its end."""
        messages = []
        try:
            while True:
                messages.append(self.pipe.recv())
        except EOFError:
            return messages


def _work(password: str | None, work: Callable[..., None], *arguments: Any, **options: Any) -> None:
    if password is not None:
        os.environ["PGPASSWORD"] = password
    work(*arguments, **options)


def work(pipe: Connection, path: Path, kill_at: int | None = None) -> None:
    """Adds the missing parts of a small study, with a message after each. Kills itself before action `kill_at`."""
    if kill_at is not None:
        kill_before_action(kill_at)
    with Store.open(path) as store:
        go_on(store, pipe)
    pipe.send("done")


def open_to_write(pipe: Connection, path: Path) -> None:
    """Sends 'open', or the error, and keeps the study until it is killed."""
    try:
        with Store.open(path):
            pipe.send("open")
            pipe.recv()
    except StorageError as error:
        pipe.send(str(error))


def copy_to(pipe: Connection, path: Path, to: Path | ServerUrl, kill_at: int) -> None:
    """Copies, and kills itself once so many rows are done."""

    def tell(done: int, _: int) -> None:
        if done >= kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    copy(path, to, tell)
    pipe.send("done")


def keep_working(pipe: Connection, path: Path) -> None:
    """Works until it is killed."""
    with Store.open(path) as store:
        go_on(store, pipe, trials=100_000)


def create(pipe: Connection, path: Path, kill_at: int) -> None:
    kill_before_action(kill_at)
    Store.create(path, STUDY, IMAGE_RECORDS, SPLITS).close()
    pipe.send("done")


def upgrade(pipe: Connection, path: Path, kill_at: int) -> None:
    """Opens a study, which upgrades one of an older release. Kills itself before action `kill_at`."""
    kill_before_action(kill_at)
    Store.open(path).close()
    pipe.send("done")


def create_on_a_full_disk(pipe: Connection, path: Path) -> None:
    """Creates a study where no file can grow once its rows are committed. Sends the error."""
    moments.watch(2, moments.limit)
    try:
        Store.create(path, STUDY, IMAGE_RECORDS, SPLITS).close()
    except StorageError as error:
        pipe.send(str(error))


def go_on(store: Store, pipe: Connection | None = None, trials: int = TRIALS) -> None:
    """Adds the missing folds of so many trials, in order. Yields (trial, fold) after each committed fold."""
    run = store.start_run(RUN)
    stored = {one.number: one for one in store.trials()}
    for number in range(trials):
        if number not in stored:
            store.add_trial(trial(number), run=run, seconds=0)
        known = store.trial(number)
        if known.state is not TrialState.RUNNING:
            continue
        for index in range(len(known.folds), FOLDS):
            last = (TrialState.COMPLETE, None, None) if index == FOLDS - 1 else None
            store.add_fold(fold(number, index), run=run, seconds=1, close=last)
            if pipe is not None:
                pipe.send((number, index))
    store.end_run(run, "finished", 2)


def kill_before_action(number: int) -> None:
    """Sends SIGKILL to this process before its n-th change, commit, connection, rename or removal (n from 1)."""
    count = 0

    def action(*_: object) -> None:
        nonlocal count
        count += 1
        if count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def audit(name: str, _: tuple[object, ...]) -> None:
        if name in {"os.rename", "os.remove", "sqlite3.connect"}:
            action()

    def statement(*given: object) -> None:
        if not str(given[2]).startswith("SELECT"):
            action()

    event.listen(Engine, "before_cursor_execute", statement)
    event.listen(Engine, "commit", action)
    sys.addaudithook(audit)


def read_until_told(pipe: Connection, path: Path) -> None:
    """Reads all trials again and again: folds never get fewer, and a complete trial has all of them."""
    reads = last = 0
    with Store.open(path, read_only=True) as store:
        pipe.send("ready")
        stop = False
        while not stop:
            stop = pipe.poll()  # before reading, so that the last reading sees everything
            trials = store.trials()
            folds = sum(len(one.folds) for one in trials)
            assert folds >= last
            assert all(len(one.folds) == FOLDS for one in trials if one.state is TrialState.COMPLETE)
            reads, last = reads + 1, folds
    pipe.send((reads, last))


def read_as_nobody(pipe: Connection, path: Path, write: bool = False) -> None:
    """Sends the number of trials, or the error, as a user without root's permissions."""
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        with Store.open(path, read_only=not write) as store:
            if write:
                store.start_run(RUN)
            pipe.send(len(store.trials()))
    except StorageError as error:
        pipe.send(str(error))


def back_up_as_nobody(pipe: Connection, path: Path, to: Path) -> None:
    """Sends the path of the copy, or the error, as a user without root's permissions."""
    if os.getuid() == 0:
        os.setgid(NOBODY)
        os.setuid(NOBODY)
    try:
        pipe.send(str(back_up(path, to)))
    except StorageError as error:
        pipe.send(str(error))
