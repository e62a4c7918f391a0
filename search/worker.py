"""The worker's side: does jobs, one after another, and never sees the database.

As a program (`python -m search.worker FD`) it is a child of the local executor and talks over one pipe.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from search.features import Features, describe_frozen, fit_head, standardized
from search.jobs import (
    DescribeJob,
    Description,
    DiscoverJob,
    Discovery,
    Failure,
    FoldJob,
    FoldResult,
    Job,
    Materials,
    Outcome,
)
from spaces.layers import Layer
from spaces.own import BuilderError, OwnModel
from spaces.parameters import Value
from spaces.presets import Preset, preset

if TYPE_CHECKING:
    import keras

ENVIRONMENT = {"TF_ENABLE_ONEDNN_OPTS": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "KERAS_BACKEND": "tensorflow"}
"""Set before TensorFlow is imported. oneDNN is off by default on some processors and worth a third."""


class Worker:
    """Does jobs on one set of materials."""

    def __init__(self, materials: Materials) -> None:
        """Import TensorFlow (seconds), give it one thread, and take the pixels in."""
        os.environ.update(ENVIRONMENT)
        import tensorflow as tf  # seconds, and its settings come first

        # One thread: on small images more threads only wait for each other, and sums keep their order. TensorFlow
        # refuses to change it once it has run, as in a process that made a worker before.
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(1)
            for gpu in tf.config.list_physical_devices("GPU"):
                tf.config.experimental.set_memory_growth(gpu, True)
        self._materials = materials
        self._preset = None if materials.model is not None else preset(materials.preset)
        self._pixels, self._features = self._inputs(materials)

    def _inputs(self, materials: Materials) -> tuple[Any, Features | None]:
        """The pixels, and where the preset learns on features, the features: each image is then looked at once."""
        import tensorflow as tf

        if materials.pixels is None:
            return None, None
        pixels = _load(materials.pixels)
        if self._preset is not None and self._preset.frozen:
            return pixels, Features(self._preset.frozen, pixels, materials.pixels.parent / "features")
        return tf.constant(pixels), None

    def do(self, job: Job) -> Outcome:
        """The job's outcome. Whatever goes wrong is an outcome too; the traceback goes to stderr, the log."""
        import tensorflow as tf

        from search.training import NotFiniteError

        try:
            return self._done(job)
        except NotFiniteError as error:
            return Failure("not finite", str(error))
        except (MemoryError, tf.errors.ResourceExhaustedError) as error:
            return Failure("out of memory", first_line(error))
        except RefusedError as error:
            return Failure("refused", str(error))
        except BuilderError as error:
            traceback.print_exc()
            return Failure("model", str(error))
        except Exception as error:  # noqa: BLE001 - any failure of a model is an outcome of the search
            traceback.print_exc()
            return Failure("error", f"{type(error).__name__}: {first_line(error)}")

    def _done(self, job: Job) -> Outcome:
        match job:
            case DiscoverJob():
                return Discovery(self._own.discover().to_json())
            case DescribeJob():
                return self._describe(job)
            case FoldJob():
                return self._train(job)

    @cached_property
    def _own(self) -> OwnModel:
        if self._materials.model is None:
            raise RuntimeError("there is no model of the user's own to ask")
        return OwnModel(self._materials.model, self._materials.facts)

    @property
    def _chosen(self) -> Preset:
        if self._preset is None:
            raise RuntimeError("there is no preset to ask: the model is the user's own")
        return self._preset

    def _describe(self, job: DescribeJob) -> Description:
        if self._preset is not None and self._preset.frozen:
            return describe_frozen(self._preset.frozen, job.params, self._materials.facts)
        import keras

        batch = int(job.params.get("batch_size", 32))
        keras.backend.clear_session()  # layers are named anew, whatever was built before
        if self._materials.model is not None:
            return describe(self._own.build(job.params), batch)
        # Without values for its variables the largest model costs milliseconds and no memory.
        with _refusals(), keras.StatelessScope(initialize_variables=False):
            model = self._chosen.network(job.params, self._materials.facts)
        return describe(model, batch)

    def _compiled(self, params: Mapping[str, Value]) -> keras.Model:
        if self._materials.model is not None:
            return self._own.compiled(params)
        with _refusals():
            return self._chosen.build(params, self._materials.facts)

    def _train(self, job: FoldJob) -> FoldResult:
        """A fold run. A frozen backbone's latency is added, beside which that of a fitted head is nothing."""
        result = self._trained(job)
        if self._features is None or not self._materials.latency:
            return result
        return replace(result, latency=self._features.latency(job) + (result.latency or 0.0))

    def _trained(self, job: FoldJob) -> FoldResult:
        started = time.perf_counter()
        if self._features is None:
            return self._train_network(job, self._pixels, started)
        frozen = self._features.frozen
        train, validate = standardized(*self._features.of(job))
        if not frozen.trains(job.params):
            return fit_head(frozen, train, validate, self._materials, job, started)
        inputs = np.zeros((len(self._materials.labels), train.shape[1]), np.float32)
        inputs[job.train], inputs[job.validate] = train, validate
        result = self._train_network(job, inputs, started)
        return replace(result, parameters=describe_frozen(frozen, job.params, self._materials.facts).parameters)

    def _train_network(self, job: FoldJob, inputs: NDArray[Any], started: float) -> FoldResult:
        """Train the preset's network on `inputs`, [images, …] by the row numbers of the job."""
        import keras

        from search.training import train_fold

        keras.backend.clear_session()
        gc.collect()
        keras.utils.set_random_seed(job.seed)
        return train_fold(self._compiled(job.params), inputs, self._materials, job, started)


