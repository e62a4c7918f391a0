"""Score against what a prediction costs: time, or what stands for it, and weights."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from search.results.summary import StudySummary
from search.results.timing import milliseconds
from search.stats.evidence import cost
from search.stats.selection import CHEAPER

MILLISECONDS, MULTIPLICATIONS, WEIGHTS = "milliseconds", "multiplications", "weights"


@dataclass(frozen=True)
class Costed:
    """One complete trial."""

    number: int
    score: float  # mean over its folds
    cost: float  # above 0


@dataclass(frozen=True)
class Costs:
    """Complete trials by score and by one kind of cost."""

    kind: str  # MILLISECONDS an image, MULTIPLICATIONS an image, or WEIGHTS
    points: tuple[Costed, ...]  # best first
    front: tuple[Costed, ...]  # cheapest first: no other trial is as cheap and as good, and better in one of both
    unknown: int  # complete trials whose cost is not known


def speeds(data: StudySummary) -> Costs | None:
    """By the time of a prediction, as far as it was measured; else by multiplications. None with fewer than two points.

    The time is that of most trials only by the way, and of some not at all. It is taken if it is known for half of the
    complete trials, for the best one and for the members of the saved model.
    """
    times = milliseconds(data.preset, data.trials)
    timed = _costs(data, MILLISECONDS, times)
    needed = {data.best.number} if data.best else set()
    needed |= {number for number, _ in data.chosen.members} if data.chosen else set()
    if timed and 2 * timed.unknown <= data.compared and needed <= times.keys():
        return timed
    return _costs(data, MULTIPLICATIONS, {trial.number: cost(trial) for trial in data.trials if trial.layers})


def sizes(data: StudySummary) -> Costs | None:
    """By the number of weights; None with fewer than two points."""
    return _costs(data, WEIGHTS, {row.number: float(row.parameters) for row in data.rows if row.parameters})


def quickest_of_tied(data: StudySummary) -> int | None:
    """Of the trials that are about as good as the best, the one whose predictions take least, by `speeds`.

    None if that is not known, or if the leader of these trials takes hardly more: times are not that precise.
    """
    known = speeds(data)
    costs = {point.number: point.cost for point in known.points if point.number in data.ties} if known else {}
    if len(data.ties) < 2 or len(costs) < len(data.ties):
        return None
    leader = data.ties[0]
    quickest = min(data.ties, key=lambda number: costs[number])  # the first of equally quick ones
    return quickest if quickest == leader or costs[quickest] <= CHEAPER * costs[leader] else None


def _costs(data: StudySummary, kind: str, by_trial: Mapping[int, float]) -> Costs | None:
    ranked = [row for row in data.rows if row.rank is not None and row.score is not None]
    points = [
        Costed(row.number, row.score, by_trial[row.number])
        for row in ranked
        if row.score is not None and _usable(by_trial.get(row.number))
    ]
    if len(points) < 2:
        return None
    front: list[Costed] = []
    for point in sorted(points, key=lambda point: (point.cost, -data.ahead(point.score, 0.0), point.number)):
        if not front or data.ahead(point.score, front[-1].score) > 0:
            front.append(point)
    return Costs(kind, tuple(points), tuple(front), len(ranked) - len(points))


def _usable(cost: float | None) -> bool:
    return cost is not None and math.isfinite(cost) and cost > 0
