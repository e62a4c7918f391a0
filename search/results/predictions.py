"""What a model says of a picture, as a value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Prediction:
    """What a model says of one picture, or why it was not asked."""

    path: str  # as given, or below a folder that was given
    probabilities: tuple[float, ...] = ()  # one a class; () where the picture cannot be read
    problem: str = ""  # a sentence; empty where it was read
    clipped: str = ""  # a sentence where it has values above the scale of the training images; else empty
    stray: bool = False  # it lay in a folder that was given, and is no picture by its content nor by its name
