"""How good the model is, beside what else was measured: all that belongs on one axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

import numpy as np

from search.stats.estimate import wilson
from search.stats.metrics import METRICS

if TYPE_CHECKING:
    from search.results.summary import StudySummary


class What(Enum):
    """What a score is of."""

    EXPECTED = "expected"  # of the model, on new images
    NESTED = "nested"  # of the whole procedure
    TESTED = "tested"  # of the model, on the testing images
    REFERENCE = "reference"  # of a plain method, on the folds
    START = "start"  # of trial 0, on the folds
    GUESS = "guess"


@dataclass(frozen=True)
class Standing:
    """A score of the study's metric with its 95 % interval; without an interval where none is known."""

    what: What
    value: float
    low: float | None = None
    high: float | None = None
    name: str = ""  # of a reference
    images: int = 0  # on which it was measured


EARLY = 0.5  # of the pictures: with fewer of them tested, and no model saved, an estimate would only mislead


def too_early(data: StudySummary) -> bool:
    """Whether the estimate is of a trial with few of its folds, which is not saved and may never be."""
    expected = data.estimate
    return data.chosen is None and expected is not None and expected.images < EARLY * data.searched_images


def standings(data: StudySummary) -> tuple[Standing, ...]:
    """Every score that says how good the model is: its own first, then references from the best, guessing last.

    Intervals of references and of trial 0 are Wilson's for the images in the folds, for accuracies; they were not
    selected, so their score needs no correction.
    """
    return tuple(_standings(data))


def _standings(data: StudySummary) -> Iterator[Standing]:
    if (expected := data.estimate) and not too_early(data):
        yield Standing(What.EXPECTED, expected.value, expected.low, expected.high, images=expected.images)
    if outer := data.nested:
        yield Standing(What.NESTED, outer.value, outer.low, outer.high)
    if data.chosen and (test := data.chosen.test):
        yield Standing(What.TESTED, test.value, test.low, test.high, images=test.images)
    for reference in data.references:
        if reference.score is not None and reference.name != "majority":
            yield _on_folds(data, What.REFERENCE, reference.score, reference.label)
    start = data.baseline
    if start is not None and start.score is not None and len(start.fold_scores) == data.folds:
        yield _on_folds(data, What.START, start.score)
    if np.isfinite(data.chance):
        yield Standing(What.GUESS, data.chance)


def _on_folds(data: StudySummary, what: What, score: float, name: str = "") -> Standing:
    sample_size, images = METRICS[data.metric].sample_size, data.searched_images
    counts = np.array([count for count in data.class_counts if count])
    if sample_size is None or not len(counts):
        return Standing(what, score, name=name, images=images)
    return Standing(what, score, *wilson(score, sample_size(counts)), name, images)


def disagree(data: StudySummary) -> bool:
    """Whether the testing images score clearly other than expected: their intervals have nothing in common."""
    expected, test = data.estimate, data.chosen.test if data.chosen else None
    return expected is not None and test is not None and (test.high < expected.low or test.low > expected.high)
