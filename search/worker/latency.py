"""How long a prediction takes. The one result of a fold run that is the machine's and not the job's."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

REPEATS = 3


def milliseconds_an_image(predict: Callable[[], object], images: int) -> float:
    """Median over a few repeats of `predict`, which is warm and takes so many images at once, in milliseconds each.

    A property of this machine, of what else it does, and of its one thread: it compares the models of one search, and
    two runs of the same job differ in it.
    """
    taken = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        predict()
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken) / images
