"""Pre-trained networks side by side: those known here, and those of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from spaces.presets import auto
from storage.records import Params, TrialRecord, TrialState


@dataclass(frozen=True)
class ListedBackbone:
    """A pre-trained network that can be used here, or could be."""

    name: str  # as `--backbone` and `[space]` take it
    title: str
    source: str | None = None  # a package or a file; None: not at hand, as all that follow
    licence: str | None = None  # of its weights
    sha256: str | None = None  # of the file of its weights
    bytes: int | None = None  # of that file
    milliseconds: float | None = None  # an image, measured here, by one thread
    missing: str | None = None  # why it is not at hand, and how to get it; None: it is


@dataclass(frozen=True)
class BackboneRow:
    """A backbone of a study by its best trial on frozen features."""

    name: str
    trial: int
    score: float  # of that trial, the mean over its folds
    side: int  # pixels to which that trial resizes images
    milliseconds: float | None  # an image through the backbone as that trial does it, measured; None: it was not


def backbone_rows(preset: str, ranked: Sequence[TrialRecord], metric: str) -> tuple[BackboneRow, ...]:
    """The backbones of a study, best first, each by its best complete trial on frozen features; () for one or none.

    `ranked`: all trials, best first. The time is the median of all trials that pass images in the same way.
    """
    points = [(trial, frozen) for trial in ranked if (frozen := _frozen(preset, trial.params)) is not None]
    best: dict[str, tuple[TrialRecord, Params]] = {}
    for trial, frozen in points:
        if trial.state == TrialState.COMPLETE and math.isfinite(_score(trial, metric)):
            best.setdefault(str(frozen["backbone"]), (trial, frozen))
    if len(best) < 2:
        return ()
    rows = []
    for name, (trial, frozen) in best.items():
        alike = [other.latency for other, point in points if _view(point) == _view(frozen)]
        measured = [latency for latency in alike if latency is not None]
        milliseconds = median(measured) if measured else None
        rows.append(BackboneRow(name, trial.number, _score(trial, metric), int(frozen["input_size"]), milliseconds))
    return tuple(rows)


def _score(trial: TrialRecord, metric: str) -> float:
    score = trial.score(metric)
    return math.nan if score is None else float(score)


def _frozen(preset: str, params: Params) -> Params | None:
    """The point as the family `frozen` knows it; None for a point of another family, or without several backbones."""
    if preset == "auto" and params.get(auto.FAMILY) == "frozen":
        params = auto.within(params)
    elif preset != "frozen":
        return None
    return params if {"backbone", "input_size"} <= params.keys() else None


def _view(frozen: Params) -> tuple[object, ...]:
    return tuple(frozen.get(name) for name in ("backbone", "input_size", "flip_average"))
