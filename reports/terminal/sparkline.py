"""A curve in one line of characters."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

BARS = "▁▂▃▄▅▆▇█"
_PLAIN = "_.-~=+*#"  # where the encoding has no block characters


def sparkline(points: Sequence[tuple[float, float]], wide: int, *, maximized: bool, fancy: bool) -> str:
    """`points`, (time, value) in order of time, as `wide` characters: a step at each point, the better the higher.

    Each character shows the last value at its time. Values that are all equal give a line of middle height.
    """
    bars = BARS if fancy else _PLAIN
    times, values = zip(*points, strict=True)
    low, high = min(values), max(values)
    first, span = times[0], times[-1] - times[0]
    drawn = []
    for place in range(wide):
        at = first + span * place / (wide - 1) if place < wide - 1 else times[-1]
        value = values[bisect_right(times, at) - 1]
        share = (value - low) / (high - low) if high > low else 0.5
        drawn.append(bars[round((share if maximized else 1 - share) * (len(bars) - 1))])
    return "".join(drawn)
