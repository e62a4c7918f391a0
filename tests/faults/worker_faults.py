"""Faults of a worker: killed, crashed, hung, stopped, eating memory, leaving processes, and losses that are no numbers.

A fault that strikes once costs a fold run that is made again in a new worker, so the search ends with the same rows.
"""

from __future__ import annotations

import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from storage import Store
from tests.commands import table, trials_of, workers_of
from tests.faults.place import Place, Random, Tried, while_running, wrong_of
from tests.faults.warm import Started
from tests.warm import Hook

MEMORY = 1.2 * 2**30  # bytes that a worker may keep here, so that one which eats memory does no harm
PIECE = 2**26  # bytes
ENOUGH = 3 * 2**30  # bytes: more is never needed to be ended
BROKEN = 2  # the trial whose loss is no number


def signalled(number: signal.Signals) -> Random:
    """A signal to the worker at a random time."""

    def tried(place: Place, study: Path, chance: random.Random) -> Tried:
        def disturb(_: Started) -> None:
            time.sleep(chance.uniform(0, 0.6 * place.lasts))
            for worker in workers_of(study)[-1:]:
                with suppress(ProcessLookupError):
                    os.kill(worker, number)

        return while_running(place, study, disturb)

    return tried


def in_a_fold(act: Callable[[], object]) -> Random:
    """What a worker does once instead of a fold run, at a random one of its first."""

    def tried(place: Place, study: Path, chance: random.Random) -> Tried:
        once = study.with_name(f"{study.name}-once")
        study.parent.mkdir(parents=True, exist_ok=True)
        once.touch()
        hook = at_fold(chance.randrange(1, 6), once, act)
        tried = while_running(
            place, study, lambda _: None, worker_hook=hook, command_hook=less_memory, more=fold_limit(place)
        )
        if once.exists():
            return Tried(f"{tried.wrong}; the fault did not strike", tried.seconds)
        left = subprocess.run(["pgrep", "-f", _MARK], capture_output=True, text=True, check=False).stdout.split()
        return Tried("; ".join(filter(None, (tried.wrong, "processes are left" if left else ""))), tried.seconds)

    return tried


def fold_limit(place: Place) -> tuple[str, str]:
    """The option: three times as long as the undisturbed search took on this machine, as busy as it is."""
    return "--fold-limit", f"{max(8, round(3 * place.lasts))}s"


def at_fold(number: int, once: Path, act: Callable[[], object]) -> Hook:
    """A worker's hook: `act` before its n-th fold run, if the file `once` is still there."""

    def hook() -> None:
        from search.jobs import FoldJob
        from search.worker.worker import Worker

        do, left = Worker.do, number

        def doing(self: Worker, job: Any) -> Any:
            nonlocal left
            left -= isinstance(job, FoldJob)
            if left == 0 and isinstance(job, FoldJob):
                with suppress(FileNotFoundError):
                    once.unlink()
                    act()
            return do(self, job)

        Worker.do = doing  # type: ignore[method-assign]

    return hook


def less_memory() -> None:
    """A command's hook: a worker may keep little here, so that one which eats memory does no harm."""
    from search.executors import factory

    vars(factory).update(MIN_TO_REPLACE=MEMORY, memory_for_each=lambda _: 0)


# What a worker does


def die() -> None:
    """As `kill -9`."""
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_ever() -> None:
    """Nothing."""
    while True:
        time.sleep(3600)


def work_for_ever() -> None:
    """Something, without an end."""
    while True:
        math.sqrt(2)


def stop() -> None:
    """As `kill -STOP`."""
    os.kill(os.getpid(), signal.SIGSTOP)


def eat_memory() -> None:
    """More and more."""
    eaten: list[Any] = []
    while True:
        if len(eaten) * PIECE < ENOUGH:
            eaten.append(np.ones(PIECE, np.uint8))
        time.sleep(0.02)


_MARK = "left.by.a.fault"


def leave_processes() -> None:
    """Start one that sleeps and one in a session of its own, and crash."""
    for alone in (False, True):
        line = f"import time; time.sleep(600)  # {_MARK}"
        subprocess.Popen([sys.executable, "-S", "-c", line], start_new_session=alone)
    os.abort()


# Losses that are no numbers


def not_a_number(kind: str) -> Random:
    """All losses of one trial are NaN or infinite. It never ranks, and the other trials are as they were."""

    def tried(place: Place, study: Path, chance: random.Random) -> Tried:  # noqa: ARG001 - as the others
        done = place.search(
            *place.asked(place.settings(study)), cwd=study.parent, worker_hook=lambda: _break_losses(kind)
        )
        if done.returncode != 0:
            return Tried(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
        with Store.open(study / "study.db", read_only=True) as store:
            trials, choice = store.trials(), store.choices()[-1]
        broken = trials[BROKEN]
        scores = [score for fold in broken.folds for name, score in fold.scores.items() if name != "log_loss"]
        wrong = [problem for problem in [wrong_of(place, study)] if "verify" in problem or "left" in problem]
        wrong += [] if all(0 <= score <= 1 for score in scores) else [f"scores {scores}"]
        wrong += [f"trial {BROKEN} was saved"] if BROKEN in dict(choice.members) else []
        wrong += ["it is not told"] if not all(f.diagnosis for f in broken.folds) and not broken.cause else []
        if table(trials[:BROKEN]) != table(trials_of(place.whole)[:BROKEN]):
            wrong.append("trials before it differ")
        return Tried("; ".join(wrong))

    return tried


def _break_losses(kind: str) -> None:
    from search.worker.fold_run import FoldRun

    judge = FoldRun.judge

    def judging(self: FoldRun, trained: Any) -> None:
        if self._job.trial == BROKEN:
            lost = np.full_like(trained.probabilities, np.nan) if kind == "nan" else trained.probabilities
            trained = replace(trained, logs={**trained.logs, "loss": float(kind)}, probabilities=lost)
        judge(self, trained)

    FoldRun.judge = judging  # type: ignore[method-assign]
