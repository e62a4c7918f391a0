"""The prediction of a model for a picture, as a value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

UNKNOWN = "unknown"  # instead of a class, for a picture that is unlike all training images


@dataclass(frozen=True)
class Prediction:
    """The prediction for one picture, or why there is none."""

    path: str  # as given, or in a folder that was given
    probabilities: tuple[float, ...] = ()  # one per class; () if the picture cannot be read
    problem: str = ""  # a sentence; empty if the picture was read
    clipped: str = ""  # a sentence if it has values above the scale of the training images; else empty
    unknown: bool = False  # whether it is unlike all training images; False where nobody asked
    stray: bool = False  # a file in a folder that was given, which is no picture by its content nor by its name

    def label(self, classes: Sequence[str]) -> str:
        """The most probable of the classes, or UNKNOWN; only of a picture that was read."""
        return UNKNOWN if self.unknown else classes[self.probabilities.index(max(self.probabilities))]
