"""Asking a saved model about pictures: decoded as in training, whatever the model's file says it was trained on."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.answers import Answer
from search.errors import UsageError
from search.image_decoding import Remark, decode, no_stderr, quiet
from search.text import printable

ABOUT = "smallsearch.json"  # within the .keras file, which is a ZIP archive
_MOST_ABOUT = 2**20  # bytes of it that are read
_BATCH = 64  # pictures decoded and asked about at a time


@dataclass(frozen=True)
class About:
    """What using a model needs to know."""

    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]  # height, width, channels of what the model takes, 0..255


def about(path: Path) -> About:
    """What the model in this file needs. Raises UsageError where it is none of ours."""
    try:
        with zipfile.ZipFile(path) as archive, archive.open(ABOUT) as stream:
            told = json.loads(stream.read(_MOST_ABOUT))
        classes, shape = tuple(map(str, told["classes"])), tuple(map(int, told["image_shape"]))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError):
        raise UsageError(f"{path} is no model of `search export`: it does not say which classes it knows") from None
    if len(classes) < 2 or len(shape) != 3 or min(shape) < 1 or shape[2] not in (1, 3):
        raise UsageError(f"{path} is damaged: classes {list(classes)}, images of the shape {list(shape)}")
    return About(classes, (shape[0], shape[1], shape[2]))


def pictures(given: Iterable[Path]) -> list[Path]:
    """The files named, and all in folders named, but for hidden ones. Raises UsageError for what is not there."""
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = (p for p in sorted(path.rglob("*")) if p.is_file())
            found += [p for p in inside if not any(part.startswith(".") for part in p.relative_to(path).parts)]
        elif path.exists():
            found.append(path)
        else:
            raise UsageError(f"{path} does not exist; name picture files, or folders of them")
    if not found:
        raise UsageError("there are no files in what was named; name picture files, or folders of them")
    return found


def predict(
    model: Path, files: Sequence[Path], progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Iterator[Answer]:
    """An answer for each file, in order. Files in folders that are no pictures by their content are passed over.

    Seconds pass before the first: TensorFlow is imported. Raises UsageError for a model that cannot be loaded.
    """
    needs, network = about(model), _loaded(model)
    progress(0, len(files))
    for start in range(0, len(files), _BATCH):
        some = files[start : start + _BATCH]
        with quiet():
            decoded = [_decoded(path, needs.image_shape) for path in some]
        pixels = [one for one in decoded if not isinstance(one, Remark)]
        said = iter(network.predict(np.stack(pixels).astype(np.float32), verbose=0) if pixels else ())
        for path, one in zip(some, decoded, strict=True):
            if isinstance(one, Remark):
                yield Answer(printable(str(path)), problem=one.message.removesuffix(": left out.").removesuffix("."))
            else:
                yield Answer(printable(str(path)), tuple(float(p) for p in next(said)))
        progress(min(start + _BATCH, len(files)), len(files))


def _loaded(path: Path) -> Any:
    """The model; nothing in its file can run code."""
    from search.worker import ENVIRONMENT  # which imports nothing heavy, but more than a listing needs

    os.environ.update(ENVIRONMENT)
    try:
        with no_stderr():  # TensorFlow greets there
            import keras

            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # noqa: BLE001 - Keras raises anything on a file that is not one of its own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UsageError(f"{path} cannot be loaded: {first}") from None


def _decoded(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8] | Remark:
    """[height, width, channels] as the model takes it."""
    picture = decode(path, shape[:2])
    if isinstance(picture, Remark):
        return picture
    pixels = picture.pixels
    if pixels.shape[2] == shape[2]:
        return pixels
    if shape[2] == 3:
        return np.repeat(pixels, 3, axis=2)
    return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
