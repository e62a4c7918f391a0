"""`search diagnose`: what is to be diagnosed, checked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.session.prepare import prepare
from search.study.config import parse
from search.study.prepared import Prepared
from spaces.custom.file import ModelFile
from spaces.presets import FAMILIES

TRAINS = tuple(name for name, family in FAMILIES.items() if family.frozen is None)  # presets without a backbone


def prepared(
    images: Path,
    *,
    preset: str = "question",
    model: ModelFile | None = None,
    epochs: int | None = None,
    seed: int | None = None,
    groups: str | None = None,
    reading: Callable[[int, int], None] | None = None,
) -> Prepared:
    """What is to be diagnosed, checked as for a search. Raises UsageError as a search would."""
    if preset not in TRAINS:
        raise UsageError(
            f"--preset: must be {' or '.join(TRAINS)}, whose networks begin from nothing, but got {preset!r}"
        )
    values: dict[str, Any] = {"images": str(images.resolve()), "preset": preset}
    values |= {} if seed is None else {"seed": seed}
    values |= {} if groups is None else {"groups": groups}
    values |= {} if epochs is None else {"training": {"max_epochs": epochs}}
    with tempfile.TemporaryDirectory() as empty:  # where no study has begun
        return prepare(parse(values, "the command line"), Path(empty), reading, model)
