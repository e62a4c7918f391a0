"""The prediction of a model for a picture, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """The prediction for one picture, or why there is none."""

    path: str  # as given, or in a folder that was given
    probabilities: tuple[float, ...] = ()  # one per class; () if the picture cannot be read
    problem: str = ""  # a sentence; empty if the picture was read
    clipped: str = ""  # a sentence if it has values above the scale of the training images; else empty
    stray: bool = False  # a file in a folder that was given, which is no picture by its content nor by its name
