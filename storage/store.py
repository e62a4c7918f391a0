"""A study's database as one object, in a file or on a server. Only the loop of `search run` writes; many may read."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import numpy as np
from sqlalchemy import Connection, bindparam, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from storage import consistency, rows
from storage.errors import LockedError, LostError, StorageError
from storage.place import file_identity, link, place_of
from storage.reader import DEFAULT_WAIT, Reader, again
from storage.records import (
    OUT_OF_TIME,
    ChoiceRecord,
    FoldRecord,
    ImageRecord,
    ReferenceRecord,
    RunRecord,
    Split,
    StudyRecord,
    TrialRecord,
    TrialState,
)
from storage.schema import (
    STUDY_ID,
    choice,
    fold_run,
    of_run,
    of_trial,
    reference_fold,
    run,
    split,
    trial,
)
from storage.server import ServerUrl

# What is done for each fold run is put together once: that takes longer than SQLite does it.
_SAME_TRIAL = select(trial.c.number).where(trial.c.study == STUDY_ID, trial.c.number == bindparam("number"))
_CLOSE = (
    update(trial)
    .where(trial.c.study == STUDY_ID, trial.c.number == bindparam("closed"), trial.c.state == TrialState.RUNNING.value)
    .values({name: bindparam(name) for name in ("state", "cause", "detail", "finished")})
)
_THIS_RUN = (run.c.study == STUDY_ID) & (run.c.number == bindparam("session"))
_SPENT = select(run.c.seconds, run.c.outcome).where(_THIS_RUN)
_SPEND = update(run).where(_THIS_RUN).values(seconds=bindparam("later"))

Closing = tuple[TrialState, str | None, str | None]
"""The end of a trial: state, cause, detail."""


@dataclass(frozen=True)
class _Write:
    """What a search stores, and the seconds of its session by then."""

    work: Callable[[Connection], object]  # it may be done again, in another transaction
    run: int | None
    seconds: float


class Store(Reader):
    """One study's database, open. Use it as a context manager, or call `close`.

    Every method raises StorageError: the message names the file, what was found and the next step. Every
    write is one transaction; once its method has returned, the change outlives a killed process and a power
    loss. In a block of `together` it does once that has ended."""

    _waiting: list[_Write] | None = None  # in a block of `together`
    _then: tuple[Callable[[], object], ...] = ()  # what waits for them to be committed

    @classmethod
    def create(
        cls,
        path: Path | str,
        study: StudyRecord,
        images: Sequence[ImageRecord],
        splits: Sequence[Split],
        server: ServerUrl | None = None,
    ) -> Self:
        """Makes the database and opens it for writing.

        `images` in the order of their rows, `splits` in the order of their repeats. Refuses to replace an existing
        file. A crash in between leaves no file with this name. `server`: where the tables are made; the file is a link.
        """
        path = Path(path)
        place_of(server or path).create(study, images, splits)
        if server is not None:
            link(path, server)
        return cls.open(path)

    @classmethod
    def open(
        cls,
        path: Path | str | ServerUrl,
        *,
        read_only: bool = False,
        wait_seconds: float = DEFAULT_WAIT,
        max_scores: Mapping[str, float] | None = None,
    ) -> Self:
        """Opens an existing study: its file, a link to a server, or what is on a server.

        A file that is not a study's, is damaged or was written by a newer release is refused and not changed. One of an
        older release is upgraded after a backup beside it, or refused with `read_only`. On a server one process alone
        can open a study for writing. `wait_seconds`: how long to wait for another process that is writing, or for the
        server. `max_scores`: metric -> its largest possible value; a stored score that is larger, or negative, means
        that the database is damaged. Metrics that are not in it are not checked.
        """
        opened = place_of(path).open(read_only=read_only, wait_seconds=wait_seconds)
        store = cls(Path(str(path)), opened, max_scores or {}, read_only=read_only)
        store.patient = lambda waited: waited < wait_seconds
        return store

    # Writing

    @contextmanager
    def together(self) -> Iterator[None]:
        """A block whose trials, folds and references are stored in one transaction at its end, also where it raises.

        A commit waits for the disk, so that a hundred a second are not possible. Reading in the block commits them
        earlier. If one of them cannot be stored, the others are, as without the block. Blocks are not nested.
        """
        self._waiting = []
        try:
            yield
        finally:
            try:
                self._commit_waiting()
            finally:
                self._waiting, self._then = None, ()

    def on_commit(self, then: Callable[[], object]) -> None:
        """Calls `then` once all that was stored before is committed: at once, or at the end of a block."""
        if self._waiting:
            self._then += (then,)
        else:
            then()

    @again
    def remove(self) -> None:
        """Removes a study that has no trial, also the link to it, and closes it. Raises StorageError if it has one."""
        with self._writing() as connection:
            if connection.execute(select(trial.c.number).limit(1)).first() is not None:
                raise self._error("has a trial and was not removed.")
            self._opened.drop(connection)
        self.close()
        self.path.unlink(missing_ok=True)

    @again
    def start_run(self, record: RunRecord) -> int:
        """Stores the start of a session; returns its id, 0 for the first."""
        with self._writing() as connection:
            query = select(func.coalesce(func.max(run.c.number) + 1, 0)).where(run.c.study == STUDY_ID)
            number: int = connection.execute(query).scalar_one()
            values = {"study": STUDY_ID, "number": number, **rows.run_values(record)}
            connection.execute(insert(run), values)
        return number

    @again
    def end_run(self, run_id: int, outcome: str, seconds: float) -> None:
        """Stores how a session ended: 'finished', 'stopped' or 'failed'. `seconds`: monotonic, since its start."""
        with self._writing() as connection:
            self._spend(connection, run_id, seconds)
            connection.execute(update(run).where(of_run(run_id)).values(outcome=outcome))

    @again
    def add_trial(self, record: TrialRecord, *, run: int, seconds: float, close: Closing | None = None) -> None:
        """Stores a new running trial, before it is trained. An empty `started` becomes the current time.

        With `close` the trial is closed in the same transaction.
        """
        if record.state is not TrialState.RUNNING or record.folds:
            raise self._error(f"trial {record.number} must be new: running and without folds, not {record.state}.")
        begun = replace(record, started=record.started or _now())

        def work(connection: Connection) -> None:
            if connection.execute(_SAME_TRIAL, {"number": record.number}).first():
                raise self._error(f"trial {record.number} is stored already and was not changed.")
            connection.execute(insert(trial), {"study": STUDY_ID, "run": run, **rows.trial_values(begun)})
            if close is not None:
                self._close(connection, record.number, *close)

        self._write(_Write(work, run, seconds))

    @again
    def add_fold(self, record: FoldRecord, *, run: int, seconds: float, close: Closing | None = None) -> None:
        """Stores a finished fold run, the run's seconds and, with `close`, the end of its trial, in one transaction.

        Folds of repeat 0 belong to the search and need a running trial. Folds of later repeats confirm a choice, so
        their trial may be complete. `probabilities` must be float32 [validation images, classes] of that fold. A fold
        that is already stored is refused, and the stored one does not change.
        """
        self._check_fold(record)

        def work(connection: Connection) -> None:
            allowed = (TrialState.RUNNING,) if record.repeat == 0 else (TrialState.RUNNING, TrialState.COMPLETE)
            self._require(connection, record.trial, *allowed)
            values = {"study": STUDY_ID, "run": run, **rows.fold_values(record)}
            try:
                connection.execute(insert(fold_run), values)
            except IntegrityError as error:
                if not _is_double(error):
                    raise
                raise self._error(f"{consistency.named(record)} is stored already and was not changed.") from None
            if close is not None:
                self._close(connection, record.trial, *close)

        self._write(_Write(work, run, seconds))

    @again
    def add_reference(self, record: ReferenceRecord, *, run: int, seconds: float) -> None:
        """Stores a reference's fold and the run's seconds in one transaction. Refuses the same as `add_fold`."""
        self._check_fold(record)

        def work(connection: Connection) -> None:
            same = select(reference_fold.c.fold).where(
                reference_fold.c.study == STUDY_ID,
                reference_fold.c.name == record.name,
                reference_fold.c.fold == record.fold,
            )
            if connection.execute(same).first():
                raise self._error(f"{consistency.named(record)} is stored already and was not changed.")
            values = {"study": STUDY_ID, "run": run, **rows.reference_values(record)}
            connection.execute(insert(reference_fold), values)

        self._write(_Write(work, run, seconds))

    @again
    def add_split(self, record: Split) -> None:
        """Stores another division into folds, on which a choice is confirmed; its repeat is the next one."""
        if record.repeat != len(self._splits):
            raise self._error(f"the next repeat is {len(self._splits)}, not {record.repeat}.")
        consistency.check_splits([*self._splits.values(), record], len(self.split().assignment))
        with self._writing() as connection:
            connection.execute(insert(split), {"study": STUDY_ID, **rows.split_values(record)})
        del self._splits

    @again
    def add_choice(self, record: ChoiceRecord, *, run: int, seconds: float) -> None:
        """Stores a choice and the run's seconds in one transaction."""
        with self._writing() as connection:
            self._spend(connection, run, seconds)
            if record.trial not in self._trained(connection):
                raise self._error(f"trial {record.trial} has no finished fold; a choice needs one.")
            number = select(func.coalesce(func.max(choice.c.number) + 1, 0)).where(choice.c.study == STUDY_ID)
            values = {"study": STUDY_ID, "number": connection.execute(number).scalar_one(), "run": run}
            connection.execute(insert(choice), {**values, **rows.choice_values(record)})

    @again
    def close_trial(
        self,
        number: int,
        state: TrialState,
        cause: str | None = None,
        detail: str | None = None,
        *,
        run: int | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Closes a running trial as complete, pruned or failed; with `run`, its seconds in the same transaction."""
        self._write(_Write(lambda connection: self._close(connection, number, state, cause, detail), run, seconds))

    @again
    def reopen_trial(self, number: int) -> None:
        """Sets a trial that was closed as `OUT_OF_TIME` running again. It keeps its folds."""
        with self._writing() as connection:
            self._state(connection, number)
            values = {"state": TrialState.RUNNING.value, "cause": None, "detail": None, "finished": None}
            out_of_time = trial.c.cause == OUT_OF_TIME
            changed = connection.execute(update(trial).where(of_trial(number), out_of_time).values(values)).rowcount
            if not changed:
                raise self._error(f"trial {number} was not closed with the cause {OUT_OF_TIME!r}; it cannot reopen.")

    # Within a transaction

    def _write(self, write: _Write) -> None:
        if self._waiting is None:
            self._commit([write])
        else:
            self._waiting.append(write)

    def _commit_waiting(self) -> None:
        writes, then = self._waiting, self._then
        if not writes:
            return
        self._waiting, self._then = [], ()
        try:
            self._commit(writes)
        except StorageError as error:
            if isinstance(error, LockedError) or isinstance(error.__cause__, LostError):
                raise
            for write in writes:  # up to the one that cannot be stored
                self._commit([write])
        for each in then:
            each()

    @again
    def _commit(self, writes: Sequence[_Write]) -> None:
        with self._writing() as connection:
            for run_id, seconds in {write.run: write.seconds for write in writes if write.run is not None}.items():
                self._spend(connection, run_id, seconds)
            for write in writes:
                write.work(connection)

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._commit_waiting()
        with super()._reading() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._require_open()
        if self.read_only:
            raise self._error("was opened read-only. Use `search run` to change it.")
        if file_identity(self.path) != self._file:
            raise self._error(
                "is gone, or another file is in its place: the study folder was moved, deleted or replaced meanwhile. "
                "Put it back, or continue where it is now."
            )
        with self._opened.writing(self.patient) as connection:
            yield connection

    def _require(self, connection: Connection, number: int, *allowed: TrialState) -> None:
        state = self._state(connection, number)
        if state not in allowed:
            raise self._error(f"trial {number} is closed ({state}); it must be {' or '.join(allowed)}.")

    def _close(
        self, connection: Connection, number: int, state: TrialState, cause: str | None, detail: str | None
    ) -> None:
        if state is TrialState.RUNNING:
            raise self._error(f"trial {number} cannot be closed as {state}.")
        values = {"state": state.value, "cause": cause, "detail": detail, "finished": _now()}
        if not connection.execute(_CLOSE, {"closed": number, **values}).rowcount:
            self._require(connection, number, TrialState.RUNNING)  # it is not: raises

    def _spend(self, connection: Connection, number: int, seconds: float) -> None:
        """Updates the run's seconds, so that a budget in hours counts them even if the process is killed."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise self._error(f"seconds of run {number} must be finite and not negative, not {seconds}.")
        before = connection.execute(_SPENT, {"session": number}).one_or_none()
        if before is None or before.outcome is not None:
            raise self._error(f"run {number} {'was never started' if before is None else 'has ended'}.")
        connection.execute(_SPEND, {"session": number, "later": max(before.seconds, float(seconds))})

    def _check_fold(self, record: FoldRecord | ReferenceRecord) -> None:
        assignment = self.split(record.repeat if isinstance(record, FoldRecord) else 0).assignment
        images = int(np.count_nonzero(assignment == record.fold))
        if problem := consistency.problem_of(record, images, len(self._study.classes)):
            raise self._error(f"{consistency.named(record)}: {problem}")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def _is_double(error: IntegrityError) -> bool:
    """Whether there is a row with this key, as SQLite or PostgreSQL says it."""
    name, state = getattr(error.orig, "sqlite_errorname", ""), getattr(error.orig, "sqlstate", "")
    return state == "23505" or name in ("SQLITE_CONSTRAINT_PRIMARYKEY", "SQLITE_CONSTRAINT_UNIQUE")
