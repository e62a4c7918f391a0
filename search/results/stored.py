"""All stored records from which a summary is computed, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.results.explained import Explanation
from search.results.nested import Nested
from search.stats.evidence import Evidence
from search.stats.selection import Wish
from storage.records import ChoiceRecord, ImageRecord, ReferenceRecord, RunRecord, Split, StudyRecord, TrialRecord

ByFold: TypeAlias = Mapping[int, NDArray[np.floating[Any]]]
"""Fold -> probabilities [images of the fold, classes] from the model that was not trained on them.

The rows of a fold belong to the images `flatnonzero(split.assignment == fold)`, in this order.
"""


@dataclass(frozen=True)
class StoredStudy:
    """The records of a study's database, and the state of the study now."""

    study: StudyRecord
    images: tuple[ImageRecord, ...]
    split: Split  # of the search itself
    trials: tuple[TrialRecord, ...]
    runs: tuple[RunRecord, ...] = ()  # oldest first
    references: tuple[ReferenceRecord, ...] = ()
    parts: tuple[ReferenceRecord, ...] = ()  # references on parts of the training images, for the learning curve
    choices: tuple[ChoiceRecord, ...] = ()  # oldest first
    best: ByFold = field(default_factory=dict)  # of the best trial
    evidence: Evidence | None = None  # of all comparable trials, without folds that only confirm
    leading: tuple[tuple[Split, tuple[ByFold, ...]], ...] = ()  # divisions into folds, with the best trials of each
    confirmed: Evidence | None = None  # with them, as the choice sees it; None where no trial was trained again
    wish: Wish = field(default_factory=Wish)  # of the saved model
    nested: Nested | None = None  # from its outer folds
    explanation: Explanation | None = None  # the one that was asked for last
    notes: tuple[str, ...] = ()  # on what could not be read
    searching: bool = False  # whether a process holds the study
    outdated: bool = False  # whether the model file of the last choice was made by an earlier release
    missing: bool = False  # whether that file is not there
    has_settings: bool = True  # whether there is a study.toml, which what trains needs

    @property
    def labels(self) -> NDArray[np.int64]:
        """[images]: the class of each."""
        return np.array([image.label for image in self.images], dtype=np.int64)

    @property
    def choice(self) -> ChoiceRecord | None:
        """The last choice."""
        return self.choices[-1] if self.choices else None

    @property
    def members(self) -> tuple[tuple[int, float], ...]:
        """(trial, weight) of the members of the saved model, each trial once; empty if there is no model."""
        weights: dict[int, float] = {}
        for number, weight in self.choice.members if self.choice else ():
            weights[number] = weights.get(number, 0.0) + weight
        return tuple(weights.items())
