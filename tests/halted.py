"""Searches by every sampler of both engines, with real training, but without the choice that comes after it.

`python -m tests.halted HOME PICTURES` begins them all, leaves each in the midst of a trial, and is then killed.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from search.executors.in_process import InProcess
from search.samplers.factory import make_sampler
from search.session.loop import Loop
from search.session.plan import make_plan, worker_context
from search.session.prepare import prepare
from search.session.session import Session
from search.session.signals import StopRequest
from search.study import config as toml
from search.study.database import create
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from storage import Closing, FoldRecord, Store
from tests.commands import FIXED
from tests.search.samplers.contract import EVERY, NO_TORCH, SamplerCase
from tests.search.session.sessions import RUN, Watcher

INSTALLED = [sampler for sampler in EVERY if not (sampler.name == "gp" and NO_TORCH)]
TRIALS, HALT = 6, 4  # of each search; from which on a trial is left with its first fold


class Halting(Store):
    """From a commit of a fold whose trial goes on, and is one of the last, it never comes back."""

    halted: threading.Event

    def add_fold(self, record: FoldRecord, *, run: int, seconds: float, close: Closing | None = None) -> None:
        """See Store."""
        super().add_fold(record, run=run, seconds=seconds, close=close)
        if record.trial >= HALT and close is None:
            self.halted.set()
            threading.Event().wait()


def study_of(home: Path, pictures: Path, sampler: SamplerCase) -> tuple[Path, Prepared]:
    """The folder of a study that this sampler is to search, and the study: the smallest network, two parameters."""
    asked = {"engine": sampler.engine, "sampler": sampler.name, "second_objective": sampler.second}
    small = {"preset": "cnn", "space": FIXED, "folds": 2, "trials": TRIALS, "training": {"max_epochs": 3}}
    folder = home / "-".join(filter(None, sampler))
    return folder, prepare(toml.parse({"images": str(pictures), **small, **asked}, "here"), folder)


@contextmanager
def executor_of(home: Path, pictures: Path) -> Iterator[InProcess]:
    """One for all of these studies: they are of the same images, and their points of the same network."""
    _, study = study_of(home, pictures, EVERY[0])
    executor = InProcess()
    with StudyFolder(home).pixels_on_disk(study.images.pixels) as pixels:
        executor.prepare(worker_context(pixels, StudyFolder(home).features, study), home / "logs")
        yield executor


def search(folder: Path, study: Prepared, executor: InProcess, kind: type[Store] = Store) -> None:
    """Start a study, or go on with it, to the end of its trials."""
    folder.mkdir(exist_ok=True)
    place = StudyFolder(folder)
    if not place.begun:
        create(place, study).close()
    asked = study.config
    with kind.open(place.database) as store:
        Loop(
            plan=replace(make_plan(study, store, executor.slots), references=()),
            session=Session(store, store.start_run(RUN), executor, Watcher(), StopRequest()),
            sampler=make_sampler(
                study.space, asked.metric, asked.engine, asked.chosen_sampler, asked.seed, asked.second_objective
            ),
        ).run()


def halt_all(home: Path, pictures: Path) -> None:
    """Begin every search in a thread of its own, one after another, and come back once all of them hang."""
    with executor_of(home, pictures) as executor:
        for sampler in INSTALLED:
            folder, study = study_of(home, pictures, sampler)
            halted = threading.Event()
            kind = type("_Halting", (Halting,), {"halted": halted})
            threading.Thread(target=search, args=(folder, study, executor, kind), daemon=True).start()
            if not halted.wait(120):
                sys.exit(f"{folder.name} did not come so far")


if __name__ == "__main__":
    halt_all(*map(Path, sys.argv[1:]))
    os.kill(os.getpid(), signal.SIGKILL)
