"""What a tracker holds of a study, as a plain value: the result of `search log`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Logged:
    """A study in a tracker."""

    study: str
    tracker: str
    where: str  # for people
    runs: int
    new: int  # of them, those that were written just now
