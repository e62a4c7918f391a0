"""What a tracker is: it keeps runs, each with parameters, numbers, curves and files."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from spaces import Value


@dataclass(frozen=True)
class TrackedRun:
    """A trial, or the study as a whole, as trackers keep it. All numbers are finite."""

    name: str  # 'trial-0007'
    params: Mapping[str, Value]
    numbers: Mapping[str, float]  # one value each
    curves: Mapping[str, Mapping[int, float]] = field(default_factory=dict)  # name -> step, from 1 -> value
    facts: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()
    started: str = ""  # ISO 8601; empty: not known
    ended: str = ""

    @cached_property
    def digest(self) -> str:
        """A hash (hex, 64 bits) of all that it holds: a tracker that holds this one needs nothing more."""
        told = [self.name, dict(self.params), dict(self.numbers), dict(self.facts), self.started, self.ended]
        told.append({name: list(curve.items()) for name, curve in self.curves.items()})
        told.append({path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in self.files})
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:16]


class Tracker(Protocol):
    """A place that keeps runs of one study. Any of its methods may raise anything: the tracker is another's program."""

    where: str
    """Where its runs are, for people."""

    def written(self) -> Mapping[str, str]:
        """The name of each run that it holds -> its digest. One that a kill left half written is not among them."""

    def write(self, run: TrackedRun) -> None:
        """Write a run, in place of those of the same name."""


def write_new(tracker: Tracker, runs: Iterable[TrackedRun]) -> int:
    """Write the runs that the tracker does not hold as they are; returns their number.

    So it can be stopped anywhere and repeated at any time: nothing is there twice, and nothing is lost.
    """
    there = tracker.written()
    new = [run for run in runs if there.get(run.name) != run.digest]
    for run in new:
        tracker.write(run)
    return len(new)


_NO_NAME = re.compile(r"[^\w\-. /]", re.ASCII)


def plain_name(name: str) -> str:
    """A name with nothing but letters, digits and `_-. /`, which all trackers take; a user's model has any names."""
    return _NO_NAME.sub("_", name)
