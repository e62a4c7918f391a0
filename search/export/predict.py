"""Classifying pictures with a saved model. They are decoded exactly as training images are."""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.data.decoding import MAX_PIXELS, FileRemark, Header, Picture, decode, quiet, read_header
from search.data.depth import Scale
from search.data.formats import IMAGE_ENDINGS
from search.data.images import PixelBudget
from search.errors import UsageError
from search.export.bounds import check_archive, check_network
from search.export.formats import described, format_of, loaded
from search.export.inputs import InputFile
from search.export.loaded import images_at_once
from search.export.seeing import seeing, seen_outside
from search.manifest import About, Remembered, remembered
from search.native import ENVIRONMENT, no_stderr
from search.results.predictions import Prediction
from search.stats.calibration import Correction
from search.stats.unlike import distances
from search.text import installing

_TOLERANCE = 0.01  # by which probabilities may miss 0 and their sum 1, for rounding
_BATCH = 64  # pictures that the network takes at once, and that threads decode ahead of it


def predict(
    model: Path,
    files: Sequence[InputFile],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    unknown: bool = False,
) -> Iterator[Prediction]:
    """A prediction for each file, in order; for a file that training would leave out, the reason in the same words.

    `unknown`: whether pictures that are unlike all training images are told. The first prediction takes seconds,
    because TensorFlow is imported. Raises UsageError for a model that cannot be loaded, whose predictions are no
    probabilities, or that remembers no training images though `unknown` asks for them.
    """
    needs, known = described(model), _remembered(model) if unknown else None
    network = _at_hand(model)
    says = (None, *needs.image_shape), (None, len(needs.classes))
    if (network.input_shape, network.output_shape) != says:
        raise UsageError(
            f"{model} is damaged: its network takes {network.input_shape} and gives {network.output_shape}, but it "
            f"says {says[0]} and {says[1]}"
        )
    watching = _seeing(network, known, model) if known and not known.outside else network
    progress(0, len(files))
    try:
        yield from classified(watching, needs, files, progress, known, images_at_once(network, _BATCH))
    except ValueError as error:
        raise UsageError(f"{model} {error}; `search export STUDY --to FILE.keras` makes it anew") from None


def _remembered(model: Path) -> Remembered:
    if found := remembered(model):
        return found
    if format_of(model):
        raise UsageError(
            f"--unknown: {model} does not remember its training images: only a .keras file or a study does"
        )
    raise UsageError(
        f"--unknown: {model} does not remember its training images: an earlier release made it, its networks are of "
        "one of two folds, or no pre-trained network was at hand, by which images are told apart that were not "
        "learned. With that installed, "
        "`search resume` with a larger budget makes it anew: " + installing("backbone")
    )


def _seeing(network: Any, known: Remembered, model: Path) -> Any:
    try:
        return seeing(network, known)
    except (ValueError, AttributeError):  # the latter: of a network that is no graph of layers
        raise UsageError(
            f"{model} is damaged: what it remembers of its training images is not of its own layers"
        ) from None


def classified(
    network: Any,
    needs: About,
    files: Sequence[InputFile],
    progress: Callable[[int, int], None],
    known: Remembered | None = None,
    at_once: int = _BATCH,
) -> Iterator[Prediction]:
    """As `predict`, by a network that is loaded. Raises ValueError, of a predicate, where it gives no probabilities.

    With `known` the network gives features too. `at_once`: images that it gets at once.
    """
    size, outside = min(at_once, len(files)), seen_outside(known, known.outside) if known and known.outside else None
    correction = Correction(needs.temperature, needs.doubt)
    with quiet(), closing(pictures_in(files, needs)) as pictures:
        for start in range(0, len(files), size):
            some = files[start : start + size]
            decoded = list(islice(pictures, len(some)))
            pixels = [picture.pixels for picture in decoded if isinstance(picture, Picture)]
            answers, seen = _answers(network, pixels, size)
            if problem := _no_probabilities(network, answers):
                raise ValueError(problem)
            corrects = len(answers) > 0 and not correction.is_none
            probabilities = iter(correction.of(answers) if corrects else answers)
            if outside and pixels:
                seen = outside(np.stack(pixels))
            unlike = iter(_are_unlike(known, seen, len(answers)))
            for file, picture in zip(some, decoded, strict=True):
                shown = file.shown
                if isinstance(picture, FileRemark):
                    yield Prediction(shown, problem=_LEFT_OUT.sub("", picture.message), stray=_is_stray(file, picture))
                else:
                    clipped = next((remark.message for remark in picture.remarks if remark.kind == "clipped"), "")
                    of_classes = tuple(float(p) for p in next(probabilities))
                    yield Prediction(shown, of_classes, clipped=clipped, unknown=next(unlike))
            progress(start + len(some), len(files))


