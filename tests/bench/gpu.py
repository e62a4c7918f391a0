"""Fold runs on a GPU, or on the processor where TensorFlow sees none: `make bench-gpu`, minutes.

Each row is a process of its own with one worker. `plain`: an epoch is one graph, its operations started one by one;
`one program`: an epoch is compiled by XLA as a whole; `N side by side`: so are the epochs of N fold runs of a trial
together. `--xla` does the latter where it can, with the folds of one trial, else the former. The first trial traces and
compiles; later trials of the same architecture do not.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from tests.bench.cases import CASES, FOLDS, Case, Data
from tests.bench.ours import Trials

WARM_TRIALS = 3
FINE_TUNE = {"input_size": 224, "epochs": 8}
PLAIN, PROGRAM, SIDE_BY_SIDE = "plain", "one program", "side by side"


Trial: TypeAlias = Callable[[], "Sequence[NDArray[np.float32]]"]


class FineTuned(Case):
    """Lite0 trained on at 224 pixels."""

    @property
    def facts(self) -> Facts:
        """With the backbone."""
        return Facts(self.side, self.side, 3, 2, self.images, (LITE0,))


LITE = FineTuned("500 x 224x224 fine-tuned Lite0", 500, 224, "fine-tune", FINE_TUNE, 8)


@dataclass(frozen=True)
class Way:
    """How fold runs are trained."""

    name: str  # PLAIN, PROGRAM or SIDE_BY_SIDE
    repeats: int = 1  # of all folds, side by side

    @property
    def words(self) -> str:
        """As a row has it."""
        return f"{FOLDS * self.repeats} {self.name}" if self.name == SIDE_BY_SIDE else self.name


WAYS = (Way(PLAIN), Way(PROGRAM), Way(SIDE_BY_SIDE), Way(SIDE_BY_SIDE, 4))


@dataclass(frozen=True)
class Taken:
    """Seconds of trials, and where."""

    first: float  # of the first trial, with tracing and compiling
    warm: float  # of a later one
    runs: int  # fold runs of a trial
    device: str
    answers: NDArray[np.float32]  # [folds, validation images, classes] probabilities of the first trial's folds

    def differs(self, plain: Taken) -> float:
        """Median over images of how far the first trial's probabilities are from those of `plain`, same seeds."""
        return float(np.median(np.abs(self.answers - plain.answers)))

    def pays_from(self, plain: Taken) -> str:
        """The number of fold runs of one architecture from which this way takes less time than `plain`."""
        saved = plain.warm / plain.runs - self.warm / self.runs
        if saved <= 0:
            return "never"
        spent = (self.first - self.warm) - (plain.first - plain.warm)
        return str(max(1, math.ceil(spent / saved)))


def seconds(case: Case, way: Way, warm_trials: int) -> Taken:
    """Measured in this process, which should be new."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as work:
        trials = Trials(Data(case), Path(work), xla=way.name == PROGRAM)
        trial: Trial = partial(trials.side_by_side, way.repeats) if way.name == SIDE_BY_SIDE else trials.warm
        answers, first = _timed(trial)
        warm = median(_timed(trial)[1] for _ in range(warm_trials))
    gpus = tf.config.list_logical_devices("GPU")
    return Taken(first, warm, len(answers), "GPU" if gpus else "processor", np.stack(answers[: case.folds]))


def _timed(trial: Trial) -> tuple[Sequence[NDArray[np.float32]], float]:
    """(probabilities of each fold run, seconds)"""
    started = time.perf_counter()
    return trial(), time.perf_counter() - started


def card() -> str:
    """What `nvidia-smi` calls the GPUs; 'no NVIDIA GPU' where there is none."""
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found = ""
    return found or "no NVIDIA GPU: these are the figures of one core of the processor"


def tables(cases: Sequence[Case], ways: Sequence[Way], warm_trials: int, minutes: float) -> Iterator[str]:
    """Lines of Markdown. No row is begun after so many minutes."""
    ends = time.monotonic() + 60 * minutes
    yield card()
    yield ""
    yield "| size | epochs | how | first trial, s | warm trial, s | fold runs a second | pays from | differs | device |"
    yield f"|{' --- |' * 9}"
    for case in cases:
        plain = None
        for way in ways if case.preset != "fine-tune" else ways[:1]:
            if time.monotonic() > ends:
                yield f"\nThe {minutes:g} minutes are over: {case.name}, {way.words} and what follows was not measured."
                return
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
                taken = pool.submit(seconds, case, way, warm_trials).result()
            pays, differs = (taken.pays_from(plain), f"{taken.differs(plain):.1g}") if plain else ("", "")
            plain = taken if way.name == PLAIN else plain
            yield (
                f"| {case.name} | {case.epochs} | {way.words} | {taken.first:.2f} | {taken.warm:.3f} | "
                f"{taken.runs / taken.warm:.2f} | {pays} | {differs} | {taken.device} |"
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; a row as soon as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.add_argument("--epochs", type=int, help="of every fold run, instead of each row's own")
    parser.add_argument("--sizes", type=int, nargs="+", metavar="N", help="rows of these sizes alone, counted from 1")
    parser.add_argument("--ways", nargs="+", choices=[PLAIN, PROGRAM, SIDE_BY_SIDE], help="these alone")
    parser.add_argument("--warm", type=int, default=WARM_TRIALS, help="warm trials, of which the median counts")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which no row is begun")
    asked = parser.parse_args(arguments)
    every = [*(replace(case, folds=FOLDS) for case in CASES), LITE]
    cases = [every[number - 1] for number in asked.sizes or range(1, len(every) + 1)]
    cases = [replace(case, epochs=asked.epochs or case.epochs) for case in cases]
    ways = [way for way in WAYS if not asked.ways or way.name in asked.ways]
    for line in tables(cases, ways, asked.warm, asked.minutes):
        print(line, flush=True)


if __name__ == "__main__":
    main()
