"""Pre-trained networks side by side: those known here, and those of a study."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from search.results.timing import frozen, milliseconds, passes
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
    milliseconds: float | None  # an image through the backbone, in all passes of that trial, measured; None: it was not
    passes: int = 1  # 2: the mirror image too


def backbone_rows(preset: str, ranked: Sequence[TrialRecord], metric: str) -> tuple[BackboneRow, ...]:
    """The backbones of a study, best first, each by its best complete trial on frozen features; () for one or none.

    `ranked`: all trials, best first. The time is the median of all trials that pass images in the same way.
    """
    best: dict[str, tuple[TrialRecord, Params]] = {}
    for trial in ranked:
        point = frozen(preset, trial.params)
        if point is None or not {"backbone", "input_size"} <= point.keys():
            continue
        if trial.state == TrialState.COMPLETE and math.isfinite(_score(trial, metric)):
            best.setdefault(str(point["backbone"]), (trial, point))
    if len(best) < 2:
        return ()
    times = milliseconds(preset, ranked)
    return tuple(
        BackboneRow(
            name=name,
            trial=trial.number,
            score=_score(trial, metric),
            side=int(point["input_size"]),
            milliseconds=times.get(trial.number),
            passes=passes(point),
        )
        for name, (trial, point) in best.items()
    )


def _score(trial: TrialRecord, metric: str) -> float:
    score = trial.score(metric)
    return math.nan if score is None else float(score)
