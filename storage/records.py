"""What a study stores, as frozen values. The store converts these to rows of the database and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Json: TypeAlias = Any
"""A value that JSON can represent: None, bool, int, float, str, list, dict."""

Params = Mapping[str, Any]
"""One point of a space: parameter name -> int, float, str or bool. Active parameters only."""


class TrialState(StrEnum):
    """The state of a trial. Only `RUNNING` can change."""

    RUNNING = "running"
    COMPLETE = "complete"
    PRUNED = "pruned"
    FAILED = "failed"


OUT_OF_TIME = "out of time"  # cause of a pruned trial that can go on; it may be chosen by the folds that it has


class Origin(StrEnum):
    """Who proposed the point of a trial; values as stored."""

    BASELINE = "baseline"  # the default point: trial 0
    START = "start"  # a known-good point of the preset
    TRY = "try"  # of the user's list
    SAMPLER = "sampler"
    SMALLER = "smaller"  # a trial that needed too much memory, with half the batch
    EXPLAIN = "explain"  # between two trials of a search; in a database of its own, never in that of a search


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
    """The identity of a study. It never changes after `Store.create`."""

    name: str
    created: str  # ISO 8601, UTC, seconds
    seed: int  # every other seed is derived from it
    metric: str  # one of `search.stats.metrics.METRICS`
    classes: tuple[str, ...]  # class names, index = label
    image_shape: tuple[int, int, int]  # height, width, channels of the pixel array
    fingerprint: str  # SHA-256 (hex) of all pixels, labels and names
    config: Mapping[str, Json]  # the validated settings that results depend on (preset, engine, sampler, …)
    space: Mapping[str, Json]  # Space.to_json() of the space that is searched
    notes: tuple[str, ...] = ()  # sentences about the images


@dataclass(frozen=True)
class Split:
    """One division into folds. It is drawn once and never changes, since pairing and resuming depend on it."""

    repeat: int  # 0 for the search itself
    assignment: NDArray[np.int16]  # [images]: the fold that validates the image; -1: in no fold


@dataclass(frozen=True)
class LayerRecord:
    """One layer of a trial's model, for drawing it."""

    name: str
    kind: str  # Keras class name, such as 'Conv2D'
    shape: tuple[int | None, ...]  # output shape without the batch axis
    parameters: int  # trainable and non-trainable
    detail: str = ""  # settings for people: '16 @ 5x5, relu'


@dataclass(frozen=True)
class DiagnosisRecord:
    """Why a network probably did not learn."""

    symptom: str  # one of a few names, such as 'stuck at chance'
    cause: str  # the name of the likeliest
    evidence: tuple[str, ...]  # sentences: the signs, then the evidence of each cause
    change: str  # what to change
    collapsed: bool  # whether more training was useless, so that the trial was stopped

    @property
    def name(self) -> str:
        """Symptom and cause; also the cause of a trial that was stopped for them."""
        return f"{self.symptom}: {self.cause}"


@dataclass(frozen=True)
class FoldRecord:
    """One complete fold run, the unit of storage. Unique by (trial, repeat, fold) in its study."""

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
    None if the store did not load them."""
    latency: float | None = None  # milliseconds per image to predict, on the machine of training; None: not measured
    diagnosis: DiagnosisRecord | None = None  # why it did not learn; None if it did


@dataclass(frozen=True)
class TrialRecord:
    """One point of the space, and its results."""

    number: int  # 0-based; 0 is the baseline
    params: Params
    origin: Origin
    state: TrialState = TrialState.RUNNING
    cause: str | None = None  # of a failed or pruned trial: one of a few names, such as 'out of memory'
    detail: str | None = None  # the cause in a sentence, for people
    parameters: int | None = None  # of the model; None before it was built
    layers: tuple[LayerRecord, ...] = ()
    redraws: int = 0  # number of points refused before this one, as too large or already tried
    started: str = ""  # ISO 8601, UTC
    finished: str | None = None
    folds: tuple[FoldRecord, ...] = field(default=())  # ordered by (repeat, fold)

    def scores(self, metric: str, repeat: int = 0) -> tuple[float, ...]:
        """The metric of each finished fold of one repeat, in fold order."""
        return tuple(f.scores[metric] for f in self.folds if f.repeat == repeat)

    def score(self, metric: str, repeat: int = 0) -> float | None:
        """Mean of the metric over the finished folds of one repeat; None before the first."""
        scores = self.scores(metric, repeat)
        return _mean(scores) if scores else None

    @property
    def collapsed(self) -> bool:
        """Whether it was stopped because one of its fold runs was stuck at chance."""
        causes = [f.diagnosis.name for f in self.folds if f.diagnosis and f.diagnosis.collapsed]
        return self.state == TrialState.PRUNED and self.cause in causes  # it may also have run out of time

    @property
    def latency(self) -> float | None:
        """Mean milliseconds per image to predict, over the finished folds; None if it was not measured."""
        measured = [f.latency for f in self.folds if f.latency is not None]
        return float(np.mean(measured)) if measured else None

    @property
    def seconds(self) -> float:
        """Sum of the training times of all stored folds, in seconds, even if they were trained in parallel."""
        return float(sum(f.seconds for f in self.folds))


def _mean(scores: Sequence[float]) -> float:
    """As `numpy.mean`, to the last bit: below eight values it adds one after another.

    It takes seven times as long, and ranking asks for the mean of every trial.
    """
    if len(scores) >= 8:
        return float(np.mean(scores))
    total = 0.0
    for score in scores:
        total += score
    return total / len(scores)


@dataclass(frozen=True)
class ReferenceRecord:
    """A plain method, such as the majority class, on one fold of the search. Unique by (name, fold) in its study."""

    name: str  # 'majority' | 'logistic_regression' | 'linear_probe'; on a part of the images, 'linear_probe@25/0'
    fold: int
    scores: Mapping[str, float]  # each metric on the validation part
    seconds: float  # wall seconds
    probabilities: NDArray[np.float32]
    """[validation images, classes], rows in the order of `numpy.flatnonzero(assignment == fold)`."""


@dataclass(frozen=True)
class ChoiceRecord:
    """The choice at the end of a session, whose model was trained on all images and saved."""

    made: str  # ISO 8601, UTC
    trial: int  # the chosen one
    members: tuple[tuple[int, float], ...]  # (trial, weight) of each model in the file; weights add up to 1
    pool: tuple[int, ...]  # trials from which members were selected, best first
    folds: int  # number of fold runs when it was made; if there are more now, it is out of date
    seconds: float  # wall seconds of training on all images and saving
    probabilities: NDArray[np.float32] | None
    """[testing images, classes] in the order of rows; NaN where there was no time. None: there are no such images."""
    left_out: tuple[int | None, ...] = ()
    """Of each member the fold without whose images it was trained; None: on all images. Empty: all members on all."""

    @property
    def tested(self) -> NDArray[np.bool_]:
        """[testing images]: whether the saved model predicted them. Empty without testing images."""
        rows = np.zeros((0, 1)) if self.probabilities is None else self.probabilities
        return np.asarray(~np.isnan(rows).any(axis=1))


@dataclass(frozen=True)
class RunRecord:
    """One session of `search run`, until it ended, was stopped or was killed."""

    started: str  # ISO 8601, UTC
    command: str  # as typed
    versions: Mapping[str, str]  # package -> version; 'python' and 'platform' too
    host: str
    pid: int
    seconds: float = 0.0  # monotonic seconds, as of the last commit
    outcome: str | None = None  # 'finished' | 'stopped' | 'failed'; None: still running, or killed
