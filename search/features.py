"""Frozen features in a worker: computed once, kept beside the study, and heads fitted on them.

Features are kept in pieces of a few images, each a file named by a hash of all that decides what is in it. So workers
that begin together share the work without a word, and a file of other images or of another backbone is never found.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.jobs import Description, FoldJob, FoldResult, Materials
from search.latency import milliseconds_an_image
from search.metrics import scores
from spaces.facts import Facts
from spaces.layers import Layer
from spaces.parameters import Value
from spaces.presets import Frozen, Heads
from spaces.presets.frozen import View

PIECE = 32  # images of one pass and one file; part of what decides the last bits of features
MOST_KEPT = 4  # views in memory; others come back from disk in milliseconds
PASSING = 8
"""Times the maps between stages: what fine-tuning needs of those that it does not train.

Estimates with it are 0.7 to 2.2 times what was measured where a part is trained; where all is, 1.04 to 1.1 times.
"""


class Features:
    """Features of a study's images, from memory, else from disk, else computed."""

    def __init__(self, pixels: NDArray[np.uint8], folder: Path) -> None:
        """`pixels` is [images, height, width, channels]; `folder` is made when the first piece is written."""
        self._pixels, self._folder = pixels, folder
        self._kept: dict[tuple[View, bytes], NDArray[np.float32]] = {}
        self._latencies: dict[tuple[View, ...], float] = {}

    def of(self, frozen: Frozen, facts: Facts, job: FoldJob) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """(training, validation) features of a job, [rows, width] each, averaged over the views of its point.

        Folds of a study share their rows, and so what is computed: those of training and validation together.
        """
        rows, columns = np.union1d(job.train, job.validate), frozen.columns(job.params, facts)
        views = [self._view(view, rows)[:, columns] for view in frozen.views(job.params, facts)]
        mean = np.stack(views).mean(axis=0)
        return mean[np.searchsorted(rows, job.train)], mean[np.searchsorted(rows, job.validate)]

    def latency(self, frozen: Frozen, facts: Facts, job: FoldJob) -> float:
        """Milliseconds an image through the backbone, by all views of the job's point; measured on one piece."""
        views, pixels = frozen.views(job.params, facts), self._pixels[job.validate[:PIECE]]
        if views not in self._latencies:
            views[0].features(pixels)  # traces
            self._latencies[views] = milliseconds_an_image(lambda: [v.features(pixels) for v in views], len(pixels))
        return self._latencies[views]

    def _view(self, view: View, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        key = (view, rows.tobytes())
        found = self._kept.pop(key, None)
        self._kept[key] = self._gathered(view, rows) if found is None else found
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]  # the one longest not asked for
        return self._kept[key]

    def _gathered(self, view: View, rows: NDArray[np.int32]) -> NDArray[np.float32]:
        """All pieces of a view. Each worker goes through them in an order of its own, lest two compute the same."""
        pieces = [rows[start : start + PIECE] for start in range(0, len(rows), PIECE)]
        found: dict[int, NDArray[np.float32]] = {}
        for number in np.random.default_rng(os.getpid()).permutation(len(pieces)):
            found[int(number)] = self._piece(view, self._pixels[pieces[number]])
        return np.concatenate([found[number] for number in range(len(pieces))])

    def _piece(self, view: View, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        path = self._folder / f"{view.name}-{_digest(view, pixels)}.npy"
        kept = _read(path, len(pixels))
        if kept is not None:
            return kept
        computed = view.features(pixels)
        with contextlib.suppress(OSError):  # a full disk costs time in the next sitting, not this one's results
            _write(path, computed)
        return computed


def _digest(view: View, pixels: NDArray[np.uint8]) -> str:
    """Of the pixels, their shape, and the view's whole name, which a file system might cut or fold."""
    found = hashlib.sha256(f"{view.name} {pixels.shape} {pixels.dtype}\n".encode())
    found.update(np.ascontiguousarray(pixels).data)
    return found.hexdigest()[:32]


def _read(path: Path, images: int) -> NDArray[np.float32] | None:
    """A piece from disk; None where it is not there, or is damaged and has to be computed again."""
    try:
        found: NDArray[np.float32] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    sound = found.dtype == np.float32 and found.ndim == 2 and len(found) == images and np.isfinite(found).all()
    return found if sound else None


def _write(path: Path, features: NDArray[np.float32]) -> None:
    """Whole or not at all: another worker may be reading."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.part")
    try:
        with partial.open("wb") as stream:
            np.save(stream, features, allow_pickle=False)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def standardized(
    train: NDArray[np.float32], validate: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both sets of rows, [rows, width], by mean and standard deviation of the training rows alone."""
    mean, deviation = moments(train)
    return ((train - mean) / deviation).astype(np.float32), ((validate - mean) / deviation).astype(np.float32)


def moments(rows: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """(mean, standard deviation) of each column of [rows, width].

    A column that is the same for all rows says nothing. Its deviation is 1 then: it becomes 0, and stays small in
    other rows.
    """
    mean, deviation = rows.mean(axis=0, dtype=np.float64), rows.std(axis=0, dtype=np.float64)
    deviation[deviation < 1e-6] = 1.0
    return mean, deviation


def fit_head(
    frozen: Frozen,
    heads: Heads,
    train: NDArray[np.float32],
    validate: NDArray[np.float32],
    materials: Materials,
    job: FoldJob,
    started: float,
) -> FoldResult:
    """Fit a head on standardised features [rows, width] and judge it: one epoch, whose losses are those of the end.

    `started` is the `time.perf_counter` from which seconds count.
    """
    labels, truth = materials.labels[job.train], materials.labels[job.validate]
    head, classes = heads.fit(job.params, train, labels, job.seed), materials.facts.classes
    probabilities = heads.say(head, validate, classes)
    measured = scores(truth, probabilities)
    on_train = scores(labels, heads.say(head, train, classes), ("log_loss", "accuracy", "balanced_accuracy"))
    curve = {
        "loss": on_train["log_loss"],
        "val_loss": measured["log_loss"],
        "accuracy": on_train["accuracy"],
        "balanced_accuracy": on_train["balanced_accuracy"],
        "val_log_loss": measured["log_loss"],
        "val_balanced_accuracy": measured["balanced_accuracy"],
        f"val_{materials.metric}": measured[materials.metric],
    }
    return FoldResult(
        scores=measured,
        epochs=1,
        best_epoch=1,
        curve={name: (value,) for name, value in curve.items()},
        probabilities=probabilities,
        parameters=describe_frozen(frozen, job.params, materials.facts).parameters,
        seconds=time.perf_counter() - started,
    )


def describe_frozen(frozen: Frozen, params: Mapping[str, Value], facts: Facts) -> Description:
    """What the whole model is. `training_bytes` estimates the backbone's weights and one batch's maps, and the head.

    The head: its weights with gradients and two moments, and the features of all images, twice. Where the backbone
    is trained, what is trained has gradients and moments too, and keeps the maps in all its layers for the way back:
    `Backbone.kept` times those that its stages end with. Weights count twice: the next fold's are made beside them.
    """
    layers, backbone = frozen.layers(params, facts), frozen.backbone(params, facts)
    parameters, maps = _numbers(layers)
    pretrained, _ = _numbers(backbone.layers(32))
    if frozen.trained:
        trained, above = _numbers(frozen.trained(params, facts))
        held = int(params["batch_size"]) * (backbone.kept * above + PASSING * (maps - above))
        return Description(parameters, 4 * (2 * parameters + 3 * trained + held), layers, pretrained)
    features = 2 * facts.images * max(layer.shape[-1] or 1 for layer in layers)
    return Description(parameters, 4 * (4 * parameters + 4 * PIECE * maps + features), layers, pretrained)


def _numbers(layers: Sequence[Layer]) -> tuple[int, int]:
    """How many numbers are in the weights of layers, and in what they say of one image."""
    return sum(layer.parameters for layer in layers), sum(math.prod(n or 1 for n in layer.shape) for layer in layers)
