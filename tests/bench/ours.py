"""A trial in a worker of this program, and how its time is divided."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from search.jobs import BundleJob, BundleResult, FitOptions, FoldJob, FoldResult, Pixels, WorkerContext
from search.worker.__main__ import preload
from search.worker.worker import Worker
from tests.bench.cases import Data


class Trials:
    """Trials of one architecture, each with other seeds, in one worker at a time."""

    def __init__(self, data: Data, work: Path, *, xla: bool = False) -> None:
        preload()
        path = work / "pixels.npy"
        np.save(path, data.pixels)
        self._data, self._number = data, 0
        case = data.case
        self._context = WorkerContext(
            Pixels(path), data.labels, case.facts, case.preset, "balanced_accuracy", xla=xla, features=work / "features"
        )
        self.worker = Worker(self._context)

    def first(self) -> list[NDArray[np.float32]]:
        """A trial in a worker without graphs."""
        self.worker = Worker(self._context)
        return self.warm()

    def warm(self) -> list[NDArray[np.float32]]:
        """The next trial: all epochs of every fold, as without race and patience."""
        self._number += 1
        return [self._fold(fold, train, validate) for fold, (train, validate) in enumerate(self._data.folds)]

    def split(self) -> dict[str, float]:
        """Seconds of the parts of a fold run of a warm trial; their sum is the whole fold run."""
        with clocked() as clocks:
            started = time.perf_counter()
            self.warm()
            whole = time.perf_counter() - started
        spent = dict(clocks.spent)
        return {
            name: seconds / self._data.case.folds
            for name, seconds in {**spent, "all else": whole - sum(spent.values())}.items()
        }

    def side_by_side(self, repeats: int = 1) -> list[NDArray[np.float32]]:
        """The next trial, all folds of all repeats as one program."""
        self._number += 1
        folds = [
            replace(self._job(fold, *rows), repeat=repeat, seed=100 * self._number + 10 * repeat + fold)
            for repeat in range(repeats)
            for fold, rows in enumerate(self._data.folds)
        ]
        outcome = self.worker.do(BundleJob(tuple(folds)))
        assert isinstance(outcome, BundleResult), outcome
        return [result.probabilities for result in outcome.folds]

    def _fold(self, fold: int, train: NDArray[np.int32], validate: NDArray[np.int32]) -> NDArray[np.float32]:
        outcome = self.worker.do(self._job(fold, train, validate))
        assert isinstance(outcome, FoldResult), outcome
        return outcome.probabilities

    def _job(self, fold: int, train: NDArray[np.int32], validate: NDArray[np.int32]) -> FoldJob:
        training = FitOptions(self._data.case.epochs, 0, stop_collapsed=False)
        seed = 100 * self._number + fold
        return FoldJob(self._number, 0, fold, self._data.case.params, train, validate, seed, training)


class Clocks:
    """Seconds in some calls, by name. A nested call counts for the outer one."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}
        self._within = False

    @contextmanager
    def on(self, owner: Any, attribute: str, name: str) -> Iterator[None]:
        """Within this context, calls of `owner.attribute` are measured under this name."""
        plain: Callable[..., Any] = getattr(owner, attribute)

        def measured(*args: Any, **named: Any) -> Any:
            if self._within:
                return plain(*args, **named)
            self._within, started = True, time.perf_counter()
            try:
                return plain(*args, **named)
            finally:
                self._within = False
                self.spent[name] = self.spent.get(name, 0.0) + time.perf_counter() - started

        with patch.object(owner, attribute, measured):
            yield


@contextmanager
def clocked() -> Iterator[Clocks]:
    """Clocks on the parts of a fold run that are the same for all models."""
    from search.worker import fold_run, trainer_cache
    from search.worker.epoch_program import EpochProgram
    from search.worker.inspection import Inspector
    from search.worker.redrawing import Redrawing
    from search.worker.trainer import Trainer
    from spaces.presets import Preset

    clocks = Clocks()
    parts = (
        (Preset, "build", "building the model"),
        (Redrawing, "values", "drawing first weights"),
        (trainer_cache.TrainerCache, "trainer", "resetting graphs' state"),
        (Trainer, "train_epoch", "training epochs"),
        (Trainer, "predict", "validation passes"),
        (EpochProgram, "run", "compiled epochs"),
        (fold_run, "scores", "scores"),
        (fold_run, "batches", "shuffling"),
        (Inspector, "__init__", "looks for collapse"),
        (Inspector, "inspect", "looks for collapse"),
    )
    with ExitStack() as stack:
        for owner, attribute, name in parts:
            stack.enter_context(clocks.on(owner, attribute, name))
        yield clocks
