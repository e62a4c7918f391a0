"""The protocol of a sampler, which every engine implements."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from spaces import Value
from storage.records import TrialRecord


class Exhausted(Exception):  # noqa: N818 - an end, not an error
    """There is no further point. The message tells the user why."""


class Sampler(Protocol):
    """Chooses points. Deterministic: the same calls give the same points, and `replay` replaces past calls."""

    def replay(self, trials: Sequence[TrialRecord]) -> None:
        """Load stored trials, in order of number. Called once, before any other method."""

    def ask(self, number: int, fixed: dict[str, Value] | None = None) -> dict[str, Value]:
        """The point of trial `number`, or `fixed` if that is given. Each ask is followed by `refuse` or `tell`.

        Raises Exhausted if no point is left to try.
        """

    def refuse(self, number: int) -> None:
        """Refuse the point of trial `number`: it will not be tried. The next ask for this number gives another."""

    def tell(self, trial: TrialRecord) -> None:
        """Trial `trial.number` is closed."""
