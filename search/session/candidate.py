"""What the loop submits: points that are not stored yet, folds of trials, and references."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from search.jobs import BundleJob, DescribeJob, FoldJob, Job, ReferenceJob
from spaces import Value
from storage.records import Origin


@dataclass
class Candidate:
    """A point from the sampler or the starts, not stored yet: first a worker describes its model."""

    number: int
    params: dict[str, Value]
    origin: Origin
    redraws: int = 0
    one_of: str = ""  # see `plan.Start`
    whole: bool = False  # the same


Work: TypeAlias = Candidate | FoldJob | BundleJob | ReferenceJob


def job_of(work: Work) -> Job:
    """The job to submit."""
    return DescribeJob(work.params, work.number) if isinstance(work, Candidate) else work
