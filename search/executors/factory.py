"""Opens the executor for a number of workers."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

from search.executors.base import Cluster, Executor
from search.executors.devices import default_workers, memory_for_each, this_machine
from search.executors.in_process import InProcess
from search.executors.limits import Limits
from search.executors.local import LocalProcesses
from search.executors.workers import Machine, Need, Workers, choose

MIN_TO_REPLACE = 2 * 2**30  # bytes that a worker may always keep: TensorFlow and a few graphs need half of it


@contextlib.contextmanager
def open_executor(
    workers: int | None, fold_limit: float | None = None, cluster: Cluster | None = None
) -> Iterator[Executor]:
    """The executor for this many workers. They start to import TensorFlow at once, and end with the context.

    None: one per GPU, else one per core, until `fit`; 0: in this process, where nobody sees that a job hangs.
    `fold_limit`: seconds that a fold run may take; None: as long as it gets on. `cluster`: where jobs run instead, with
    its own number of workers. Raises UsageError if it is not there.
    """
    whole = math.inf if fold_limit is None else fold_limit
    if cluster:
        with _on_cluster(cluster, whole) as there:
            yield there
        return
    slots, gpus = default_workers()
    slots = workers or slots
    executor = InProcess() if workers == 0 else LocalProcesses(slots, gpus, _limits(slots, whole))
    try:
        yield executor
    finally:
        executor.close(kill=True)


def fit(
    executor: Executor, need: Need, workers: int | None, fold_limit: float | None = None, machine: Machine | None = None
) -> str:
    """Choose the workers of `open_executor` by what fold runs need, unless the user asked for a number of them.

    To be called before `Executor.prepare`. `workers`, `fold_limit`: as in `open_executor`; `machine`: None: this one.
    Returns which there are, and why, in one line for people.
    """
    if workers == 0:
        return "no workers: fold runs are trained in this process, as asked for"
    if not isinstance(executor, LocalProcesses):
        return Workers(executor.slots, 1, "on the nodes of the cluster").words
    if workers:
        return Workers(workers, 1, "as asked for").words
    chosen = choose(machine or this_machine(), need)
    executor.fit(chosen.number, chosen.threads, _limits(chosen.number, math.inf if fold_limit is None else fold_limit))
    return chosen.words


def _limits(slots: int, whole: float) -> Limits:
    return Limits(whole=whole, memory=max(MIN_TO_REPLACE, memory_for_each(slots)))


def slots_of_cluster(cluster: Cluster) -> tuple[int, int | None]:
    """`slots` and `memory` of an Executor on a cluster. Starts no worker. Raises UsageError if it is not there."""
    from search.executors.ray_cluster import slots_there

    return slots_there(cluster)


@contextlib.contextmanager
def _on_cluster(cluster: Cluster, whole: float) -> Iterator[Executor]:
    from search.executors.ray_cluster import RayCluster

    executor = RayCluster(cluster, whole, MIN_TO_REPLACE)
    try:
        yield executor
    finally:
        executor.close(kill=True)
        executor.leave()
