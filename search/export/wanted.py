"""What is wanted of a file in another format than Keras's own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

SHORTER = ("float16", "int8")
"""How numbers can be shortened."""


@dataclass(frozen=True)
class Wanted:
    """How a model is converted."""

    quantize: str = ""  # one of SHORTER; empty: float32, as it was trained
    batch: int | None = None  # images at once; None: any number
    samples: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1, 1, 1), np.uint8))
    """Training images [images, height, width, channels], by which int8 is calibrated."""
