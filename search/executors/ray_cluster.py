"""The executor on a Ray cluster: one worker per core or GPU of each node; nodes may come and go.

Ray starts the slots, moves data, and says when a node is lost. Nothing else is left to it: a worker is supervised on
its node by `LocalProcesses`, and a job that is lost with its node is tried once more by our own rule, as Ray's retries
are off. https://docs.ray.io/en/latest/ray-core/actors.html.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import queue
import signal
import socket
import threading
import uuid
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.executors.base import Cluster, Doing, Replaced
from search.executors.local import TRIES
from search.executors.parcel import Item, Shelf, items_of_context, reads, writes
from search.executors.ray_node import Answer, Slot, sweep, versions
from search.files import no_links, replacing
from search.jobs import Failure, FailureCause, Job, Outcome, WorkerContext
from search.text import installing

TENDING_SECONDS = 2.0  # between two looks at which nodes there are
STARTING_SECONDS = 120.0  # for the first slot to answer
KNOCKING_SECONDS = 5.0  # for a cluster to take a connection
INSTALL = installing("cluster")
STOPPED = Failure(FailureCause.STOPPED, "the search was stopped")
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DEDUP_LOGS": "0", "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}


@dataclass
class _Remote:
    """A slot of a node, as seen from here."""

    node: str  # Ray's id of it
    name: str  # for people, and of its log
    memory: int  # bytes that a worker there may take; 0: not known
    actor: Any
    thread: threading.Thread | None = None
    job: Job | None = None  # what it does now


@dataclass
class _Waiting:
    job: Job
    future: Future[Outcome]
    lost: int = 0  # how often it was lost with its node


@dataclass(frozen=True)
class _Work:
    """What all slots of a session need."""

    context: WorkerContext
    items: tuple[Item, ...]
    logs: Path


@dataclass
class RayCluster:
    """Slots on the nodes of a cluster, each a process of its own that holds one supervised worker."""

    cluster: Cluster
    fold_limit: float  # seconds that a fold run may take; infinite: as long as it gets on
    least: int  # bytes that a worker may always keep
    _remotes: list[_Remote] = field(default_factory=list)
    _work: _Work | None = None

    def __post_init__(self) -> None:
        """Connect. Raises UsageError where there is no such cluster, or its nodes have other versions."""
        self._ray, self._connected_here = _connected(self.cluster.address, self.cluster.workers)
        self._replaced: queue.SimpleQueue[Replaced] = queue.SimpleQueue()
        self._shelf = Shelf(self._ray.put)
        self._changing = threading.Lock()
        self._begin()
        self._check()

    def _begin(self) -> None:
        self._session, self._numbers = uuid.uuid4().hex, itertools.count()
        self._waiting: queue.SimpleQueue[_Waiting | None] = queue.SimpleQueue()
        self._closing, self._any_ready = threading.Event(), threading.Event()
        self._failed: Counter[str] = Counter()  # by node, slots that could not begin
        self._tending: threading.Thread | None = None
        self._tend()

    # See Executor

    @property
    def slots(self) -> int:
        """See Executor; at least 1, also while no node is left: then jobs wait for one."""
        return max(1, len(self._remotes))

    @property
    def memory(self) -> int | None:
        """See Executor: on the node that has least."""
        return min((remote.memory for remote in [*self._remotes] if remote.memory), default=None)

    @property
    def ready(self) -> bool:
        """See Executor."""
        return self._any_ready.is_set()

    @property
    def doing(self) -> tuple[Doing, ...]:
        """See Executor; how far a job is stays on its node."""
        return tuple(Doing(job) for remote in [*self._remotes] if (job := remote.job))

    def replaced(self) -> tuple[Replaced, ...]:
        """See Executor."""
        return tuple(self._replaced.get_nowait() for _ in range(self._replaced.qsize()))

    def prepare(self, context: WorkerContext, logs: Path) -> None:
        """See Executor."""
        if self._work:
            self.close(kill=True)
            self._begin()
        logs.mkdir(parents=True, exist_ok=True)
        self._work = _Work(context, items_of_context(context, self._shelf), logs)
        with self._changing:
            for remote in self._remotes:
                self._serve(remote)
        self._tending = threading.Thread(target=self._tend_on, daemon=True)
        self._tending.start()

    def save(self, seconds: float) -> None:
        """See Executor; on a cluster the state of a fold run is not stored."""

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        future: Future[Outcome] = Future()
        self._waiting.put(_Waiting(job, future))
        return future

    def close(self, *, kill: bool = False) -> None:
        """See Executor."""
        self._closing.set()
        if self._tending:
            self._tending.join()
        with contextlib.suppress(queue.Empty):
            while item := self._waiting.get_nowait():
                if not item.future.cancel():  # it was lost with its node
                    item.future.set_result(STOPPED)
        with self._changing:
            remotes = [*self._remotes]
            self._remotes.clear()
        for _ in remotes:
            self._waiting.put(None)
        if not kill:
            for remote in remotes:
                if remote.thread:
                    remote.thread.join()
        for remote in remotes:
            self._ray.kill(remote.actor)
        for remote in remotes:
            if remote.thread:
                remote.thread.join()
        self._sweep({remote.node for remote in remotes})
        self._work = None

    def leave(self) -> None:
        """Disconnect, after `close`; a cluster that was started here ends."""
        if self._connected_here:
            self._ray.shutdown()

    # Nodes

    def _tend_on(self) -> None:
        """Start slots on nodes that come, until everything is closed."""
        while not self._closing.wait(TENDING_SECONDS):
            with contextlib.suppress(Exception):  # the head of the cluster may be away for a while
                self._tend()

    def _tend(self) -> None:
        for node in self._ray.nodes():
            with self._changing:
                if node["Alive"] and self._failed[node["NodeID"]] < TRIES:
                    self._settle(node["NodeID"], node["NodeManagerHostname"], node["Resources"])

    def _settle(self, node: str, host: str, resources: Mapping[str, float]) -> None:
        """Start the slots of a node that it lacks; at most as many slots in total as the user wants."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        count, share = slots_of(resources, self.cluster.per_gpu)
        lacking = count - sum(remote.node == node for remote in self._remotes)
        most = lacking if self.cluster.workers is None else self.cluster.workers - len(self._remotes)
        slot = self._ray.remote(Slot).options(
            max_restarts=0,
            max_task_retries=0,
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
            **share,
        )
        for _ in range(min(lacking, most)):
            actor = slot.remote(self._session, count, self.fold_limit, self.least)
            memory = int(resources.get("memory", 0)) // count
            remote = _Remote(node, f"{host}-{next(self._numbers)}", memory, actor)
            self._remotes.append(remote)
            if self._work:
                self._serve(remote)

    def _check(self) -> None:
        """Raises UsageError without a slot, or where a node starts none, or has other versions."""
        if not self._remotes:
            raise UsageError("--executor ray: the cluster has no core or GPU; `ray status` shows what it has")
        for remote in {remote.node: remote for remote in self._remotes}.values():
            if problem := self._problem(remote):
                self.close(kill=True)
                raise UsageError(f"--executor ray: node {remote.name} {problem}")

    def _problem(self, remote: _Remote) -> str | None:
        """Why a node cannot take part; None if it can."""
        try:
            theirs = self._ray.get(remote.actor.versions.remote(), timeout=STARTING_SECONDS)
        except Exception as error:  # noqa: BLE001 - of Ray, or of the node
            return f"starts no worker: {_first_line(error)}; smallsearch must be installed there too: {INSTALL}"
        others = [
            f"{name} {theirs.get(name)}, not {mine}" for name, mine in versions().items() if theirs.get(name) != mine
        ]
        return f"has {'; '.join(others)}: results would differ; install the same versions" if others else None

    def _sweep(self, nodes: set[str]) -> None:
        """Remove what this session left on the nodes."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        task = self._ray.remote(sweep)
        alive = {node["NodeID"] for node in self._ray.nodes() if node["Alive"]}
        refs = [
            task.options(
                num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)
            ).remote(self._session)
            for node in nodes & alive
        ]
        self._ray.wait(refs, num_returns=len(refs), timeout=10.0) if refs else None

    # Jobs

    def _serve(self, remote: _Remote) -> None:
        assert self._work  # noqa: S101 - prepared
        remote.thread = threading.Thread(target=self._serving, args=(remote, self._work), daemon=True)
        remote.thread.start()

    def _serving(self, remote: _Remote, work: _Work) -> None:
        """Give jobs to a slot until it is lost, or everything is closed."""
        try:
            problem = self._problem(remote)
            if not problem:
                self._ray.get(remote.actor.prepare.remote(work.context, work.items))
        except Exception as error:  # noqa: BLE001 - of Ray, or of the node
            problem = f"cannot begin: {_first_line(error)}"
        if problem:
            self._failed[remote.node] += 1
            self._lose(remote, problem, work)
            return
        self._any_ready.set()
        while item := self._waiting.get():
            if not item.lost and not item.future.set_running_or_notify_cancel():
                continue
            remote.job = item.job
            try:
                outcome = self._done(remote, item.job, work)
            except Exception as error:  # noqa: BLE001 - of Ray, or of the node
                self._again(item, error)
                self._lose(remote, f"is lost: {_first_line(error)}", work)
                return
            finally:
                remote.job = None
            item.future.set_result(outcome)

    def _done(self, remote: _Remote, job: Job, work: _Work) -> Outcome:
        log = work.logs / f"{remote.name}.log"
        items = [self._shelf.item(path) for path in reads(job)]
        answer: Answer = self._ray.get(remote.actor.do.remote(job, items, str(log)))
        for how in answer.replaced:
            self._replaced.put(Replaced(job, f"on {remote.name} {how}"))
        _append(log, answer.log)
        target = writes(job)
        if target and answer.written is not None:
            target.parent.mkdir(parents=True, exist_ok=True)
            with replacing(target) as partial:
                partial.write_bytes(answer.written)
        return answer.outcome

    def _again(self, item: _Waiting, error: Exception) -> None:
        """Try a job that was lost with its slot once more, or let it fail."""
        item.lost += 1
        if self._closing.is_set():
            item.future.set_result(STOPPED)
        elif item.lost < TRIES:
            self._replaced.put(Replaced(item.job, "was lost with its node"))
            self._waiting.put(item)
        else:
            detail = f"the worker was lost with its node, twice in this job: {_first_line(error)}"
            item.future.set_result(Failure(FailureCause.WORKER_DIED, detail))

    def _lose(self, remote: _Remote, why: str, work: _Work) -> None:
        with self._changing:
            if remote in self._remotes:
                self._remotes.remove(remote)
        if not self._closing.is_set():
            _append(work.logs / f"{remote.name}.log", f"{remote.name} {why}\n".encode())
            with contextlib.suppress(Exception):
                self._ray.kill(remote.actor)


def slots_of(resources: Mapping[str, float], per_gpu: int = 1) -> tuple[int, dict[str, float]]:
    """(slots of a node, what of its resources each takes): one per core; with GPUs `per_gpu` for each GPU instead."""
    gpus, cores = int(resources.get("GPU", 0)), int(resources.get("CPU", 0))
    if gpus:
        slots = gpus * per_gpu
        return slots, {"num_gpus": 1 / per_gpu, "num_cpus": min(1.0, cores / slots)}
    return cores, {"num_cpus": 1}


def slots_there(cluster: Cluster) -> tuple[int, int | None]:
    """(`slots`, `memory`) that `RayCluster` would have now. Raises UsageError where there is no such cluster."""
    ray, connected_here = _connected(cluster.address, cluster.workers)
    try:
        alive = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    finally:
        if connected_here:
            ray.shutdown()
    counts = [slots_of(resources, cluster.per_gpu)[0] for resources in alive]
    memory = [int(resources.get("memory", 0)) // count for resources, count in zip(alive, counts, strict=True) if count]
    slots = sum(counts) if cluster.workers is None else min(sum(counts), cluster.workers)
    return max(1, slots), min(filter(None, memory), default=None)


def _connected(address: str | None, cores: int | None) -> tuple[Any, bool]:
    """(the module `ray`, whether it was connected here): to the cluster at `address`, else to one started for this.

    Raises UsageError.
    """
    os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
    try:
        import ray
    except ImportError:
        raise UsageError(f"--executor ray needs Ray; install it with: {INSTALL}") from None
    if address:
        _knock(address)
    if ray.is_initialized():  # a program that uses the Python interface has connected already
        return ray, False
    own: dict[str, Any] = {} if address else {"num_cpus": cores, "_node_ip_address": "127.0.0.1"}
    before = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(
            address=address or "local", include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR, **own
        )
    except Exception as error:
        where = f"there is no Ray cluster at {address}" if address else "Ray cannot be started here"
        raise UsageError(f"--executor ray: {where}: {_first_line(error)}") from error
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray sets one that ends the process at once
    return ray, True


def _knock(address: str) -> None:
    """Raises UsageError where nobody listens: Ray itself would wait for minutes. Not for 'auto' and 'ray://…'."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "://" not in address:
        try:
            socket.create_connection((host, int(port)), KNOCKING_SECONDS).close()
        except (OSError, OverflowError) as error:
            raise UsageError(
                f"--executor ray: there is no Ray cluster at {address}: {error}; `ray status` on its head says where "
                f"it is, and `ray start --head` starts one"
            ) from error


def _append(log: Path, content: bytes) -> None:
    if content:
        with contextlib.suppress(OSError), open(log, "ab", opener=no_links) as file:
            file.write(content)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if "Traceback" in str(error) else lines[0]).strip() if lines else type(error).__name__
