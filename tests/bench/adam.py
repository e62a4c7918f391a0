"""What the fused step of Adam (`search/worker/fast_adam.py`) gains over Keras's own: `python -m tests.bench adam`."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from tests.bench.cases import CASES, Case, Data
from tests.bench.timing import interleaved

FUSED, KERAS = "fused step", "Keras's step"


def tables(rounds: int, epochs: int | None = None) -> Iterator[str]:
    """Lines of Markdown."""
    yield "Warm fold runs a second of the processor with the fused step of Adam and with Keras's own; medians of rounds"
    yield "in which the two take turns in one process. All else is the same, and so is what they train."
    yield ""
    yield f"| size | {FUSED} | {KERAS} | gain |"
    yield "| --- | --- | --- | --- |"
    for case in CASES:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            rates = pool.submit(measured, replace(case, epochs=epochs or case.epochs), rounds).result()
        fused, keras = rates[FUSED], rates[KERAS]
        yield f"| {case.name} | {fused:.2f} | {keras:.2f} | {100 * (fused / keras - 1):+.0f}% |"


def measured(case: Case, rounds: int) -> dict[str, float]:
    """Fold runs a second of the processor, by side. In a process of its own."""
    with tempfile.TemporaryDirectory() as work:
        seconds = interleaved(rounds, sides(Data(case), Path(work)), time.process_time)
    return {name: case.folds / taken for name, taken in seconds.items()}


def sides(data: Data, work: Path) -> dict[str, Callable[[], list[NDArray[np.float32]]]]:
    """A warm trial of each side, with traced graphs and the same seeds."""
    from search.worker import trainer
    from search.worker.keras_internals import without_replica_sums
    from tests.bench.ours import Trials

    fused, keras = Trials(data, work), Trials(data, work)
    fused.warm()
    with patch.object(trainer, "fused_update", without_replica_sums):  # read while a graph is traced
        keras.warm()
    return {FUSED: fused.warm, KERAS: keras.warm}
