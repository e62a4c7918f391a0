"""What a sampler is: the protocol that every engine keeps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from spaces import Value
from storage.records import TrialRecord


class Exhausted(Exception):  # noqa: N818 - an end, not an error
    """There is no further point. The message says why, in words for the user."""


class Sampler(Protocol):
    """Chooses points. Deterministic: the same calls give the same points, and `replay` stands for past calls."""

    def replay(self, trials: Sequence[TrialRecord]) -> None:
        """Take over stored trials, in order of number. Called once, before anything else."""

    def ask(self, number: int, fixed: dict[str, Value] | None = None) -> dict[str, Value]:
        """The point of trial `number`; `fixed` makes it this one. Every ask is answered by `refuse` or `tell`.

        Raises Exhausted where no point is left to try.
        """

    def refuse(self, number: int) -> None:
        """The point asked for `number` will not be tried; the next ask for the same number gives another."""

    def tell(self, trial: TrialRecord) -> None:
        """Trial `trial.number` is closed."""
