"""Medians of rounds in which all sides take turns, so that a busy machine slows all of them."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of `work` by a clock; wall time by default."""
    started = clock()
    work()
    return clock() - started


def interleaved(
    rounds: int, sides: Mapping[str, Callable[[], object]], clock: Callable[[], float] = time.perf_counter
) -> dict[str, float]:
    """Median seconds of each side; the sides take turns."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, work in sides.items():
            taken[name].append(seconds(work, clock))
    return {name: statistics.median(values) for name, values in taken.items()}
