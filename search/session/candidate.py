"""What the loop submits: points that are not stored yet, folds of trials, and references."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from search.jobs import BundleJob, DescribeJob, FoldJob, Job, ReferenceJob
from spaces import Value
from storage.records import Origin

LEFT_OUT = {
    Origin.TRY: "point of [[try]]",
    Origin.START: "known-good point",
    Origin.SMALLER: "point with half the batch",
}
"""Points that are skipped if they cannot be trained."""


@dataclass
class Candidate:
    """A point from the sampler or the starts, not stored yet: first a worker describes its model."""

    number: int
    params: dict[str, Value]
    origin: Origin
    redraws: int = 0
    one_of: str = ""  # see `plan.Start`


@dataclass
class NoTime:
    """Known-good points that are left out for lack of time, and not told yet: one line for all between two trials."""

    _points: list[tuple[str, str]] = field(default_factory=list)  # (why, in words)

    def add(self, why: str, words: str) -> None:
        """One more."""
        self._points.append((why, words))

    def told(self) -> str | None:
        """What to say of those so far, which are told then; None: there are none."""
        points, self._points = self._points, []
        if not points:
            return None
        why, words = points[0]
        if len(points) == 1:
            return f"a known-good point is left out: {why} ({words})"
        others = "; ".join(words for _, words in points[1:])
        return f"{len(points)} known-good points are left out for lack of time: {words}: {why}; {others}"


Work: TypeAlias = Candidate | FoldJob | BundleJob | ReferenceJob


def job_of(work: Work) -> Job:
    """The job to submit."""
    return DescribeJob(work.params, work.number) if isinstance(work, Candidate) else work
