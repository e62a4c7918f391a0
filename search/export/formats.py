"""The formats in which a model can leave its study, one row each, by the ending of the file's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.export import litert, onnx_file, saved_model
from search.export.loaded import Loaded, check_installed
from search.export.wanted import SHORTER, Wanted
from search.manifest import About, about, parsed

KERAS, CODE = ".keras", ".py"
"""Keras's own file, which is copied, and plain code, which is written by `search.export.code`."""


@dataclass(frozen=True)
class Format:
    """A format that a keras.Model is converted to, and read back from."""

    name: str  # for people
    suffix: str  # of the file's name; empty: a folder
    modules: tuple[str, ...]  # that writing needs, beside TensorFlow; those of the extra `export`
    write: Callable[[Any, Path, Wanted, Mapping[str, Any]], Mapping[str, Any]]
    """(keras.Model, path, what is wanted, description) -> what the file says of itself."""
    describe: Callable[[Path], bytes]  # the description in a file, as JSON. Raises UsageError
    read: Callable[[Path], Loaded]  # Raises UsageError. Runs nothing that is in the file
    reading: tuple[str, ...]  # modules that reading needs
    quantize: tuple[str, ...] = ()  # how numbers can be shortened in it


FORMATS = (
    Format(
        "LiteRT",
        ".tflite",
        litert.MODULES,
        litert.write,
        litert.describe,
        litert.read,
        litert.MODULES,
        quantize=SHORTER,
    ),
    Format(
        "ONNX",
        ".onnx",
        onnx_file.MODULES,
        onnx_file.write,
        onnx_file.describe,
        onnx_file.read,
        onnx_file.READING,
    ),
    Format(
        "SavedModel",
        "",
        (),
        saved_model.write,
        saved_model.describe,
        saved_model.read,
        (),
    ),
)
ENDINGS = (KERAS, *(one.suffix for one in FORMATS if one.suffix), CODE)


def format_to_write(path: Path) -> Format | None:
    """The format that a path to be written asks for; None for Keras's own and for code. Raises UsageError."""
    suffix = "" if path.is_dir() else path.suffix.lower()
    if suffix in (KERAS, CODE):
        return None
    for one in FORMATS:
        if one.suffix == suffix:
            return one
    raise UsageError(f"--to: must end in {', '.join(ENDINGS)}, or be a folder without an ending, got {path}")


def format_of(path: Path) -> Format | None:
    """The format of a model that is there, by its name; None for Keras's own, as which any other file is read."""
    suffix = "" if path.is_dir() else path.suffix.lower()
    return next((one for one in FORMATS if one.suffix == suffix and (suffix or path.is_dir())), None)


def described(path: Path) -> About:
    """What a model of any format says of itself. Raises UsageError for one that `search export` did not write."""
    known = format_of(path)
    return about(path) if known is None else parsed(known.describe(path), path)


def loaded(path: Path, known: Format) -> Loaded:
    """Load a model of a format. Raises UsageError, also where its runtime is not installed."""
    check_installed(known.reading, f"reading {known.name}, {path},")
    return known.read(path)
