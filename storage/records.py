"""What a study remembers, as frozen values. No database here: the store turns these into rows and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Json: TypeAlias = Any
"""A value that JSON can carry: None, bool, int, float, str, list, dict."""

Params = Mapping[str, Any]
"""One point of a space: parameter name -> int, float, str or bool. Active parameters only."""


class TrialState(StrEnum):
    """Where a trial stands. Only `RUNNING` can change."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


@dataclass(frozen=True)
class ImageRecord:
    """One image of the study, in the order of the pixel array."""

    row: int  # 0-based row in the pixel array
    path: str  # relative to the image folder, '/' between parts, always valid Unicode
    label: int  # index into StudyRecord.classes
    testing: bool  # from a testing folder: never trained on, not part of any fold
    digest: str  # SHA-256 (hex) of the decoded, upright, full-size pixels


@dataclass(frozen=True)
class StudyRecord:
    """What was asked. Everything in it is the study's identity: it never changes after `Store.create`."""

    name: str
    created: str  # ISO 8601, UTC, seconds
    seed: int  # study seed, from which every other seed is derived
    metric: str  # one of `search.stats.metrics.METRICS`
    classes: tuple[str, ...]  # class names, index = label
    image_shape: tuple[int, int, int]  # height, width, channels of the pixel array
    fingerprint: str  # SHA-256 (hex) of all pixels, labels and names
    config: Mapping[str, Json]  # the validated settings that decide results (preset, engine, sampler, …)
    space: Mapping[str, Json]  # Space.to_json() as searched
    notes: tuple[str, ...] = ()  # what a person should know of the images, a sentence each


@dataclass(frozen=True)
class Split:
    """One drawing of the folds. Drawn once, stored, never changed: pairing and resume need it."""

    repeat: int  # 0 for the search itself
    assignment: NDArray[np.int16]  # [images]: the fold that validates the image; -1: in no fold


@dataclass(frozen=True)
class LayerRecord:
    """One layer of a trial's model, for drawing it."""

    name: str
    kind: str  # Keras class name, such as 'Conv2D'
    shape: tuple[int | None, ...]  # output shape without the batch axis
    parameters: int  # trainable and not
    detail: str = ""  # what a person wants to know of it: '16 @ 5x5, relu'


@dataclass(frozen=True)
class DiagnosisRecord:
    """Why a network did not learn, as suspected from evidence."""

    symptom: str  # short and countable, such as 'stuck at chance'
    cause: str  # the likeliest, short and countable
    evidence: tuple[str, ...]  # in words: the signs, then what speaks for each cause
    change: str  # what to change
    collapsed: bool  # whether training on was in vain; False: it is only named

    @property
    def name(self) -> str:
        """Symptom and cause: that of a trial that was stopped for them."""
        return f"{self.symptom}: {self.cause}"


@dataclass(frozen=True)
class FoldRecord:
    """One fold run that ended well: the unit of commit. Unique by (trial, repeat, fold) in its study."""

    trial: int
    repeat: int
    fold: int
    seed: int
    scores: Mapping[str, float]  # each metric on the validation part, at the best epoch
    epochs: int  # epochs trained
    best_epoch: int  # 1-based epoch whose weights gave scores and probabilities
    curve: Mapping[str, tuple[float, ...]]  # per epoch: 'loss', …; names of validation begin with 'val_'
    parameters: int  # of the model
    seconds: float  # wall seconds of the fold run
    probabilities: NDArray[np.float32] | None = None
    """[validation images, classes], rows in the order of `numpy.flatnonzero(assignment == fold)`.
    None where the store was asked not to load them."""
    latency: float | None = None  # milliseconds an image to predict, on the machine that trained it; None: not measured
    diagnosis: DiagnosisRecord | None = None  # why it did not learn; None where it did


@dataclass(frozen=True)
class TrialRecord:
    """One point of the space and what is known of it."""

    number: int  # 0-based; 0 is the baseline
    params: Params
    origin: str  # 'baseline' | 'start' (a known-good point) | 'try' (of the user's list) | 'sampler'
    state: TrialState = TrialState.RUNNING
    cause: str | None = None  # of a failed or pruned trial: short and countable, such as 'out of memory'
    detail: str | None = None  # the cause in a sentence, for a person
    parameters: int | None = None  # of the model; None before it was built
    layers: tuple[LayerRecord, ...] = ()
    redraws: int = 0  # points refused as too large or tried already before this one was taken
    started: str = ""  # ISO 8601, UTC
    finished: str | None = None
    folds: tuple[FoldRecord, ...] = field(default=())  # ordered by (repeat, fold)

    def scores(self, metric: str, repeat: int = 0) -> tuple[float, ...]:
        """The metric of each finished fold of one repeat, in fold order."""
        return tuple(f.scores[metric] for f in self.folds if f.repeat == repeat)

    def score(self, metric: str, repeat: int = 0) -> float | None:
        """Mean of the metric over the finished folds of one repeat; None before the first."""
        scores = self.scores(metric, repeat)
        return float(np.mean(scores)) if scores else None

    @property
    def collapsed(self) -> bool:
        """Whether it was stopped because a fold run of it was stuck at chance."""
        names = [f.diagnosis.name for f in self.folds if f.diagnosis and f.diagnosis.collapsed]
        return self.state == TrialState.PRUNED and self.cause in names  # one that ran out of time was not stopped

    @property
    def latency(self) -> float | None:
        """Mean milliseconds an image to predict over the finished folds; None where none was measured."""
        measured = [f.latency for f in self.folds if f.latency is not None]
        return float(np.mean(measured)) if measured else None

    @property
    def seconds(self) -> float:
        """Training time of all stored folds, in seconds (folds in parallel count in full)."""
        return float(sum(f.seconds for f in self.folds))


@dataclass(frozen=True)
class ReferenceRecord:
    """A plain method, such as the majority class, on one fold of the search. Unique by (name, fold) in its study."""

    name: str  # 'majority' | 'logistic_regression' | 'linear_probe'
    fold: int
    scores: Mapping[str, float]  # each metric on the validation part
    seconds: float  # wall seconds
    probabilities: NDArray[np.float32]
    """[validation images, classes], rows in the order of `numpy.flatnonzero(assignment == fold)`."""


@dataclass(frozen=True)
class ChoiceRecord:
    """What was chosen in the end, trained on all images and saved: a model for use."""

    made: str  # ISO 8601, UTC
    trial: int  # the chosen one
    members: tuple[tuple[int, float], ...]  # (trial, weight) of each model in the file; weights add up to 1
    pool: tuple[int, ...]  # trials that members were picked from, best first
    folds: int  # fold runs stored when it was made: with more of them it is out of date
    seconds: float  # wall seconds of training on all images and saving
    probabilities: NDArray[np.float32] | None  # [testing images, classes], in the order of rows; None: there are none


@dataclass(frozen=True)
class RunRecord:
    """One session of `search run`: from its start to its end, signal or death."""

    started: str  # ISO 8601, UTC
    command: str  # as typed
    versions: Mapping[str, str]  # package -> version; 'python' and 'platform' too
    host: str
    pid: int
    seconds: float = 0.0  # monotonic seconds, as of the last commit
    outcome: str | None = None  # 'finished' | 'stopped' | 'failed'; None: still running, or died
