"""Fold runs on a GPU, or on the processor where TensorFlow sees none: `make bench-gpu`, minutes.

Each row is a process of its own with one worker. The first fold run traces; those of later trials of the same
architecture do not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from statistics import median

from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from tests.bench.cases import CASES, Case, Data
from tests.bench.ours import Trials

WARM_TRIALS = 3
FINE_TUNE = {"input_size": 224, "epochs": 8}


class FineTuned(Case):
    """Lite0 trained on at 224 pixels."""

    @property
    def facts(self) -> Facts:
        """With the backbone."""
        return Facts(self.side, self.side, 3, 2, self.images, (LITE0,))


ROWS: tuple[tuple[Case, bool], ...] = (
    *((case, xla) for case in CASES for xla in (False, True)),
    (FineTuned("500 x 224x224 fine-tuned Lite0", 500, 224, "fine-tune", FINE_TUNE, 8), False),
)
"""(what is trained, whether XLA compiles its steps)."""


def seconds(case: Case, xla: bool) -> tuple[float, float, str]:
    """(seconds of the first fold run, of one of a later trial, the device). Runs in a process of its own."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as work:
        trials = Trials(Data(case), Path(work), xla=xla)
        first, *others = (_taken(trial) for trial in (trials.first, *(trials.warm,) * WARM_TRIALS))
    warm = median(others) / case.folds
    gpus = tf.config.list_logical_devices("GPU")
    return first - (case.folds - 1) * warm, warm, "GPU" if gpus else "processor"


def _taken(trial: Callable[[], object]) -> float:
    started = time.perf_counter()
    trial()
    return time.perf_counter() - started


def card() -> str:
    """What `nvidia-smi` calls the GPUs; 'no NVIDIA GPU' where there is none."""
    try:
        found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        found = ""
    return found or "no NVIDIA GPU"


def tables(rows: Sequence[tuple[Case, bool]]) -> Iterator[str]:
    """Lines of Markdown."""
    yield card()
    yield ""
    yield "| size | epochs | XLA | first, s | warm, s | fold runs a second | device |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for case, xla in rows:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            first, warm, device = pool.submit(seconds, case, xla).result()
        compiled = "yes" if xla else "no"
        yield f"| {case.name} | {case.epochs} | {compiled} | {first:.2f} | {warm:.3f} | {1 / warm:.2f} | {device} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; a row as soon as it is measured."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.gpu", description=__doc__)
    parser.add_argument("--epochs", type=int, help="of every fold run, instead of each row's own")
    asked = parser.parse_args(arguments)
    rows = [(replace(case, epochs=asked.epochs or case.epochs), xla) for case, xla in ROWS]
    for line in tables(rows):
        print(line, flush=True)


if __name__ == "__main__":
    main()
