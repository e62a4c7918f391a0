"""A study as a line of `search list`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ListedStudy:
    """A study below a folder. Without a database all counts are 0; with one that cannot be read there is a problem."""

    path: str
    state: str  # 'not begun', 'running', 'idle' or 'unreadable'
    images: int = 0
    trials: int = 0
    best: float | None = None  # score of the leading complete trial
    metric: str = ""
    seconds: float = 0.0  # of all sessions
    model: bool = False  # whether a model is saved
    problem: str | None = None
