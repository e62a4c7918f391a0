"""Trials of this program, of other tools, and the arithmetic alone; each side in a separate process, in turns."""

from __future__ import annotations

import multiprocessing
import os
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from search.native import ENVIRONMENT
from tests.bench.cases import CASES, Case, Data
from tests.bench.timing import seconds

FIRST, WARM, FIT, TUNER, OPTUNA, ARITHMETIC = "first", "warm", "model.fit", "Keras Tuner", "Optuna", "arithmetic"
FIT_ALL_CORES = "model.fit, all cores"
PROCESSES: dict[str, tuple[str, ...]] = {
    "ours": (FIRST, WARM),
    FIT: (FIT,),
    FIT_ALL_CORES: (FIT_ALL_CORES,),
    TUNER: (TUNER,),
    OPTUNA: (OPTUNA,),
    ARITHMETIC: (ARITHMETIC,),
}
"""Process -> the sides that it runs, in their order."""


@dataclass
class Side:
    """The trials of a process, by name; each returns the predictions of each fold."""

    trials: dict[str, Callable[[], Sequence[Any]]]
    split: Callable[[], dict[str, float]] = field(default=dict)


def made(process: str, case: Case, work: Path) -> Side:
    """Everything before a trial: imports, one thread as in a worker (except in the process that shows TensorFlow's
    default), data, graphs that can be traced."""
    os.environ.update(ENVIRONMENT | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    import tensorflow as tf

    if process != FIT_ALL_CORES:
        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    return side(process, Data(case), work)


def side(process: str, data: Data, work: Path) -> Side:
    """One side of the comparison; `work` is an empty folder."""
    from tests.bench import peers
    from tests.bench.arithmetic import arithmetic
    from tests.bench.ours import Trials

    match process:
        case "ours":
            ours = Trials(data, work)
            return Side({FIRST: ours.first, WARM: ours.warm}, ours.split)
        case "model.fit" | "model.fit, all cores":
            return Side({process: peers.naive(data)})
        case "Keras Tuner":
            return Side({TUNER: peers.keras_tuner_trials(data, work)})
        case "Optuna":
            return Side({OPTUNA: peers.optuna_trials(data)})
        case _:
            return Side({ARITHMETIC: arithmetic(data)})


_made: list[Side] = []  # of this process


def _make(process: str, case: Case, work: str) -> None:
    _made.append(made(process, case, Path(work)))


def _begun() -> bool:
    return bool(_made)


def _trial(name: str) -> float:
    return seconds(_made[0].trials[name])


def _split() -> dict[str, float]:
    return _made[0].split()


def measured(case: Case, rounds: int) -> tuple[dict[str, float], dict[str, float]]:
    """(median seconds of a trial by side, seconds of the parts of a warm fold run)."""
    taken: dict[str, list[float]] = {name: [] for names in PROCESSES.values() for name in names}
    with ExitStack() as stack:
        pools = {}
        for process in PROCESSES:
            work = stack.enter_context(tempfile.TemporaryDirectory())
            pools[process] = stack.enter_context(
                ProcessPoolExecutor(
                    1, multiprocessing.get_context("spawn"), initializer=_make, initargs=(process, case, work)
                )
            )
        wait([pool.submit(_begun) for pool in pools.values()])  # imports, at once in all
        for _ in range(rounds):
            for process, names in PROCESSES.items():
                for name in names:
                    taken[name].append(pools[process].submit(_trial, name).result())
        split = pools["ours"].submit(_split).result()
    return {name: statistics.median(values) for name, values in taken.items()}, split


def tables(rounds: int, epochs: int | None = None, folds: int | None = None) -> Iterator[str]:
    """Lines of Markdown. `epochs` and `folds`, if given, replace those of each case."""
    cases = [replace(case, epochs=epochs or case.epochs, folds=min(folds or case.folds, case.folds)) for case in CASES]
    yield "Seconds of a trial, medians of rounds in which all sides take turns, each side in a process of its own with"
    yield "one thread (but where all cores are named) and oneDNN on. The same network, batches of 32, epochs and images"
    yield "on each side, validation after each epoch, no early stopping. `first`: the first trial of an architecture in"
    yield "a worker; `warm`: a later one. At 1,000 images one fold run stands for a trial's five, since they are alike,"
    yield "and the GAP net has fewer epochs, to save time."
    yield "The arithmetic is a fold run in one graph, without metrics or anything Python sees, Adam's step as ours."
    yield ""
    yield f"| size | folds x epochs x steps | {' | '.join(name for names in PROCESSES.values() for name in names)} |"
    yield f"| --- | --- |{' --- |' * 7}"
    results = []
    for case in cases:
        taken, split = measured(case, rounds)
        results.append((case, taken, split))
        steps = case.steps // case.epochs
        times = " | ".join(f"{taken[name]:.2f}" for names in PROCESSES.values() for name in names)
        yield f"| {case.name} | {case.folds} x {case.epochs} x {steps} | {times} |"
    yield ""
    yield "The same as ratios; where there is a target, whether it is met:"
    yield ""
    yield "| size | (a) model.fit / warm | (b) Keras Tuner / warm | (c) Optuna / warm | (a) / first | warm / (d) |"
    yield f"| --- |{' --- |' * 5}"
    for case, taken, _ in results:
        faster = {name: taken[name] / taken[WARM] for name in (FIT, TUNER, OPTUNA)}
        over = taken[WARM] / taken[ARITHMETIC]
        yield (
            f"| {case.name} | {at_least(faster[FIT], case.against_fit)} | {faster[TUNER]:.2f}x | "
            f"{faster[OPTUNA]:.2f}x | {taken[FIT] / taken[FIRST]:.2f}x | {at_most(over, case.against_arithmetic)} |"
        )
    yield ""
    yield "Where a warm fold run's milliseconds go, against those of the arithmetic, (d):"
    yield ""
    parts = list(dict.fromkeys(name for _, _, split in results for name in split))
    yield f"| size | {' | '.join(parts)} | together | arithmetic |"
    yield f"| --- |{' --- |' * (len(parts) + 2)}"
    for case, taken, split in results:
        times = " | ".join(f"{1000 * split.get(name, 0.0):.0f}" for name in parts)
        alone = 1000 * taken[ARITHMETIC] / case.folds
        yield f"| {case.name} | {times} | {1000 * sum(split.values()):.0f} | {alone:.0f} |"


def at_least(value: float, target: float) -> str:
    """'9.1x (>= 8x: met)'."""
    return f"{value:.2f}x (>= {target:g}x: {'met' if value >= target else 'missed'})"


def at_most(value: float, target: float) -> str:
    """'1.20 (<= 1.25: met)'."""
    return f"{value:.2f} (<= {target:g}: {'met' if value <= target else 'missed'})"
