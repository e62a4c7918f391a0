"""`search diagnose`: one network, checked as for a search, trained, and trained again with one thing changed."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from search.commands.request import Settings, builder, page_beside
from search.commands.session import Display
from search.diagnosis.result import Diagnosed
from search.errors import UsageError
from search.session import diagnose as session
from search.session.prepare import prepare
from search.study.config import merged, parse
from spaces.presets import FAMILIES

TRAINS = tuple(name for name, family in FAMILIES.items() if family.frozen is None)  # presets without a backbone


@dataclass(frozen=True)
class DiagnoseResult:
    """Why a network does not learn, and where the page of it goes."""

    diagnosed: Diagnosed
    page: Path


def diagnose(
    images: Path,
    settings: Settings,
    *,
    model: str | None = None,
    seconds: float | None = None,
    workers: int | None = None,
    display: Display,
) -> DiagnoseResult:
    """Train a network as it is and, where it does not learn, with one thing changed after another.

    It is that of `model`, FILE.py:BUILD at its defaults, else of the preset, 'question' where none is named.
    `seconds`: after which no further change is tried. `workers` None: one a GPU, else one a core; 0: in this process.
    Raises UsageError as a search would, RunError where the network cannot be trained at all.
    """
    page, own = page_beside(images, "diagnose"), builder(model, settings.preset)
    if settings.preset not in (None, *TRAINS):
        raise UsageError(
            f"--preset: must be {' or '.join(TRAINS)}, whose networks begin from nothing, but got {settings.preset!r}"
        )
    asked = {"images": str(images.resolve()), "preset": "question"}
    config = parse(merged(asked, settings.changes), "the command line")
    with display.reading() as progress, tempfile.TemporaryDirectory() as empty:  # where no study has begun
        prepared = prepare(config, Path(empty), progress, own)
    with display.training() as watched:
        return DiagnoseResult(session.diagnose(prepared, workers=workers, seconds=seconds, watched=watched), page)
