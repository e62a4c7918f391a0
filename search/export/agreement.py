"""Whether an exported file says what the model says of which it was made: measured on the study's images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.export.loaded import images_at_once
from search.results.agreement import Agreement
from search.stats.metrics import METRICS

BOUND = 1e-4  # by which a probability may differ, where no number was shortened
_BATCH = 64  # images at once
_CALLS, _WARM = 20, 3  # of one image each, that are timed, and before


def agreement(
    before: Any,
    after: Any,
    path: Path,
    images: tuple[NDArray[np.uint8], NDArray[np.int16], NDArray[np.bool_]],
    metric: str,
    progress: Callable[[int, int], None],
) -> Agreement:
    """Compare two networks with `predict_on_batch`, the study's and the exported one in the file or folder `path`.

    `images`: pixels [images, height, width, channels], labels [images], which are for testing [images]. `metric`: the
    study's, in which both are judged. `progress` is called with (images predicted, images to predict), each image being
    predicted twice.
    """
    pixels, labels, testing = images
    answers, done = [], 0
    for network in (before, after):
        given: list[NDArray[np.float32]] = []
        for some in _batches(pixels, images_at_once(network, _BATCH)):
            before_them = sum(len(answer) for answer in given)
            given.append(np.asarray(network.predict_on_batch(some))[: len(pixels) - before_them])
            done += len(given[-1])
            progress(done, 2 * len(pixels))
        answers.append(np.concatenate(given))
    first, second = answers
    judged = testing if testing.any() else np.ones(len(pixels), np.bool_)
    scores = [METRICS[metric].of(labels[judged], answer[judged]) for answer in answers]
    return Agreement(
        images=len(pixels),
        largest=float(np.abs(first - second).max()),
        differing=int((first.argmax(axis=1) != second.argmax(axis=1)).sum()),
        judged=int(judged.sum()),
        testing=bool(testing.any()),
        metric=metric,
        score=scores[1],
        score_before=scores[0],
        bytes=bytes_of(path),
        milliseconds=_milliseconds(after, pixels),
        milliseconds_before=_milliseconds(before, pixels),
    )


def bytes_of(path: Path) -> int:
    """Of a file, or of all files in a folder."""
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _batches(pixels: NDArray[np.uint8], size: int) -> Iterator[NDArray[np.float32]]:
    """Of one size each, as `search predict` gives them: what is missing in the last one is 0."""
    size = min(size, len(pixels))
    for start in range(0, len(pixels), size):
        batch = np.zeros((size, *pixels.shape[1:]), np.float32)
        some = pixels[start : start + size]
        batch[: len(some)] = some
        yield batch


def _milliseconds(network: Any, pixels: NDArray[np.uint8]) -> float:
    taken = []
    for number in range(_WARM + _CALLS):
        image = pixels[number % len(pixels)][None].astype(np.float32)
        started = time.perf_counter()
        np.asarray(network.predict_on_batch(image))
        taken.append(time.perf_counter() - started)
    return 1000 * statistics.median(taken[_WARM:])
