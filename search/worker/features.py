"""Frozen features in a worker: computed once and kept beside the study.

Features are kept in pieces of a few images, each a file named by a hash of all that decides what is in it. So workers
that begin together share the work without a word, and a file of other images or of another backbone is never found.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from search.files import replacing
from search.jobs import FoldJob, Step
from search.worker.latency import milliseconds_an_image
from spaces.facts import Facts
from spaces.presets import FrozenFeatures
from spaces.presets.frozen import View

PIECE = 32  # images of one pass and one file; part of what decides the last bits of features
FEW = 8  # images that are timed where none are computed
MAX_KEPT = 4  # views in memory; others come back from disk in milliseconds


class Features:
    """Features of a study's images, from memory, else from disk, else computed."""

    def __init__(
        self, pixels: NDArray[np.uint8], folder: Path | None, progress: Callable[[Step], object] = lambda _: None
    ) -> None:
        """`pixels` is [images, height, width, channels]; `folder` is made at the first piece; None: none is written.

        `progress` is called before each piece.
        """
        self._pixels, self._folder, self._progress = pixels, folder, progress
        self._kept: dict[tuple[View, bytes], NDArray[np.float32]] = {}
        self._taken: dict[View, list[float]] = {}  # milliseconds an image, of the pieces computed here but the first

    def of(self, frozen: FrozenFeatures, facts: Facts, job: FoldJob) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(training, validation) features of a job, [rows, width] each, averaged over the views of its point.

        Folds of a study share their rows, and so what is computed: those of training and validation together.
        """
        columns = frozen.columns(job.params, facts)
        return self._mean(frozen, facts, job, job.train, columns), self._mean(frozen, facts, job, job.validate, columns)

    def style(self, frozen: FrozenFeatures, facts: Facts, job: FoldJob) -> NDArray[np.float32]:
        """[rows, width] of the training images of a job, as `of`: see `Backbone.style_columns`."""
        columns = frozen.backbone(job.params, facts).style_columns
        return self._mean(frozen, facts, job, job.train, columns)

    def _mean(
        self,
        frozen: FrozenFeatures,
        facts: Facts,
        job: FoldJob,
        wanted: NDArray[np.int32],
        columns: slice | NDArray[np.intp],
    ) -> NDArray[np.float32]:
        """Columns of the wanted rows, averaged over the views of the job's point."""
        rows = np.union1d(job.train, job.validate)
        here = np.searchsorted(rows, wanted)
        views = [self._view(view, rows)[here][:, columns] for view in frozen.views(job.params, facts)]
        return np.asarray(np.stack(views).mean(axis=0))

    def seen_latency(self, frozen: FrozenFeatures, facts: Facts, job: FoldJob) -> float | None:
        """As `latency`, from the passes of this process alone, which costs nothing; None where too few were needed."""
        passes = [self._taken.get(view) for view in frozen.views(job.params, facts)]
        return sum(median(known) for known in passes if known) if all(passes) else None

    def latency(self, frozen: FrozenFeatures, facts: Facts, job: FoldJob) -> float:
        """Milliseconds an image through the backbone, by all views of the job's point.

        As its pieces took when they were computed; if they came from disk, a few images are timed, once a view.
        """
        return sum(self._milliseconds(view, job.validate) for view in frozen.views(job.params, facts))

    def _milliseconds(self, view: View, rows: NDArray[np.int32]) -> float:
        if not self._taken.get(view):
            pixels = self._pixels[rows[:FEW]]
            view.features(pixels)  # traces, and makes the kernels of this number of images
            self._taken[view] = [milliseconds_an_image(lambda: view.features(pixels), len(pixels))]
        return median(self._taken[view])

    def _view(self, view: View, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        key = (view, rows.tobytes())
        kept = self._kept.pop(key, None)
        self._kept[key] = self._gathered(view, rows) if kept is None else kept
        if len(self._kept) > MAX_KEPT:
            del self._kept[next(iter(self._kept))]  # the least recently used
        return self._kept[key]

    def _gathered(self, view: View, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """All pieces of a view. Each worker has another order, so that two do not compute the same."""
        pieces = [rows[start : start + PIECE] for start in range(0, len(rows), PIECE)]
        computed: dict[int, NDArray[np.float32]] = {}
        for number in np.random.default_rng(os.getpid()).permutation(len(pieces)):
            self._progress(Step("features", len(computed) + 1, len(pieces)))
            computed[int(number)] = self._piece(view, self._pixels[pieces[number]])
        return np.concatenate([computed[number] for number in range(len(pieces))])

    def _piece(self, view: View, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._folder is None:
            return self._computed(view, pixels)
        path = self._folder / f"{view.name}-{_digest(view, pixels)}.npy"
        kept = _read(path, len(pixels))
        if kept is not None:
            return kept
        computed = self._computed(view, pixels)
        with contextlib.suppress(OSError):  # a full disk costs time in the next session, not this one's results
            _write(path, computed)
        return computed

    def _computed(self, view: View, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        started = time.perf_counter()
        features = view.features(pixels)
        if view in self._taken:
            self._taken[view].append(1000 * (time.perf_counter() - started) / len(pixels))
        else:  # the first piece of a view takes longer: the graph is traced, kernels are made
            self._taken[view] = []
        return features


def _device() -> str:
    """Empty on a processor. A GPU multiplies in another precision (TF32), so its features are never taken for those."""
    import tensorflow as tf

    return " GPU" if tf.config.list_logical_devices("GPU") else ""


def _digest(view: View, pixels: NDArray[np.uint8]) -> str:
    """Of the pixels, their shape, the kind of device, and the view's whole name: a file system might cut or fold it.

    'style' tells them from those of releases whose features had no deviations.
    """
    digest = hashlib.sha256(f"{view.name} style {pixels.shape} {pixels.dtype}{_device()}\n".encode())
    digest.update(np.ascontiguousarray(pixels).data)
    return digest.hexdigest()[:32]


def _read(path: Path, images: int) -> NDArray[np.float32] | None:
    """A piece from disk; None where it is not there, or is damaged and has to be computed again."""
    try:
        features: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    sound = (
        features.dtype == np.float32 and features.ndim == 2 and len(features) == images and np.isfinite(features).all()
    )
    return features if sound else None


def _write(path: Path, features: NDArray[np.float32]) -> None:
    """Whole or not at all: another worker may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        np.save(partial, features, allow_pickle=False)
