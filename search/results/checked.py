"""What `search verify` found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Checked:
    """One kind of thing in a study, checked."""

    what: str
    count: int
    problems: tuple[str, ...] = ()
