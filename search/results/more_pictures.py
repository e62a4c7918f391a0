"""Whether more pictures would help, from a reference that was fitted on parts of the training images."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from search.results.stored import StoredStudy
from search.stats.learning_curve import Gain, Part, expected_gains
from search.stats.metrics import METRICS
from storage.records import ReferenceRecord


class Verdict(StrEnum):
    """What can be said."""

    HELPS = "helps"
    LITTLE = "little"
    UNSURE = "unsure"


@dataclass(frozen=True)
class CurvePoint:
    """The score with so many training images."""

    images: int  # mean over the folds
    score: float  # mean over folds and draws
    low: float  # worst and
    high: float  # best fold, as numbers
    draws: int


@dataclass(frozen=True)
class MorePictures:
    """The learning curve of a reference, and what more pictures are expected to bring."""

    method: str  # name of the reference
    points: tuple[CurvePoint, ...]  # fewest images first; the last one has all
    gains: tuple[Gain, ...]  # of more pictures than there are; empty if the reference is not clearly better than chance
    verdict: Verdict  # on twice as many


def more_pictures(stored: StoredStudy, folds: int) -> MorePictures | None:
    """The learning curve; None unless one part at least, and all images, were fitted on all folds."""
    of_parts = _by_part(stored.parts)
    curves = (_curve(stored, of_parts, method, folds) for method in sorted({part.method for part in of_parts}))
    return next((curve for curve in curves if curve), None)


def _curve(
    stored: StoredStudy, of_parts: Mapping[Part, Sequence[ReferenceRecord]], method: str, folds: int
) -> MorePictures | None:
    metric, assignment = METRICS[stored.study.metric], stored.split.assignment
    whole = _scores([record for record in stored.references if record.name == method], metric.name, folds)
    drawn: dict[int, list[list[float]]] = {}  # percent -> of each draw the scores of the folds
    for part, records in sorted(of_parts.items(), key=lambda item: (item[0].percent, item[0].draw)):
        if part.method == method and (scores := _scores(records, metric.name, folds)):
            drawn.setdefault(part.percent, []).append(scores)
    if whole is None or not drawn or folds < 2:
        return None
    searched = int((assignment >= 0).sum())
    training = searched * (1 - 1 / folds)
    curves = {percent: np.mean(draws, axis=0) for percent, draws in drawn.items()} | {100: np.array(whole)}
    points = tuple(
        CurvePoint(
            round(training * percent / 100),
            float(scores.mean()),
            float(scores.min()),
            float(scores.max()),
            len(drawn.get(percent, [whole])),
        )
        for percent, scores in curves.items()
    )
    chance = metric.chance(np.bincount(stored.labels[assignment >= 0]))
    ahead = metric.gain(curves[100] - chance)
    error = max(float(ahead.std(ddof=1)) / math.sqrt(folds), metric.error(chance, searched))
    if not ahead.mean() > 2 * error:
        return MorePictures(method, points, (), Verdict.UNSURE)
    shares = [percent / 100 for percent in drawn]
    expected = expected_gains(metric, shares, np.column_stack([*curves.values()]), searched)
    return MorePictures(method, points, expected, _verdict(expected[0], metric.scale))


def _verdict(twice: Gain, scale: float) -> Verdict:
    if not twice.is_clear(scale):
        return Verdict.UNSURE
    return Verdict.LITTLE if twice.is_little(scale) else Verdict.HELPS


def _by_part(records: Sequence[ReferenceRecord]) -> Mapping[Part, list[ReferenceRecord]]:
    found: dict[Part, list[ReferenceRecord]] = {}
    for record in records:
        if part := Part.of(record.name):
            found.setdefault(part, []).append(record)
    return found


def _scores(records: Sequence[ReferenceRecord], metric: str, folds: int) -> list[float] | None:
    """The scores of the folds in order; None unless all are known and finite."""
    by_fold = {record.fold: record.scores.get(metric, math.nan) for record in records}
    scores = [by_fold.get(fold, math.nan) for fold in range(folds)]
    return scores if all(map(math.isfinite, scores)) else None
