"""Opens the executor for a number of workers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

from search.executors.base import Cluster, Executor
from search.executors.devices import default_workers, memory_for_each
from search.executors.in_process import InProcess
from search.executors.local import LocalProcesses
from search.executors.watch import Limits

MIN_TO_REPLACE = 2 * 2**30  # bytes that a worker may always keep: TensorFlow and a few graphs need half of it


@contextlib.contextmanager
def open_executor(
    workers: int | None, fold_limit: float | None = None, cluster: Cluster | None = None
) -> Iterator[Executor]:
    """The executor for this many workers. They start to import TensorFlow at once, and end with the context.

    None: one per GPU, else one per core; 0: in this process, where nobody sees that a job hangs. `fold_limit`: seconds
    that a fold run may take; None: as long as it gets on. `cluster`: where jobs run instead, with its own number of
    workers. Raises UsageError if it is not there.
    """
    whole = math.inf if fold_limit is None else fold_limit
    if cluster:
        with _on_cluster(cluster, whole) as there:
            yield there
        return
    slots, gpus = default_workers()
    slots = workers or slots
    limits = Limits(whole=whole, memory=max(MIN_TO_REPLACE, memory_for_each(slots)))
    executor = InProcess() if workers == 0 else LocalProcesses(slots, gpus, limits)
    try:
        yield executor
    finally:
        executor.close(kill=True)


@contextlib.contextmanager
def _on_cluster(cluster: Cluster, whole: float) -> Iterator[Executor]:
    from search.executors.ray_cluster import RayCluster

    executor = RayCluster(cluster, whole, MIN_TO_REPLACE)
    try:
        yield executor
    finally:
        executor.close(kill=True)
        executor.leave()
