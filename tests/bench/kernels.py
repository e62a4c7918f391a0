"""How the time of a warm fold run is divided among TensorFlow's kernels, by TensorFlow's profiler."""

from __future__ import annotations

import multiprocessing
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.bench.cases import CASES, Case
from tests.bench.trials import WARM, made

EPOCHS = 5  # of the profiled fold run; all take the same time
KINDS = {"convolutions": "Conv2D", "pooling": "Pool", "normalisation": "BatchNorm", "dense layers": "MatMul"}
"""Name -> what the names of its kernels, forward and backward, have in them."""
OPTIMIZER, OTHERS, ELSE = "optimizer", "other kernels", "all else"


def tables(epochs: int | None = None) -> Iterator[str]:
    """Lines of Markdown."""
    yield "Where a warm fold run's time goes, in % of it, as TensorFlow's profiler has it: inside kernels by what they"
    yield "do, and all else: starting them, and what is done in Python. Convolutions, pooling and dense layers are the"
    yield "same kernels on the same numbers whoever calls them, so a trial can be no faster than those."
    yield ""
    names = (*KINDS, OPTIMIZER, OTHERS, ELSE)
    yield f"| size | {' | '.join(names)} |"
    yield f"| --- |{' --- |' * len(names)}"
    for case in CASES:
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            shares = pool.submit(profiled, replace(case, folds=1, epochs=epochs or EPOCHS)).result()
        yield f"| {case.name} | {' | '.join(f'{100 * shares[name]:.0f}' for name in names)} |"


def profiled(case: Case) -> dict[str, float]:
    """Share of a warm trial by kind of kernel. Runs in a separate process."""
    with tempfile.TemporaryDirectory() as work:
        trial = made("ours", case, Path(work)).trials[WARM]
        trial()  # traces
        return shares(trial)


def shares(trial: Callable[[], object]) -> dict[str, float]:
    """Shares of the time of `trial` by kind of kernel; they add up to 1."""
    import tensorflow as tf

    trial()  # the profiler sees one whose graphs are optimised
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        started = time.perf_counter()
        trial()
        taken = time.perf_counter() - started
        tf.profiler.experimental.stop()
        seconds = _kernels(next(Path(folder).rglob("*.xplane.pb")))
    within = {name: seconds[name] / taken for name in (*KINDS, OPTIMIZER, OTHERS)}
    return {**within, ELSE: 1 - sum(within.values())}


def _kernels(profile: Path) -> Counter[str]:
    """Seconds by kind. An event of a kernel is named 'name of the operation:type of the operation'."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    space: Any = xplane_pb2.XSpace()
    space.ParseFromString(profile.read_bytes())
    seconds: Counter[str] = Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                operation, _, kernel = plane.event_metadata[event.metadata_id].name.rpartition(":")
                if operation and kernel.isidentifier() and not operation.endswith(":") and " " not in operation:
                    seconds[_kind(operation, kernel)] += event.duration_ps / 1e12
    return seconds


def _kind(operation: str, kernel: str) -> str:
    for name, part in KINDS.items():
        if part in kernel:
            return name
    return OPTIMIZER if "/adam/" in operation else OTHERS
