"""A study's database as one object. Only the loop of `search run` writes; any number of processes may read."""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine, Row, func, insert, select, update
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql import ColumnElement

from storage import consistency, create, rows
from storage.create import STUDY_ID
from storage.engine import explained, is_busy, make_reading_engine, make_writing_engine, mask_password
from storage.errors import StorageError
from storage.file_check import check, is_current
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
from storage.schema import choice, fold_run, image, reference_fold, run, split, study, trial
from storage.upgrade import upgrade

Closing = tuple[TrialState, str | None, str | None]
"""The end of a trial: state, cause, detail."""


class Store:
    """One study's database, open. Use it as a context manager, or call `close`.

    Every method raises StorageError: the message names the file, what was found and the next step. Every
    write is one transaction; once its method has returned, the change outlives a killed process and a power
    loss."""

    def __init__(
        self,
        path: Path,
        engine: Engine,
        max_scores: Mapping[str, float],
        *,
        read_only: bool,
        wait_seconds: float = 30.0,
    ) -> None:
        """Not for callers: use `create` or `open`."""
        self.path = path
        self.patient: Callable[[float], bool] = lambda waited: waited < wait_seconds
        """Seconds for which another process has kept the database locked -> whether to wait on, before a write."""
        self.read_only = read_only
        self._max_scores = max_scores
        self._engine = engine
        self._file = _file(path)
        self._closed = False

    @classmethod
    def create(
        cls, path: Path | str, study: StudyRecord, images: Sequence[ImageRecord], splits: Sequence[Split]
    ) -> Self:
        """Makes the database and opens it for writing.

        `images` in the order of their rows, `splits` in the order of their repeats. Refuses to replace an existing
        file. A crash in between leaves no file with this name.
        """
        create.create(Path(path), study, images, splits)
        return cls.open(path)

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        read_only: bool = False,
        wait_seconds: float = 30.0,
        max_scores: Mapping[str, float] | None = None,
    ) -> Self:
        """Opens an existing study.

        A file that is not a study's, is damaged or was written by a newer release is refused and not changed. One of an
        older release is upgraded after a backup beside it, or refused with `read_only`. `wait_seconds`: how long to
        wait for another process that is writing. `max_scores`: metric -> its largest possible value; a stored score
        that is larger, or negative, means that the database is damaged. Metrics that are not in it are not checked.
        """
        path = Path(path)
        revision = check(path)
        if not is_current(revision):
            if read_only:
                raise StorageError(
                    f"{mask_password(path)}: was written by an older release (revision {revision}). "
                    "`search run` upgrades it, after a backup."
                )
            upgrade(path, revision, wait_seconds)
            check(path)  # the columns of an older revision are not known, those that it has now are
        with explained(path, writing=not read_only):
            engine = (make_reading_engine if read_only else make_writing_engine)(path, wait_seconds)
        return cls(path, engine, max_scores or {}, read_only=read_only, wait_seconds=wait_seconds)

    def close(self) -> None:
        """Closes every connection; the last to close merges the log into the file. A second call does nothing."""
        self._closed = True
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Reading

    def study(self) -> StudyRecord:
        """The settings and images that the study began with."""
        with self._reading() as connection:
            row = connection.execute(select(study).where(study.c.id == STUDY_ID)).one_or_none()
            if row is None:
                raise self._error("contains no study. Restore it from a backup.")
            record = rows.study_record(row)
            consistency.check_study(record)
            return record

    def images(self) -> list[ImageRecord]:
        """All images, in the order of the pixel array."""
        record = self._study
        with self._reading() as connection:
            query = select(image).where(image.c.study == STUDY_ID).order_by(image.c.row)
            records = [rows.image_record(row) for row in connection.execute(query)]
            consistency.check_images(records, record)
            return records

    def splits(self) -> list[Split]:
        """All divisions into folds, ordered by repeat. Their arrays are read-only."""
        return list(self._splits.values())

    def split(self, repeat: int = 0) -> Split:
        """The division into folds of one repeat."""
        if repeat not in self._splits:
            raise self._error(f"has no repeat {repeat}; there are {_listed(self._splits)}.")
        return self._splits[repeat]

    def has_trials(self) -> bool:
        """Whether there is a trial, without reading all of them."""
        with self._reading() as connection:
            query = select(trial.c.number).where(trial.c.study == STUDY_ID).limit(1)
            return connection.execute(query).first() is not None

    def trials(self, *, curves: bool = True) -> list[TrialRecord]:
        """All trials ordered by number, each with its folds, without probabilities; read in one transaction.

        `curves=False` leaves each fold's `curve` and each trial's `layers` empty. In a large study these take most of
        the reading time.
        """
        record, search = self._study, self.split()
        with self._reading() as connection:
            everything = (trial.c.study == STUDY_ID, fold_run.c.study == STUDY_ID)
            trials = self._trials(connection, *everything, curves=curves)
            consistency.check_trials(trials, record, search, self._max_scores)
            return trials

    def trial(self, number: int) -> TrialRecord:
        """One trial with its folds, without probabilities."""
        with self._reading() as connection:
            trials = self._trials(connection, _trial(number), _folds(number))
        if not trials:
            raise self._error(f"has no trial {number}.")
        return trials[0]

    def probabilities(self, trial: int, repeat: int = 0) -> dict[int, NDArray[np.float32]]:
        """Out-of-fold class probabilities of one trial and repeat, by fold; empty before the first fold.

        Each is float32 [validation images, classes], read-only, its rows in the order of
        `numpy.flatnonzero(split.assignment == fold)`.
        """
        record = self._study
        assignment = self.split(repeat).assignment
        with self._reading() as connection:
            self._state(connection, trial)
            query = select(fold_run.c.fold, fold_run.c.probabilities).where(_folds(trial), fold_run.c.repeat == repeat)
            by_fold = {row.fold: row.probabilities for row in connection.execute(query.order_by(fold_run.c.fold))}
            for fold, array in by_fold.items():
                consistency.check_probabilities(array, int(np.count_nonzero(assignment == fold)), record)
            return by_fold

    def curves(self, fold: int, name: str) -> dict[int, tuple[float, ...]]:
        """One curve of one fold of the search, by trial; without trials that lack it."""
        with self._reading() as connection:
            of_fold = (fold_run.c.study == STUDY_ID) & (fold_run.c.repeat == 0) & (fold_run.c.fold == fold)
            trial_curves = connection.execute(select(fold_run.c.trial, fold_run.c.curve).where(of_fold))
            return {row.trial: rows.series(row.curve, name) for row in trial_curves if name in row.curve}

    def references(self) -> list[ReferenceRecord]:
        """All folds of all references, ordered by name and fold, with probabilities."""
        with self._reading() as connection:
            query = select(reference_fold).where(reference_fold.c.study == STUDY_ID)
            ordered = query.order_by(reference_fold.c.name, reference_fold.c.fold)
            return [rows.reference_record(row) for row in connection.execute(ordered)]

    def choices(self) -> list[ChoiceRecord]:
        """All choices, oldest first; the last one is valid."""
        record, testing = self._study, sum(image.testing for image in self.images())
        with self._reading() as connection:
            query = select(choice).where(choice.c.study == STUDY_ID).order_by(choice.c.number)
            choices = [rows.choice_record(row) for row in connection.execute(query)]
            trained = self._trained(connection) if choices else frozenset()
            for each in choices:
                consistency.check_choice(each, testing, record, trained)
            return choices

    def fold_runs(self) -> int:
        """The number of stored fold runs."""
        with self._reading() as connection:
            query = select(func.count()).select_from(fold_run).where(fold_run.c.study == STUDY_ID)
            return int(connection.execute(query).scalar_one())

    def runs(self) -> list[RunRecord]:
        """All sessions in order of start; the id of a run is its index in the list."""
        with self._reading() as connection:
            query = select(run).where(run.c.study == STUDY_ID).order_by(run.c.number)
            records = [rows.run_record(row) for row in connection.execute(query)]
            for number, record in enumerate(records):
                consistency.check_seconds(record.seconds, f"session {number}")
            return records

    def spent_seconds(self) -> float:
        """Sum of the wall seconds of all sessions, each as of its last commit."""
        with self._reading() as connection:
            query = select(func.coalesce(func.sum(run.c.seconds), 0.0)).where(run.c.study == STUDY_ID)
            spent = float(connection.execute(query).scalar_one())
            consistency.check_seconds(spent, "all sessions")
            return spent

    # Writing

    def start_run(self, record: RunRecord) -> int:
        """Stores the start of a session; returns its id, 0 for the first."""
        with self._writing() as connection:
            query = select(func.coalesce(func.max(run.c.number) + 1, 0)).where(run.c.study == STUDY_ID)
            number: int = connection.execute(query).scalar_one()
            values = {"study": STUDY_ID, "number": number, **rows.run_values(record)}
            connection.execute(insert(run), values)
        return number

    def end_run(self, run_id: int, outcome: str, seconds: float) -> None:
        """Stores how a session ended: 'finished', 'stopped' or 'failed'. `seconds`: monotonic, since its start."""
        with self._writing() as connection:
            self._spend(connection, run_id, seconds)
            connection.execute(update(run).where(_run(run_id)).values(outcome=outcome))

    def add_trial(self, record: TrialRecord, *, run: int, seconds: float, close: Closing | None = None) -> None:
        """Stores a new running trial, before it is trained. An empty `started` becomes the current time.

        With `close` the trial is closed in the same transaction.
        """
        if record.state is not TrialState.RUNNING or record.folds:
            raise self._error(f"trial {record.number} must be new: running and without folds, not {record.state}.")
        with self._writing() as connection:
            self._spend(connection, run, seconds)
            if connection.execute(select(trial.c.number).where(_trial(record.number))).first():
                raise self._error(f"trial {record.number} is stored already and was not changed.")
            values = rows.trial_values(replace(record, started=record.started or _now()))
            connection.execute(insert(trial), {"study": STUDY_ID, "run": run, **values})
            if close is not None:
                self._close(connection, record.number, *close)

    def add_fold(self, record: FoldRecord, *, run: int, seconds: float, close: Closing | None = None) -> None:
        """Stores a finished fold run, the run's seconds and, with `close`, the end of its trial, in one transaction.

        Folds of repeat 0 belong to the search and need a running trial. Folds of later repeats confirm a choice, so
        their trial may be complete. `probabilities` must be float32 [validation images, classes] of that fold. A fold
        that is already stored is refused, and the stored one does not change.
        """
        self._check_fold(record)
        with self._writing() as connection:
            self._spend(connection, run, seconds)
            allowed = (TrialState.RUNNING,) if record.repeat == 0 else (TrialState.RUNNING, TrialState.COMPLETE)
            self._require(connection, record.trial, *allowed)
            same = select(fold_run.c.fold).where(
                _folds(record.trial), fold_run.c.repeat == record.repeat, fold_run.c.fold == record.fold
            )
            if connection.execute(same).first():
                raise self._error(f"{_named(record)} is stored already and was not changed.")
            connection.execute(insert(fold_run), {"study": STUDY_ID, "run": run, **rows.fold_values(record)})
            if close is not None:
                self._close(connection, record.trial, *close)

    def add_reference(self, record: ReferenceRecord, *, run: int, seconds: float) -> None:
        """Stores a reference's fold and the run's seconds in one transaction. Refuses the same as `add_fold`."""
        self._check_fold(record)
        with self._writing() as connection:
            self._spend(connection, run, seconds)
            same = select(reference_fold.c.fold).where(
                reference_fold.c.study == STUDY_ID,
                reference_fold.c.name == record.name,
                reference_fold.c.fold == record.fold,
            )
            if connection.execute(same).first():
                raise self._error(f"{_named(record)} is stored already and was not changed.")
            values = {"study": STUDY_ID, "run": run, **rows.reference_values(record)}
            connection.execute(insert(reference_fold), values)

    def add_split(self, record: Split) -> None:
        """Stores another division into folds, on which a choice is confirmed; its repeat is the next one."""
        if record.repeat != len(self._splits):
            raise self._error(f"the next repeat is {len(self._splits)}, not {record.repeat}.")
        consistency.check_splits([*self._splits.values(), record], len(self.split().assignment))
        with self._writing() as connection:
            connection.execute(insert(split), {"study": STUDY_ID, **rows.split_values(record)})
        del self._splits

    def add_choice(self, record: ChoiceRecord, *, run: int, seconds: float) -> None:
        """Stores a choice and the run's seconds in one transaction."""
        with self._writing() as connection:
            self._spend(connection, run, seconds)
            if record.trial not in self._trained(connection):
                raise self._error(f"trial {record.trial} has no finished fold; a choice needs one.")
            number = select(func.coalesce(func.max(choice.c.number) + 1, 0)).where(choice.c.study == STUDY_ID)
            values = {"study": STUDY_ID, "number": connection.execute(number).scalar_one(), "run": run}
            connection.execute(insert(choice), {**values, **rows.choice_values(record)})

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
        with self._writing() as connection:
            if run is not None:
                self._spend(connection, run, seconds)
            self._close(connection, number, state, cause, detail)

    def reopen_trial(self, number: int) -> None:
        """Sets a trial that was closed as `OUT_OF_TIME` running again. It keeps its folds."""
        with self._writing() as connection:
            self._state(connection, number)
            values = {"state": TrialState.RUNNING.value, "cause": None, "detail": None, "finished": None}
            out_of_time = trial.c.cause == OUT_OF_TIME
            changed = connection.execute(update(trial).where(_trial(number), out_of_time).values(values)).rowcount
            if not changed:
                raise self._error(f"trial {number} was not closed with the cause {OUT_OF_TIME!r}; it cannot reopen.")

    # Within a transaction

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._require_open()
        with explained(self.path, writing=False), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _writing(self) -> Iterator[Connection]:
        self._require_open()
        if self.read_only:
            raise self._error("was opened read-only. Use `search run` to change it.")
        if _file(self.path) != self._file:
            raise self._error(
                "is gone, or another file is in its place: the study folder was moved, deleted or replaced meanwhile. "
                "Put it back, or continue where it is now."
            )
        engine = self._engine.execution_options(write=True)
        with explained(self.path, writing=True), ExitStack() as transaction:
            yield self._begun(engine, transaction)

    def _begun(self, engine: Engine, transaction: ExitStack) -> Connection:
        """Begins a transaction that writes; while the database is locked, as often as `patient` says."""
        started = time.monotonic()
        while True:
            try:
                return transaction.enter_context(engine.begin())
            except DBAPIError as error:
                if not is_busy(error) or not self.patient(time.monotonic() - started):
                    raise

    def _trials(
        self,
        connection: Connection,
        which: ColumnElement[bool],
        whose: ColumnElement[bool],
        *,
        curves: bool = True,
    ) -> list[TrialRecord]:
        columns = [fold_run.c[name] for name in rows.FOLD_COLUMNS if curves or name != "curve"]
        folds: defaultdict[int, list[FoldRecord]] = defaultdict(list)
        order = (fold_run.c.trial, fold_run.c.repeat, fold_run.c.fold)
        for row in connection.execute(select(*columns).where(whose).order_by(*order)):
            fold = rows.fold_record(row)
            folds[fold.trial].append(fold)
        trials: Sequence[Row[Any]] = connection.execute(select(trial).where(which).order_by(trial.c.number)).all()
        return [rows.trial_record(row, folds[row.number], layers=curves) for row in trials]

    def _state(self, connection: Connection, number: int) -> TrialState:
        state = connection.execute(select(trial.c.state).where(_trial(number))).scalar_one_or_none()
        if state is None:
            raise self._error(f"has no trial {number}.")
        return TrialState(state)

    def _trained(self, connection: Connection) -> frozenset[int]:
        """The numbers of the trials that have a fold."""
        numbers = select(fold_run.c.trial).where(fold_run.c.study == STUDY_ID).distinct()
        return frozenset(connection.execute(numbers).scalars())

    def _require(self, connection: Connection, number: int, *allowed: TrialState) -> None:
        state = self._state(connection, number)
        if state not in allowed:
            raise self._error(f"trial {number} is closed ({state}); it must be {' or '.join(allowed)}.")

    def _close(
        self, connection: Connection, number: int, state: TrialState, cause: str | None, detail: str | None
    ) -> None:
        if state is TrialState.RUNNING:
            raise self._error(f"trial {number} cannot be closed as {state}.")
        self._require(connection, number, TrialState.RUNNING)
        values = {"state": state.value, "cause": cause, "detail": detail, "finished": _now()}
        connection.execute(update(trial).where(_trial(number)).values(values))

    def _spend(self, connection: Connection, number: int, seconds: float) -> None:
        """Updates the run's seconds, so that a budget in hours counts them even if the process is killed."""
        if not (math.isfinite(seconds) and seconds >= 0):
            raise self._error(f"seconds of run {number} must be finite and not negative, not {seconds}.")
        before = connection.execute(select(run.c.seconds, run.c.outcome).where(_run(number))).one_or_none()
        if before is None or before.outcome is not None:
            raise self._error(f"run {number} {'was never started' if before is None else 'has ended'}.")
        later = max(before.seconds, float(seconds))
        connection.execute(update(run).where(_run(number)).values(seconds=later))

    def _check_fold(self, record: FoldRecord | ReferenceRecord) -> None:
        array, repeat = record.probabilities, record.repeat if isinstance(record, FoldRecord) else 0
        images = int(np.count_nonzero(self.split(repeat).assignment == record.fold))
        if record.fold < 0 or images == 0:
            raise self._error(f"{_named(record)}: no image is validated in that fold.")
        expected = (images, len(self._study.classes))
        if array is None or array.dtype != np.float32 or array.shape != expected:
            received = "none" if array is None else f"{array.dtype} {array.shape}"
            raise self._error(f"{_named(record)}: probabilities must be float32 {expected}, found {received}.")
        if not (math.isfinite(record.seconds) and record.seconds >= 0):
            raise self._error(f"{_named(record)}: seconds must be finite and not negative, not {record.seconds}.")

    @cached_property
    def _splits(self) -> dict[int, Split]:
        with self._reading() as connection:
            query = select(split).where(split.c.study == STUDY_ID).order_by(split.c.repeat)
            splits = [rows.split_record(row) for row in connection.execute(query)]
            images = select(func.count()).select_from(image).where(image.c.study == STUDY_ID)
            consistency.check_splits(splits, connection.execute(images).scalar_one())
            return {each.repeat: each for each in splits}

    @cached_property
    def _study(self) -> StudyRecord:
        return self.study()

    def _require_open(self) -> None:
        if self._closed:
            raise self._error("was closed. Open it again.")

    def _error(self, problem: str) -> StorageError:
        return StorageError(f"{mask_password(self.path)}: {problem}")


def _file(path: Path) -> tuple[int, int] | None:
    """The identity of the file: device and inode; None if it is missing."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _run(number: int) -> ColumnElement[bool]:
    return (run.c.study == STUDY_ID) & (run.c.number == number)


def _trial(number: int) -> ColumnElement[bool]:
    return (trial.c.study == STUDY_ID) & (trial.c.number == number)


def _folds(number: int) -> ColumnElement[bool]:
    return (fold_run.c.study == STUDY_ID) & (fold_run.c.trial == number)


def _named(fold: FoldRecord | ReferenceRecord) -> str:
    if isinstance(fold, ReferenceRecord):
        return f"fold {fold.fold + 1} of reference {fold.name}"
    return f"fold {fold.fold + 1} of repeat {fold.repeat} of trial {fold.trial}"


def _listed(values: Sequence[int] | dict[int, Any]) -> str:
    return ", ".join(map(str, values)) or "none"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
