"""Asking a saved model about pictures: decoded as in training, whatever the model's file says it was trained on."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from search.data.decoding import FileRemark, Picture, decode, quiet, read_header
from search.data.formats import IMAGE_ENDINGS
from search.data.layout import files_below, name_of
from search.errors import UsageError
from search.manifest import About, about
from search.native import ENVIRONMENT, no_stderr
from search.results.predictions import Prediction

_BATCH = 64  # pictures decoded and asked about at a time


@dataclass(frozen=True)
class InputFile:
    """Something to be asked about, or in its place."""

    path: Path
    named: bool  # by the user; else it lay in a folder that was named
    problem: FileRemark | None = None  # known without opening it


def list_inputs(given: Iterable[Path]) -> list[InputFile]:
    """The files named, and what is in folders named, listed as for training: without hidden files.

    Raises UsageError for what is not there, or is neither a file nor a folder.
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
    """An answer for each, in order; of what training would leave out, why, in the same words.

    Seconds pass before the first: TensorFlow is imported. Raises UsageError for a model that cannot be loaded.
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
            decoded = [file.problem or _decoded(file.path, needs) for file in some]
        pixels = [picture.pixels for picture in decoded if isinstance(picture, Picture)]
        probabilities = iter(network.predict(np.stack(pixels).astype(np.float32), verbose=0) if pixels else ())
        for file, picture in zip(some, decoded, strict=True):
            shown = name_of(file.path)
            if isinstance(picture, FileRemark):
                yield Prediction(shown, problem=_LEFT_OUT.sub("", picture.message), stray=_is_stray(file, picture))
            else:
                clipped = next((remark.message for remark in picture.remarks if remark.kind == "clipped"), "")
                yield Prediction(shown, tuple(float(p) for p in next(probabilities)), clipped=clipped)
        progress(min(start + _BATCH, len(files)), len(files))


_LEFT_OUT = re.compile(r"(:|\.|: it is) left out( without decoding it)?\.$", re.IGNORECASE)  # which is of training


def _is_stray(file: InputFile, remark: FileRemark) -> bool:
    return not file.named and remark.kind == "not an image" and file.path.suffix.lower() not in IMAGE_ENDINGS


def load_model(path: Path) -> Any:
    """The keras.Model in this file; nothing in it can run code. Raises UsageError where it cannot be loaded."""
    os.environ.update(ENVIRONMENT)
    try:
        with no_stderr():  # TensorFlow greets there
            import keras

            return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # noqa: BLE001 - Keras raises anything on a file that is not one of its own
        first = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
        raise UsageError(f"{path} cannot be loaded: {first}") from None


def _decoded(path: Path, needs: About) -> Picture | FileRemark:
    """A picture as the model takes it; what training refuses by its header is refused."""
    header, channels = read_header(path), needs.image_shape[2]
    picture = header if isinstance(header, FileRemark) else decode(path, needs.image_shape[:2], needs.grey_bits)
    if isinstance(picture, FileRemark) or picture.pixels.shape[2] == channels:
        return picture
    if channels == 3:
        return replace(picture, pixels=np.repeat(picture.pixels, 3, axis=2))
    return replace(picture, pixels=np.asarray(Image.fromarray(picture.pixels).convert("L"))[:, :, None])
