"""`search diagnose`: one network is trained, and trained again with one change at a time."""

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
    """Why a network does not learn, and the path of the page."""

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
    """Train a network unchanged and, if it does not learn, with one change at a time.

    The network is that of `model`, FILE.py:BUILD at its defaults, else that of the preset, by default 'question'.
    `seconds`: after them no further change is tried. `workers` None: one per GPU, else one per core; 0: in this
    process. Raises UsageError as a search would, RunError if the network cannot be trained at all.
    """
    page, own = page_beside(images, "diagnose", settings.also), builder(model, settings.preset)
    if settings.preset not in (None, *TRAINS):
        raise UsageError(
            f"--preset: must be {' or '.join(TRAINS)}, whose networks begin from nothing, but got {settings.preset!r}"
        )
    defaults = {"images": str(images.resolve()), "preset": "question"}
    config = parse(merged(defaults, settings.changes), "the command line")
    with display.reading() as progress, tempfile.TemporaryDirectory() as empty:  # a folder without a study
        prepared = prepare(config, Path(empty), progress, own)
    with display.training() as watched:
        return DiagnoseResult(session.diagnose(prepared, workers=workers, seconds=seconds, watched=watched), page)