class RefusedError(Exception):
    """A point of a preset that gives no model that could be trained."""


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except ValueError as error:
        raise RefusedError(first_line(error)) from error


def _load(pixels: Path) -> NDArray[np.uint8]:
    images: NDArray[np.uint8] = np.load(pixels, mmap_mode="r", allow_pickle=False)
    return images


def describe(model: keras.Model, batch: int) -> Description:
    """What a Keras model is, from its shapes alone.

    `training_bytes` estimates float32 weights, gradients and two moments of the optimizer (4 x parameters), and
    the outputs of all layers for one batch, kept for the way back and met by gradients of the same size (2 x).
    """
    layers = tuple(
        Layer(layer.name, type(layer).__name__, _shape(layer), layer.count_params(), _detail(layer))
        for layer in model.layers
    )
    parameters = sum(layer.parameters for layer in layers)
    outputs = sum(int(np.prod([side or 1 for side in layer.shape])) for layer in layers)
    return Description(parameters, 4 * (4 * parameters + 2 * batch * outputs), layers)


def _shape(layer: keras.layers.Layer) -> tuple[int | None, ...]:
    shape = layer.output.shape if not isinstance(layer.output, list) else layer.output[0].shape
    return tuple(shape[1:])


def _detail(layer: keras.layers.Layer) -> str:
    """What a person wants to know of a layer beyond its kind and shape."""
    config: Mapping[str, Any] = layer.get_config()
    said: list[str] = []
    if "filters" in config:
        said.append(f"{config['filters']} @ {'x'.join(map(str, config['kernel_size']))}")
    elif "units" in config:
        said.append(f"{config['units']} units")
    if "pool_size" in config:
        said.append("x".join(map(str, config["pool_size"])))
    elif config.get("strides", (1, 1)) not in ((1, 1), 1):
        said.append("stride " + "x".join(map(str, config["strides"])))
    if config.get("rate"):
        said.append(f"rate {config['rate']:g}")
    if isinstance(config.get("activation"), str) and config["activation"] != "linear":
        said.append(config["activation"])
    return ", ".join(said)


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 300 characters."""
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__)[:300]


def main(descriptor: int) -> None:
    """Serve one pipe: receive the materials, then jobs, and send an outcome for each, until it closes."""
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    os.environ.update(ENVIRONMENT)
    import search.training  # noqa: F401 - imports TensorFlow while the parent reads the images

    with Connection(descriptor) as pipe:
        try:
            worker = Worker(pipe.recv())
            while True:
                pipe.send(worker.do(pipe.recv()))
        except (EOFError, BrokenPipeError, ConnectionResetError):
            return


def _end_with_parent(parent: int) -> None:
    """A killed parent closes the pipe, but that is noticed after the fold; a GPU's memory is wanted sooner."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


if __name__ == "__main__":
    main(int(sys.argv[1]))
