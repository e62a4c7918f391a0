"""A model of any format, once it is loaded: pixels in, probabilities out."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.errors import UsageError
from search.export.bounds import images_at_once as of_keras
from search.export.bounds import images_that_fit
from search.text import command_line, installing

EXTRA = "export"  # in pyproject.toml

_SEAL, _SEALED = "sha256", "bytes"  # keys of a description: the seal, and how many bytes of the file it is of
_PIECE = 2**20  # bytes that are read at once

Run = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Loaded:
    """A model of another format than Keras's own, with as much of a keras.Model as predicting needs."""

    run: Run  # float32 pixels 0..255 [images, height, width, channels] -> [images, classes]
    input_shape: tuple[int | None, ...]
    output_shape: tuple[int | None, ...]
    batch: int | None = None  # images that it takes at once; None: any number
    largest: int = 0  # numbers that it makes of one image in one step, as far as the file says
    weights: tuple[Any, ...] = ()  # as of a keras.Model; not shown by these formats

    def predict_on_batch(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """[images, classes], however many images the file takes at once."""
        if self.batch is None:
            return self.run(images)
        answers = []
        for start in range(0, len(images), self.batch):
            some = images[start : start + self.batch]
            piece = np.zeros((self.batch, *images.shape[1:]), np.float32)
            piece[: len(some)] = some
            answers.append(self.run(piece)[: len(some)])
        return np.concatenate(answers)


def images_at_once(network: Any, most: int) -> int:
    """How many images, at most `most`, a network may be given so that none of its steps takes too much memory."""
    if isinstance(network, Loaded):
        return images_that_fit(network.largest, most)
    return of_keras(network, most)


def free_batch(shape: tuple[Any, ...]) -> tuple[int | None, ...]:
    """A shape whose first side is the number of images, as `Loaded` has it: of any number."""
    return (None, *(int(side) for side in shape[1:]))


def check_installed(modules: tuple[str, ...], what: str) -> None:
    """Raises UsageError, with the command that installs it, unless all modules can be imported. `what` needs them."""
    missing = [module for module in modules if not _is_there(module)]
    if missing:
        raise UsageError(f"{what} needs {', '.join(missing)}, which is not installed: {installing(EXTRA)}")


def _is_there(module: str) -> bool:
    return importlib.util.find_spec(module) is not None


def check_size(path: Path, most: int) -> None:
    """Raises UsageError for a file of more than `most` bytes, or one that cannot be read."""
    try:
        size = path.stat().st_size
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    if size > most:
        raise UsageError(f"{path} has {size:,} bytes; of a file of this kind at most {most:,} are read")


def sealed(path: Path, said: Mapping[str, Any]) -> Mapping[str, Any]:
    """A description with a seal: the SHA-256 of the file as it is, to which the description is appended, and of itself.

    A damaged file of these formats may load and answer otherwise, or end the process. Raises OSError.
    """
    said = {**said, _SEALED: path.stat().st_size}
    return {**said, _SEAL: _digest(path, said)}


def check_seal(path: Path, description: bytes) -> None:
    """Raises UsageError where the file is not as it was when it was `sealed`. One of an earlier release has no seal."""
    try:
        said = json.loads(description)
        seal = said.pop(_SEAL, None)
        intact = seal is None or seal == _digest(path, said)
    except (OSError, LookupError, ValueError, TypeError, AttributeError):
        intact = False
    if not intact:
        raise UsageError(
            f"{path} is damaged, or another program changed it: it is not what `search export` wrote; "
            f"`{command_line('export', 'STUDY', '--to', path)}` makes it anew"
        )


def _digest(path: Path, said: Mapping[str, Any]) -> str:
    digest, left = hashlib.sha256(json.dumps(said, sort_keys=True).encode()), int(said[_SEALED])
    with path.open("rb") as file:
        while left > 0 and (piece := file.read(min(left, _PIECE))):
            digest.update(piece)
            left -= len(piece)
    return digest.hexdigest()
