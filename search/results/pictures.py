"""Small versions of the images that a report shows, as a value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from search.results.gradcam import Looks
from search.results.labels import shown
from search.results.summary import StudySummary


@dataclass(frozen=True)
class Pictures:
    """What is known of the pixels of the images in a report."""

    small: Mapping[int, NDArray[np.uint8]] = field(default_factory=dict)
    """Row of the study -> [height, width, 1 or 3]; without images that are gone or changed."""
    missing: str = ""  # a sentence on images that are not in `small`; empty if all are
    looks: Looks = field(default_factory=Looks)  # where the saved model looks in them


def rows_shown(data: StudySummary) -> tuple[int, ...]:
    """The rows of the study whose images a report shows, each once, those that matter most first."""
    suspects = (suspect.row for suspect in shown(data.suspects))
    return tuple(dict.fromkeys([*suspects, *(example.row for example in data.telling.examples)]))
