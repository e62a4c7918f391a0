"""What `search copy` copied."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class CopiedStudy:
    """A study that was copied, with its outer folds."""

    target: str  # folder or URL
    rows: Mapping[str, int]  # by table, of all its databases; compared on both sides
    sha256: str  # (hex) of the study's rows, the same on both sides
    next_steps: tuple[str, ...]  # commands for the copy
