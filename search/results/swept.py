"""The studies of a sweep as one table. Pure."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class SweptStudy:
    """One study of a sweep, as far as it is. Scores are in the study's metric; None: not known yet."""

    data: str
    preset: str
    seed: int
    path: str  # its folder
    done: bool  # whether its budget is used up and its model saved
    metric: str = ""
    trials: int = 0
    seconds: float = 0.0  # of all its sessions
    score: float | None = None  # that its saved model is expected to have on new pictures
    low: float | None = None  # of the 95 % interval of that
    high: float | None = None
    tested: float | None = None  # the score on testing images; None if there are none
    problem: str | None = None  # why it could not be searched, or read


@dataclass(frozen=True)
class SweptRow:
    """A data set and a preset over all seeds. Means are over the studies that are done; None if none is."""

    data: str
    preset: str
    done: int
    studies: int
    metric: str = ""
    score: float | None = None  # mean of the expected scores
    low: float | None = None  # mean of the limits of the studies' 95 % intervals: of other pictures
    high: float | None = None  # more seeds do not make it narrower, because all are of the same pictures
    spread: float | None = None  # sample standard deviation over seeds; None with fewer than two
    tested: float | None = None  # mean of the scores on testing images
    seconds: float = 0.0  # of all studies, those that are not done too


@dataclass(frozen=True)
class Sweep:
    """A sweep, as far as it is."""

    studies: tuple[SweptStudy, ...]  # in the order in which they are searched
    rows: tuple[SweptRow, ...]  # by data set, then preset


def swept(studies: Sequence[SweptStudy]) -> Sweep:
    """The table of these studies."""
    cells: dict[tuple[str, str], list[SweptStudy]] = {}
    for study in studies:
        cells.setdefault((study.data, study.preset), []).append(study)
    rows = [_row(data, preset, of) for (data, preset), of in sorted(cells.items(), key=lambda cell: cell[0][0])]
    return Sweep(tuple(studies), tuple(rows))


def _row(data: str, preset: str, studies: Sequence[SweptStudy]) -> SweptRow:
    done = [study for study in studies if study.done and study.score is not None]
    scores = [study.score for study in done if study.score is not None]
    return SweptRow(
        data,
        preset,
        len(done),
        len(studies),
        metric=done[0].metric if done else "",
        score=_mean(scores),
        low=_mean([study.low for study in done if study.low is not None]),
        high=_mean([study.high for study in done if study.high is not None]),
        spread=statistics.stdev(scores) if len(scores) > 1 else None,
        tested=_mean([study.tested for study in done if study.tested is not None]),
        seconds=sum(study.seconds for study in studies),
    )


def _mean(values: Sequence[float]) -> float | None:
    return statistics.fmean(values) if values else None
