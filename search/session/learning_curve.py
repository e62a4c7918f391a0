"""The learning curve: a reference fitted on parts of the training images, beside the search.

It shows whether more pictures would help (`stats/learning_curve.py`), and decides nothing in the search. So only fits
that are short are begun: for two seconds before the search goes on, which is enough for one draw of a few hundred
images, then by workers that have nothing else to do. At the end of a limited time some seconds are kept back for the
first draw. What there was no time for is not there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.data.folds import fold_rows
from search.data.subsets import part_of
from search.jobs import Failure, Outcome, ReferenceJob, ReferenceResult
from search.seeds import derive
from search.session.session import Session
from search.stats.learning_curve import DRAWS, LONGEST, PERCENTS, Part
from storage import ReferenceRecord

FIRST = 2.0  # seconds, as expected, of fits in a session that come before points of the sampler


@dataclass(frozen=True)
class PartTerms:
    """Of what the learning curve is."""

    method: str  # name of the reference
    labels: NDArray[np.int16]  # [images]
    units: NDArray[np.int32]  # [images], equal for images that stay together


class PartQueue:
    """Returns each missing fit once: of the first draw all parts, then of the next."""

    def __init__(self, terms: PartTerms | None, assignment: NDArray[np.int16], folds: int, study_seed: int) -> None:
        """`terms` None: there is no learning curve. `assignment`: [images] fold that validates the image, -1: none."""
        self._terms, self._assignment, self._folds, self._seed = terms, assignment, folds, study_seed
        self._waiting: list[tuple[Part, int]] = []
        self._first = 0.0  # seconds of FIRST that are used

    def load(self, known: Iterable[ReferenceRecord]) -> None:
        """Leave out what is among the stored rows."""
        stored = {(record.name, record.fold) for record in known}
        if self._terms:
            parts = [Part(self._terms.method, percent, draw) for draw in range(DRAWS) for percent in PERCENTS]
            wanted = [(part, fold) for part in parts for fold in range(self._folds)]
            self._waiting = [(part, fold) for part, fold in wanted if (part.name, fold) not in stored]

    @property
    def method(self) -> str:
        """Of what the learning curve is; empty if there is none."""
        return self._terms.method if self._terms else ""

    def first_draw(self, seconds_of: Callable[[str], float]) -> float:
        """Expected seconds of what is missing of the first draw, without fits that are too long to be begun.

        `seconds_of`: of a fold of a whole reference.
        """
        shares = [part.percent / 100 for part, _ in self._waiting if part.draw == 0]
        whole = seconds_of(self.method)
        return sum(whole * share for share in shares if whole * share <= LONGEST)

    def next_job(
        self, references: Sequence[ReferenceRecord], seconds: float, *, free: bool = True
    ) -> ReferenceJob | None:
        """The next fit, if it is expected to be short and to end within `seconds`; None if there is none.

        `references`: those that are stored. Before the whole reference is, its parts are of no use. `free`: whether the
        worker has nothing else to do.
        """
        if not self._waiting or self._terms is None:
            return None
        taken = [record.seconds for record in references if record.name == self._terms.method]
        part, fold = self._waiting[0]
        # The first fold may have waited for features.
        most = min(LONGEST, seconds) if free else min(LONGEST, seconds, FIRST - self._first)
        if len(taken) < self._folds or (expected := min(taken) * part.percent / 100) > most:
            return None
        self._first += 0.0 if free else expected
        del self._waiting[0]
        train, validate = fold_rows(self._assignment, fold)
        drawn = derive(self._seed, "part", part.draw, fold)
        rows = part_of(train, self._terms.labels, self._terms.units, part.percent / 100, drawn)
        return ReferenceJob(part.name, fold, train, validate, derive(self._seed, "reference", part.name, fold), rows)

    def give_up(self) -> None:
        """Return no further job in this session."""
        self._waiting = []


def is_part(job: ReferenceJob) -> bool:
    """Whether a job is one of the learning curve."""
    return job.part is not None


def keep(queue: PartQueue, session: Session, job: ReferenceJob, outcome: Outcome) -> None:
    """Commit a fit. After a failure there are no further ones: the search does not need them."""
    if isinstance(outcome, Failure):
        queue.give_up()
        return
    assert isinstance(outcome, ReferenceResult)  # noqa: S101 - the answer to a ReferenceJob
    record = ReferenceRecord(name=job.name, fold=job.fold, **vars(outcome))
    session.store.add_reference(record, run=session.run_id, seconds=session.seconds)
