"""The reference rows of a study: which ones it has, and which of their folds are missing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from search.data.folds import fold_rows
from search.executors.drive import Drive
from search.jobs import PROBE, Failure, FailureCause, Outcome, ReferenceJob, ReferenceResult, possible
from search.seeds import derive
from search.session.learning_curve import PartQueue, PartTerms, is_part, keep
from search.session.session import Session
from search.stats.learning_curve import Part
from search.study.folder import StudyFolder
from spaces.backbones import Backbone
from storage import ReferenceRecord, Store

AFTERWARDS = 2.0  # seconds that the learning curve may take once the model is saved, without a time to use up
KEPT_SHARE = 0.05  # of a limited time, at most, that is kept back for references and the learning curve
ASSUMED = 0.4  # seconds of a reference's fold, before there was one
PATIENCE = 5.0  # seconds beyond their time that jobs are waited for: starting a worker again takes as long


def missing_folds(names: Iterable[str], folds: int, known: Iterable[ReferenceRecord]) -> list[tuple[str, int]]:
    """(name, fold) that are not stored yet, name by name."""
    stored = {(record.name, record.fold) for record in known}
    return [(name, fold) for name in names for fold in range(folds) if (name, fold) not in stored]


class ReferenceQueue:
    """Returns each missing fold once; a reference that failed is not tried again in this session."""

    def __init__(
        self,
        names: Sequence[str],
        assignment: NDArray[np.int16],
        folds: int,
        study_seed: int,
        parts: PartTerms | None = None,
    ) -> None:
        """`assignment`: [images] fold that validates the image, -1: none; `parts`: see `PartQueue`."""
        self.parts = PartQueue(parts, assignment, folds, study_seed)
        self._names, self._assignment, self._folds, self._seed = names, assignment, folds, study_seed
        self.known: list[ReferenceRecord] = []
        self._waiting: deque[tuple[str, int]] = deque()
        self._left_out: set[str] = set()
        self._guessed: set[str] = set()  # names of which a job was begun in spare time before there was a record

    def load(self, known: Iterable[ReferenceRecord]) -> None:
        """Load the stored rows, those of the learning curve too. Must be called before the first `next_job`."""
        known = list(known)
        self.parts.load(known)
        self.known = [record for record in known if Part.of(record.name) is None]
        self._waiting = deque(missing_folds(self._names, self._folds, self.known))

    def next_job(self) -> ReferenceJob | None:
        """The job of the next missing fold; None if there is none."""
        if not self._waiting:
            return None
        return self._job(*self._waiting.popleft())

    def _job(self, name: str, fold: int) -> ReferenceJob:
        return ReferenceJob(name, fold, *fold_rows(self._assignment, fold), derive(self._seed, "reference", name, fold))

    def left_seconds(self, within: float, *, probe: bool) -> float:
        """Expected seconds of what is missing, and of the first draw of the learning curve, one after another.

        Without what does not fit into `within` seconds alone. `probe`: whether the features of the linear probe are at
        hand; if not, it is left out.
        """
        waiting = [name for name, _ in self._waiting if probe or name != PROBE]
        fitting = [seconds for name in waiting if (seconds := self._seconds_of(name)) <= within]
        has_curve = (probe or self.parts.method != PROBE) and self._seconds_of(self.parts.method) <= within
        return sum(fitting) + (self.parts.first_draw(self._seconds_of) if has_curve else 0.0)

    def next_short(self, seconds: float, *, probe: bool, guess: bool = True) -> ReferenceJob | None:
        """The next job that is expected to end within `seconds`; None if there is none.

        First the reference that the learning curve is of, then the curve's first draw, then the other references, and
        the other draws last. Of a reference of which no fold was measured yet, one is begun, and the others once it
        ended; none without `guess`. `probe`: see `left_seconds`.
        """
        usable = [(name, fold) for name, fold in self._waiting if probe or name != PROBE]
        first = [job for job in usable if job[0] == self.parts.method]
        if not first and self.parts.first_draw(self._seconds_of) and (part := self.next_part(seconds)):
            return part
        for name, fold in [*first, *(job for job in usable if job not in first)]:
            if self._seconds_of(name) <= seconds and (self._is_measured(name) or (guess and name not in self._guessed)):
                self._guessed.add(name)
                self._waiting.remove((name, fold))
                return self._job(name, fold)
        return self.next_part(seconds)

    def _is_measured(self, name: str) -> bool:
        return any(record.name == name for record in self.known)

    def _seconds_of(self, name: str) -> float:
        """Expected seconds of a fold. The first one may have waited for features."""
        return min((record.seconds for record in self.known if record.name == name), default=ASSUMED)

    def next_part(self, seconds: float, *, free: bool = True) -> ReferenceJob | None:
        """The next job of the learning curve, see `PartQueue`; None if there is none."""
        return self.parts.next_job(self.known, seconds, free=free)

    def leave_out(self, name: str) -> bool:
        """Skip a reference from now on. Returns False if it was skipped already."""
        self._waiting = deque(job for job in self._waiting if job[0] != name)
        is_new = name not in self._left_out
        self._left_out.add(name)
        return is_new


def references_of(folder: StudyFolder, backbones: Sequence[Backbone]) -> tuple[str, ...]:
    """Names of the reference rows that a study computes; none for an outer fold, of which only the choice is used."""
    return possible(backbones) if folder.parent == folder else ()


def references_left(store: Store, backbones: Sequence[Backbone]) -> bool:
    """Whether a fold of a reference is missing."""
    folds = int(store.split().assignment.max()) + 1
    return bool(missing_folds(references_of(StudyFolder(store.path.parent), backbones), folds, store.references()))


def keep_outcome(references: ReferenceQueue, session: Session, job: ReferenceJob, outcome: Outcome) -> None:
    """Commit what a job of the queue gave. A reference that fails is skipped: the search does not need it."""
    if is_part(job):
        keep(references.parts, session, job, outcome)
        return
    if isinstance(outcome, Failure):
        if outcome.cause != FailureCause.STOPPED and references.leave_out(job.name):
            name = job.name.replace("_", " ")
            session.observer.note(f"no reference row of {name}: {outcome.cause}: {outcome.detail}")
        return
    assert isinstance(outcome, ReferenceResult)  # noqa: S101 - the answer to a ReferenceJob
    record = ReferenceRecord(name=job.name, fold=job.fold, **vars(outcome))
    session.store.add_reference(record, run=session.run_id, seconds=session.seconds)
    references.known.append(record)


def use_spare_time(
    references: ReferenceQueue,
    session: Session,
    seconds: float,
    show: Callable[[], object] = lambda: None,
    *,
    probe: bool = True,
    guess: bool = True,
) -> bool:
    """Compute references that there was no time for, and the learning curve, for at most so many seconds.

    `probe`, `guess`: see `ReferenceQueue.next_short`. Returns whether something is still running although it was given
    PATIENCE seconds more: then the caller ends it.
    """
    deadline = session.clock() + seconds
    drive: Drive[ReferenceJob] = Drive(
        session.executor, lambda job: job, lambda job, outcome: keep_outcome(references, session, job, outcome), show
    )
    drive.run(
        lambda: references.next_short(deadline - session.clock(), probe=probe, guess=guess),
        lambda: not session.stop.asked and session.clock() < deadline + PATIENCE,
    )
    return bool(drive.running) and not session.stop.asked
