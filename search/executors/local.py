"""The executor with local worker processes, which stay alive between jobs."""

from __future__ import annotations

import contextlib
import math
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path

from search.executors.base import Doing, Replaced
from search.executors.child import Child
from search.executors.devices import killed_for_memory, pinned
from search.executors.limits import Limits, Watch
from search.executors.reaper import processes
from search.jobs import BundleJob, Failure, FailureCause, Job, Outcome, WorkerContext, folds_in

ENDING_SECONDS = 1.0  # for a worker whose pipe is closed to end by itself
LOOK_SECONDS = 1.0  # between two looks at workers that are busy, at least
LOOKING_SHARE = 0.005  # of a core's time that looking may take: with thousands of processes on a machine it is slow
TRIES = 2  # of a job whose worker ends, or is ended, before its outcome


class LocalProcesses:
    """Worker processes on this machine, one per slot, each with its own pipe and log file.

    They start importing TensorFlow at once, so create this before the images are read. A worker that takes more than
    `limits` in a job is ended with all it started. If a worker ends in a job, for this reason or another, the job is
    tried once more in a new one, then it fails; fold runs side by side fail at once. A worker that keeps too much
    memory after a job is replaced.
    """

    def __init__(self, slots: int, gpus: Sequence[str] = (), limits: Limits | None = None) -> None:
        """`gpus`: names for CUDA_VISIBLE_DEVICES, given to the slots in turn; empty: no pinning."""
        self.slots, self._gpus, self._limits = slots, gpus, limits or Limits()
        self._width = 1  # threads of each worker
        self._silence = 0.0  # seconds, the longest in a finished job
        self._replaced: queue.SimpleQueue[Replaced] = queue.SimpleQueue()  # and not told yet
        self._start()

    def _start(self) -> None:
        self._waiting: queue.SimpleQueue[tuple[Job, Future[Outcome]] | None] = queue.SimpleQueue()
        self._children = [Child(pinned(number, self._gpus)) for number in range(self.slots)]
        self._threads: list[threading.Thread] = []
        self._closing, self._closed = threading.Event(), threading.Event()

    def fit(self, slots: int, threads: int, limits: Limits) -> None:
        """Another number of workers, with so many threads each, from the next `prepare` on."""
        self.slots, self._width, self._limits = slots, threads, limits
        if self._threads:  # `prepare` starts all of them again
            return
        spare, self._children = self._children[slots:], self._children[:slots]
        _kill(spare)
        self._children += [Child(pinned(number, self._gpus)) for number in range(len(self._children), slots)]

    @property
    def memory(self) -> int | None:
        """See Executor."""
        return None

    @property
    def ready(self) -> bool:
        """See Executor."""
        return any(child.ready for child in self._children)

    @property
    def doing(self) -> tuple[Doing, ...]:
        """See Executor."""
        return tuple(doing for child in self._children if (doing := child.doing))

    def replaced(self) -> tuple[Replaced, ...]:
        """See Executor."""
        return tuple(self._replaced.get_nowait() for _ in range(self._replaced.qsize()))

    def prepare(self, context: WorkerContext, logs: Path) -> None:
        """See Executor."""
        if self._threads:
            self.close(kill=True)
            self._start()
        logs.mkdir(parents=True, exist_ok=True)
        for number, child in enumerate(self._children):
            child.configure(
                replace(context, threads=self._width, memory=self._limits.memory), logs / f"worker-{number}.log"
            )
            self._threads.append(threading.Thread(target=self._serve, args=(child,), daemon=True))
        self._watcher = threading.Thread(target=self._look_at_all, daemon=True)
        for thread in (*self._threads, self._watcher):
            thread.start()

    def save(self, seconds: float) -> None:
        """See Executor."""
        for child in self._children:
            child.save(seconds)

    def submit(self, job: Job) -> Future[Outcome]:
        """See Executor."""
        future: Future[Outcome] = Future()
        self._waiting.put((job, future))
        return future

    def close(self, *, kill: bool = False) -> None:
        """See Executor."""
        self._closing.set()
        with contextlib.suppress(queue.Empty):
            while item := self._waiting.get_nowait():
                item[1].cancel()
        for _ in self._threads:
            self._waiting.put(None)
        if kill:
            _kill(self._children)
        for thread in self._threads:
            thread.join()
        self._closed.set()
        _kill(self._children)

    def _look_at_all(self) -> None:
        """End workers whose jobs are to be given up, until everything is closed."""
        closed, before, pause = self._closed, time.monotonic(), LOOK_SECONDS
        while not closed.wait(pause):
            now, began = time.monotonic(), time.thread_time()
            passed, among = min(now - before, pause + LOOK_SECONDS), processes()  # more: this process was stopped
            for child in self._children:
                child.look(passed, among)
            before, pause = now, max(LOOK_SECONDS, (time.thread_time() - began) / LOOKING_SHARE)

    def _serve(self, child: Child) -> None:
        while item := self._waiting.get():
            job, future = item
            if future.set_running_or_notify_cancel():
                future.set_result(self._attempt(child, job))
                if child.memory > self._limits.memory:
                    child.reap()

    def _attempt(self, child: Child, job: Job) -> Outcome:
        cause, ends = FailureCause.WORKER_DIED, list[str]()
        limits = replace(self._limits, whole=(len(folds_in(job)) or math.inf) * self._limits.whole)
        tries = 1 if isinstance(job, BundleJob) else TRIES  # its fold runs are tried once more by themselves
        for _ in range(tries):
            watch, killed_before = Watch(limits, self._silence), killed_for_memory()
            try:
                outcome = child.do(job, watch)
            except Exception:  # noqa: BLE001 - also what a process that the worker forked wrote into its pipe
                ended = child.reap(ENDING_SECONDS)  # it is ending by itself: wait for its exit code
                if self._closing.is_set():
                    return Failure(FailureCause.STOPPED, "the search was stopped")
                cause, how = watch.given_up or (FailureCause.WORKER_DIED, ended)
                if not watch.given_up and "SIGKILL" in ended and killed_for_memory() > killed_before:
                    cause, how = FailureCause.OUT_OF_MEMORY, "was killed by the system, which had no memory left"
                ends.append(how)
                if cause == FailureCause.TOO_LONG:
                    child.forget(job)  # it gets its time once more, not more time
                if len(ends) < tries:
                    self._replaced.put(Replaced(job, how))
            else:
                if watch.given_up:  # at the moment at which it was done: its worker is ending
                    child.reap()
                watch.sign()
                self._silence = max(watch.longest, self._silence)
                return outcome
        twice = len(ends) > len(set(ends))
        how = f"{ends[0]}, twice in this job" if twice else ", and a new one ".join(ends)
        return Failure(cause, f"the worker {how}; its log is {child.log}")


def _kill(children: Sequence[Child]) -> None:
    threads = [threading.Thread(target=child.kill) for child in children]  # together: each may take seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
