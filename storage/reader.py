"""Reading a study's database, in a file or on a server."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property, wraps
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Row, bindparam, func, select
from sqlalchemy.sql import ColumnElement

from storage import consistency, rows
from storage.engine import Opened, Patience, mask_password
from storage.errors import StorageError
from storage.place import file_identity
from storage.records import (
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
    folds_of,
    image,
    of_trial,
    reference_fold,
    run,
    split,
    study,
    trial,
)

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", bound="Reader")

DEFAULT_WAIT = 30.0  # seconds for another process that writes, or a server that is away


def again(method: Callable[Concatenate[R, P], T]) -> Callable[Concatenate[R, P], T]:
    """Does a method again whose server went away meanwhile, as often as `Store.patient` says."""

    @wraps(method)
    def repeated(self: R, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._opened.again(lambda: method(self, *args, **kwargs), self.patient)

    return repeated


# Put together once: it is asked for each fold run, and SQLite answers sooner than the question is made.
_STATE = select(trial.c.state).where(trial.c.study == STUDY_ID, trial.c.number == bindparam("number"))


class Reader:
    """What an open database holds. Every method raises StorageError, see `Store`."""

    def __init__(self, path: Path, opened: Opened, max_scores: Mapping[str, float], *, read_only: bool) -> None:
        """Not for callers: use `create` or `open`."""
        self.path = path
        self.patient: Patience = lambda waited: waited < DEFAULT_WAIT
        """Seconds for which the database was locked, or its server away -> whether to wait on."""
        self.read_only = read_only
        self._max_scores = max_scores
        self._opened = opened
        self._file = file_identity(path)
        self._closed = False

    @property
    def obstacle(self) -> str:
        """What `patient` is asked about, to be followed by 'for 5 s'."""
        return self._opened.obstacle

    def close(self) -> None:
        """Closes every connection. A second call does nothing."""
        self._closed = True
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # Reading

    @again
    def study(self) -> StudyRecord:
        """The settings and images that the study began with."""
        with self._reading() as connection:
            row = connection.execute(select(study).where(study.c.id == STUDY_ID)).one_or_none()
            if row is None:
                raise self._error("contains no study. Restore it from a backup.")
            record = rows.study_record(row)
            consistency.check_study(record)
            return record

    @again
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

    @again
    def split(self, repeat: int = 0) -> Split:
        """The division into folds of one repeat."""
        if repeat not in self._splits:
            raise self._error(f"has no repeat {repeat}; there are {', '.join(map(str, self._splits))}.")
        return self._splits[repeat]

    @again
    def has_trials(self) -> bool:
        """Whether there is a trial, without reading all of them."""
        with self._reading() as connection:
            query = select(trial.c.number).where(trial.c.study == STUDY_ID).limit(1)
            return connection.execute(query).first() is not None

    @again
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

    @again
    def trial(self, number: int) -> TrialRecord:
        """One trial with its folds, without probabilities."""
        with self._reading() as connection:
            trials = self._trials(connection, of_trial(number), folds_of(number))
        if not trials:
            raise self._error(f"has no trial {number}.")
        return trials[0]

    @again
    def probabilities(self, trial: int, repeat: int = 0) -> dict[int, NDArray[np.float32]]:
        """Out-of-fold class probabilities of one trial and repeat, by fold; empty before the first fold.

        Each is float32 [validation images, classes], read-only, its rows in the order of
        `numpy.flatnonzero(split.assignment == fold)`.
        """
        record = self._study
        assignment = self.split(repeat).assignment
        with self._reading() as connection:
            self._state(connection, trial)
            query = select(fold_run.c.fold, fold_run.c.probabilities).where(
                folds_of(trial), fold_run.c.repeat == repeat
            )
            by_fold = {row.fold: row.probabilities for row in connection.execute(query.order_by(fold_run.c.fold))}
            for fold, array in by_fold.items():
                consistency.check_probabilities(array, int(np.count_nonzero(assignment == fold)), record)
            return by_fold

    @again
    def curves(self, fold: int, name: str) -> dict[int, tuple[float, ...]]:
        """One curve of one fold of the search, by trial; without trials that lack it."""
        with self._reading() as connection:
            of_fold = (fold_run.c.study == STUDY_ID) & (fold_run.c.repeat == 0) & (fold_run.c.fold == fold)
            trial_curves = connection.execute(select(fold_run.c.trial, fold_run.c.curve).where(of_fold))
            return {row.trial: rows.series(row.curve, name) for row in trial_curves if name in row.curve}

    @again
    def references(self) -> list[ReferenceRecord]:
        """All folds of all references, ordered by name and fold, with probabilities."""
        with self._reading() as connection:
            query = select(reference_fold).where(reference_fold.c.study == STUDY_ID)
            ordered = query.order_by(reference_fold.c.name, reference_fold.c.fold)
            return [rows.reference_record(row) for row in connection.execute(ordered)]

    @again
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

    @again
    def fold_runs(self) -> int:
        """The number of stored fold runs."""
        with self._reading() as connection:
            query = select(func.count()).select_from(fold_run).where(fold_run.c.study == STUDY_ID)
            return int(connection.execute(query).scalar_one())

    @again
    def runs(self) -> list[RunRecord]:
        """All sessions in order of start; the id of a run is its index in the list."""
        with self._reading() as connection:
            query = select(run).where(run.c.study == STUDY_ID).order_by(run.c.number)
            records = [rows.run_record(row) for row in connection.execute(query)]
            for number, record in enumerate(records):
                consistency.check_seconds(record.seconds, f"session {number}")
            return records

    @again
    def spent_seconds(self) -> float:
        """Sum of the wall seconds of all sessions, each as of its last commit."""
        with self._reading() as connection:
            query = select(func.coalesce(func.sum(run.c.seconds), 0.0)).where(run.c.study == STUDY_ID)
            spent = float(connection.execute(query).scalar_one())
            consistency.check_seconds(spent, "all sessions")
            return spent

    # Within a transaction

    @contextmanager
    def _reading(self) -> Iterator[Connection]:
        self._require_open()
        with self._opened.reading() as connection:
            yield connection

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
        state = connection.execute(_STATE, {"number": number}).scalar_one_or_none()
        if state is None:
            raise self._error(f"has no trial {number}.")
        return TrialState(state)

    def _trained(self, connection: Connection) -> frozenset[int]:
        """The numbers of the trials that have a fold."""
        numbers = select(fold_run.c.trial).where(fold_run.c.study == STUDY_ID).distinct()
        return frozenset(connection.execute(numbers).scalars())

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
