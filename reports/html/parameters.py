"""Which parameters mattered: importance, single parameters, two together, all at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reports.html.parallel_coordinates import Parallel, parallel, varying
from reports.html.slices import Pair, Slice, pair, slices
from reports.wording import parameters as words
from search.results.importance import Figures, figures
from search.results.summary import StudySummary

_MAX_IMPORTANT = 12  # in the chart of importance


@dataclass(frozen=True)
class Bar:
    """The importance of one parameter. Shares are of the widest range, for drawing."""

    name: str
    share: float
    low: float
    high: float
    clear: bool
    width: float  # percent of the room, as are
    start: float  # where the range begins
    length: float  # and how long it is


@dataclass(frozen=True)
class Mattered:
    """All of the section."""

    bars: Sequence[Bar]
    importance_words: str
    no_importance: str
    slices: Sequence[Slice]
    slices_words: str
    pair: Pair | None
    pair_words: str
    parallel: Parallel | None


def mattered(data: StudySummary, weights: Figures | None = None) -> Mattered:
    """`weights`: of `figures`, which takes seconds with a thousand trials; None: they are computed."""
    weights = weights or figures(data)
    important = list(weights.importance.items())[:_MAX_IMPORTANT]
    widest = max((weights.ranges[name][1] for name, _ in important), default=0.0) or 1.0
    bars = []
    for name, share in important:
        low, high = weights.ranges[name]
        shown = [100 * value / widest for value in (share, low, high - low)]
        bars.append(Bar(name, share, low, high, name in weights.clear, *shown))
    names = varying([row for row in data.rows if row.rank is not None], weights.importance)
    together = pair(data, weights.space, names) if weights.importance else None
    return Mattered(
        bars=bars,
        importance_words=words.importance(data, weights, len(weights.importance) - len(important)),
        no_importance=weights.no_importance,
        slices=slices(data, weights.space, names),
        slices_words=words.slices(data, ordered=bool(bars), mixed=len(names) > 1),
        pair=together,
        pair_words=words.pair(data, together.trials, clear={*names[:2]} <= weights.clear) if together else "",
        parallel=parallel(data, weights.space, weights.importance),
    )
