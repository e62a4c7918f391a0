"""What `search export` wrote, and what a program needs to know to use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.results.agreement import Agreement
from search.results.backbones import ListedBackbone
from search.results.summary import StudySummary


@dataclass(frozen=True)
class Exported:
    """A model that was written."""

    path: Path  # of the file, or the folder of a SavedModel
    image_shape: tuple[int, int, int]  # height, width, channels of its input, whose values are 0..255
    classes: tuple[str, ...]
    summary: StudySummary  # of the study, for the model's card
    backbones: tuple[ListedBackbone, ...]  # with which the model's networks began
    format: str = "Keras"
    files: tuple[Path, ...] = ()  # all that were written, where these are more than `path`
    says: Mapping[str, Any] = field(default_factory=dict)  # the description in the file
    agreement: Agreement | None = None  # with the study's model; None for a copy of it, and for code
    missing: int = 0  # images of the study that were not there to compare

    @property
    def is_code(self) -> bool:
        """Whether it is no model, but code that trains one."""
        return self.format == "Python"

    @property
    def card(self) -> Path:
        """Where the model's card is written: beside it, `model.tflite.card.md` of `model.tflite`."""
        return self.path.with_name(f"{self.path.name}.card.md")