def _are_unlike(known: Remembered | None, seen: Sequence[NDArray[np.float32]], images: int) -> list[bool]:
    """Of each image whether it is unlike the training images; False for all where nobody asks."""
    if known is None or not images:
        return [False] * images
    beyond = [distances(each.features, of_new) > each.limit for each, of_new in zip(known.known, seen, strict=True)]
    return [bool(unlike) for unlike in np.any(beyond, axis=0)]


def _answers(
    network: Any, pixels: Sequence[NDArray[np.uint8]], size: int
) -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """([images, classes], [images, width] of all else that the network gives) of at most `size` images.

    The network gets as many each time: another number is traced anew.
    """
    if not pixels:
        return np.zeros((0, 0), np.float32), []
    batch = np.zeros((size, *pixels[0].shape), np.float32)
    batch[: len(pixels)] = pixels
    answers = network.predict_on_batch(batch)
    first, *more = answers if isinstance(answers, list | tuple) else (answers,)
    return first[: len(pixels)], [rows[: len(pixels)] for rows in more]


def _no_probabilities(network: Any, answers: NDArray[np.float32]) -> str:
    """Why rows of [images, classes] are no probabilities, as a predicate; '' where they are."""
    if not np.isfinite(answers).all():
        broken = sum(not np.isfinite(weight.numpy()).all() for weight in network.weights)
        why = (
            f"{broken} of its {len(network.weights)} arrays of weights hold NaN or infinity"
            if broken
            else "it overflows"
        )
        return f"answers NaN: {why}"
    sums = answers.sum(axis=1)
    if len(answers) and (answers.min() < -_TOLERANCE or np.abs(sums - 1).max() > _TOLERANCE):
        return (
            f"answers numbers of {answers.min():.3g} to {answers.max():.3g} that add up to {sums.min():.3g} to "
            f"{sums.max():.3g}, not probabilities: it is of an earlier release, or damaged"
        )
    return ""


_LEFT_OUT = re.compile(r"(:|\.|: it is) left out( without decoding it)?\.$", re.IGNORECASE)  # which is of training


def _is_stray(file: InputFile, remark: FileRemark) -> bool:
    return not file.named and remark.kind == "not an image" and file.path.suffix.lower() not in IMAGE_ENDINGS


def _at_hand(model: Path) -> Any:
    """The loaded model; that of the call before where it is the same file: loading and tracing take seconds."""
    if not model.is_file():
        return load(model)
    found = model.stat()
    return _of_file(model, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1)
def _of_file(model: Path, *_state: int) -> Any:
    return load(model)


def load(path: Path) -> Any:
    """Load a model of any format: a keras.Model, or a `Loaded`. Raises UsageError if it cannot be loaded."""
    known = format_of(path)
    return load_model(path) if known is None else loaded(path, known)


def load_model(path: Path) -> Any:
    """Load a keras.Model without running code from its file. Raises UsageError if it cannot be loaded."""
    os.environ.update(ENVIRONMENT)
    check_archive(path)
    try:
        with no_stderr():  # TensorFlow prints start messages there
            import keras

            check_network(path)
            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except UsageError:
        raise
    except Exception as error:  # noqa: BLE001 - Keras raises anything on a file that is not one of its own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UsageError(f"{path} cannot be loaded: {first}") from None


def pictures_in(files: Sequence[InputFile], needs: About) -> Generator[Picture | FileRemark]:
    """Each file's picture, or why there is none, in their order. Threads decode while the network is busy."""
    budget = PixelBudget(MAX_PIXELS)
    scale = Scale.of_model(needs.grey_bits, needs.grey_window)

    def decoded(file: InputFile, header: Header) -> Picture | FileRemark:
        with budget.reserved(header.height * header.width):
            return _fitting(decode(file.path, needs.image_shape[:2], scale), needs.image_shape[2])

    def read(file: InputFile) -> Picture | FileRemark | Header:
        """The header where the main thread must decode the file. What training refuses by its header is refused."""
        found = file.problem or read_header(file.path)
        return found if isinstance(found, FileRemark) or found.alone else decoded(file, found)

    pool = ThreadPoolExecutor()
    try:
        waiting: deque[Future[Picture | FileRemark | Header]] = deque()
        later = iter(files)
        for file in files:
            waiting.extend(pool.submit(read, other) for other in islice(later, _BATCH - len(waiting)))
            found = waiting.popleft().result()
            yield decoded(file, found) if isinstance(found, Header) else found
    finally:
        pool.shutdown(cancel_futures=True)


def _fitting(picture: Picture | FileRemark, channels: int) -> Picture | FileRemark:
    """The picture with the model's number of channels."""
    if isinstance(picture, FileRemark) or picture.pixels.shape[2] == channels:
        return picture
    if channels == 3:
        return replace(picture, pixels=np.repeat(picture.pixels, 3, axis=2))
    return replace(picture, pixels=np.asarray(Image.fromarray(picture.pixels).convert("L"))[:, :, None])
