"""All stored records that a summary is made from, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.results.nested import Nested
from storage.records import ChoiceRecord, ImageRecord, ReferenceRecord, RunRecord, Split, StudyRecord, TrialRecord

ByFold: TypeAlias = Mapping[int, NDArray[np.floating[Any]]]
"""By fold, probabilities [images of the fold, classes] from a model that did not train on them.

The rows of a fold belong to `flatnonzero(split.assignment == fold)`: the order that the records promise.
"""


@dataclass(frozen=True)
class StoredStudy:
    """What a study's database holds, and how things are with the study now."""

    study: StudyRecord
    images: tuple[ImageRecord, ...]
    split: Split  # of the search itself
    trials: tuple[TrialRecord, ...]
    runs: tuple[RunRecord, ...] = ()  # oldest first
    references: tuple[ReferenceRecord, ...] = ()
    choices: tuple[ChoiceRecord, ...] = ()  # oldest first
    best: ByFold = field(default_factory=dict)  # of the best trial
    leading: Mapping[int, ByFold] = field(
        default_factory=dict
    )  # by number, of the trials that the best is the first of
    pool: Mapping[int, ByFold] = field(default_factory=dict)  # by number, of those in the pool of the last choice
    nested: Nested | None = None  # of the outer folds beside it
    searching: bool = False  # a process is at work on it
    outdated: bool = False  # the file of the last choice is of an earlier release

    @property
    def labels(self) -> NDArray[np.int64]:
        """[images]: the class of each."""
        return np.array([image.label for image in self.images], dtype=np.int64)

    @property
    def choice(self) -> ChoiceRecord | None:
        """The last one."""
        return self.choices[-1] if self.choices else None
