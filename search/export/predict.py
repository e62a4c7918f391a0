"""Classifying pictures with a saved model. They are decoded exactly as training images are."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from search.data.decoding import IMAGE_ENDINGS, FileRemark, decode, quiet, read_header
from search.data.layout import files_below, name_of
from search.errors import UsageError
from search.manifest import about
from search.native import ENVIRONMENT, no_stderr
from search.results.predictions import Prediction

_BATCH = 64  # pictures decoded and predicted at a time


@dataclass(frozen=True)
class InputFile:
    """A file to classify, or the reason why it cannot be."""

    path: Path
    named: bool  # whether the user named it; else it is in a folder that the user named
    problem: FileRemark | None = None  # known without opening it


def list_inputs(given: Iterable[Path]) -> list[InputFile]:
    """The given files, and the files in given folders, listed as for training: without hidden files.

    Raises UsageError if a path does not exist, or is neither a file nor a folder.
    """
    found: list[InputFile] = []
    for path in given:
        if path.is_dir():
            inside, notes = files_below(path)
            found += [InputFile(file, named=False) for file in inside]
            known = [note for note in notes if note.kind != "hidden"]
            found += [
                InputFile(path / note.path, named=False, problem=FileRemark(note.kind, note.message)) for note in known
            ]
        elif path.is_file():
            found.append(InputFile(path, named=True))
        elif path.exists():
            raise UsageError(f"{path} is neither a file nor a folder; name picture files, or folders of them")
        else:
            raise UsageError(f"{path} does not exist; name picture files, or folders of them")
    if not found:
        raise UsageError("there are no files in what was named; name picture files, or folders of them")
    return found


def predict(
    model: Path, files: Sequence[InputFile], progress: Callable[[int, int], None] = lambda _done, _all: None
) -> Iterator[Prediction]:
    """A prediction for each file, in order; for a file that training would leave out, the reason in the same words.

    The first takes seconds, because TensorFlow is imported. Raises UsageError for a model that cannot be loaded.
    """
    needs, network = about(model), load_model(model)
    says = (None, *needs.image_shape), (None, len(needs.classes))
    if (network.input_shape, network.output_shape) != says:
        raise UsageError(
            f"{model} is damaged: its network takes {network.input_shape} and gives {network.output_shape}, but it "
            f"says {says[0]} and {says[1]}"
        )
    progress(0, len(files))
    for start in range(0, len(files), _BATCH):
        some = files[start : start + _BATCH]
        with quiet():
            decoded = [one.problem or _decoded(one.path, needs.image_shape) for one in some]
        pixels = [one for one in decoded if not isinstance(one, FileRemark)]
        probabilities = iter(network.predict(np.stack(pixels).astype(np.float32), verbose=0) if pixels else ())
        for file, one in zip(some, decoded, strict=True):
            shown = name_of(file.path)
            if isinstance(one, FileRemark):
                yield Prediction(shown, problem=_LEFT_OUT.sub("", one.message), stray=_is_stray(file, one))
            else:
                yield Prediction(shown, tuple(float(p) for p in next(probabilities)))
        progress(min(start + _BATCH, len(files)), len(files))


_LEFT_OUT = re.compile(r"(:|\.|: it is) left out( without decoding it)?\.$", re.IGNORECASE)  # which is of training


def _is_stray(file: InputFile, remark: FileRemark) -> bool:
    return not file.named and remark.kind == "not an image" and file.path.suffix.lower() not in IMAGE_ENDINGS


def load_model(path: Path) -> Any:
    """Load a keras.Model without running code from its file. Raises UsageError if it cannot be loaded."""
    os.environ.update(ENVIRONMENT)
    try:
        with no_stderr():  # TensorFlow prints start messages there
            import keras

            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # noqa: BLE001 - Keras raises anything on a file that is not one of its own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UsageError(f"{path} cannot be loaded: {first}") from None


def _decoded(path: Path, shape: tuple[int, int, int]) -> NDArray[np.uint8] | FileRemark:
    """[height, width, channels] as the model takes it; refuses by the header what training refuses."""
    header = read_header(path)
    picture = header if isinstance(header, FileRemark) else decode(path, shape[:2])
    if isinstance(picture, FileRemark):
        return picture
    pixels = picture.pixels
    if pixels.shape[2] == shape[2]:
        return pixels
    if shape[2] == 3:
        return np.repeat(pixels, 3, axis=2)
    return np.asarray(Image.fromarray(pixels).convert("L"))[:, :, None]
