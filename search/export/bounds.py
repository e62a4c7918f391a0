"""What a model file asks for, before it is loaded: a stranger's could ask for any amount of memory."""

from __future__ import annotations

import json
import math
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.worker.keras_internals import outputs_of_one, without_values
from spaces.backbones import BackboneError
from spaces.backbones.h5_file import announced_bytes

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_MAX_BYTES = {_CONFIG: 32 * 2**20, _WEIGHTS: 8 * 2**30}  # unpacked; of ours the largest are 2 MB and 2 GB
_MAX_OTHER = 16 * 2**20  # of any other file in the archive
_MAX_RATIO = 200  # of unpacked to packed bytes: text is packed 20 times
_MAX_MEMBERS = 1000
MAX_OUTPUT = 2**26  # numbers that a layer may give for one image: 256 MiB. The largest of ours have 2**23
_MAX_BATCH = 2**29  # and for all images that are predicted at once: 2 GiB
_SLACK = 2**20  # bytes of variables that are not in the file of weights, such as states of random generators


def check_archive(path: Path) -> None:
    """Raises UsageError unless every file in the archive has a sensible size and is not encrypted. Unpacks nothing."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise UsageError(f"{path} is no model of `search export`: {error}") from None
    if len(members) > _MAX_MEMBERS:
        raise UsageError(f"{path} is no model of `search export`: it holds {len(members):,} files")
    for member in members:
        if member.flag_bits & 0x1:
            raise UsageError(f"{path} is no model of `search export`: {member.filename[:60]} in it is encrypted")
        most = min(_MAX_BYTES.get(member.filename, _MAX_OTHER), _MAX_RATIO * member.compress_size + _SLACK)
        if member.file_size > most:
            raise UsageError(
                f"{path} is no model of `search export`: {member.filename[:60]} in it would have "
                f"{member.file_size:,} bytes, at most {most:,} are read"
            )


def check_network(path: Path) -> None:
    """Raises UsageError if the network would take more memory than its file accounts for.

    It is built without values, so this takes none. Imports TensorFlow. Call `check_archive` first. Other errors are
    those of Keras for a configuration that is none.
    """
    import keras

    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read(_CONFIG))
        stored = archive.getinfo(_WEIGHTS).file_size
        _check_arrays(path, archive, stored)
    with without_values():
        network = keras.saving.deserialize_keras_object(config, safe_mode=True)
        needed = sum(math.prod(variable.shape) * _bytes_of(variable.dtype) for variable in network.variables)
        if needed > stored + _SLACK:
            raise UsageError(f"{path} is damaged: its network has {needed:,} bytes of weights, and the file {stored:,}")
        largest, name = _largest(network)
    if largest > MAX_OUTPUT:
        raise UsageError(f"{path} is damaged: its layer {name[:60]!r} gives {largest:,} numbers for one image")


def images_at_once(network: Any, most: int) -> int:
    """How many images, at most `most`, a keras.Model may be given so that no layer's output is larger than 2 GiB."""
    return images_that_fit(_largest(network)[0], most)


def images_that_fit(numbers: int, most: int) -> int:
    """How many images, at most `most` and at least one, of which a step makes so many numbers each, fit in 2 GiB."""
    return max(1, min(most, _MAX_BATCH // max(1, numbers)))


def _check_arrays(path: Path, archive: zipfile.ZipFile, stored: int) -> None:
    """Raises UsageError where the file of weights announces more than it has: packed, or never written."""
    with tempfile.TemporaryFile() as copy, archive.open(_WEIGHTS) as weights:
        shutil.copyfileobj(weights, copy)
        try:
            announced = announced_bytes(Path(_WEIGHTS), copy)
        except BackboneError as error:
            raise UsageError(f"{path} is damaged: {error}") from None
    if announced > stored:
        raise UsageError(
            f"{path} is damaged: {_WEIGHTS} in it has {stored:,} bytes, and its arrays would have {announced:,}"
        )


def _largest(network: Any) -> tuple[int, str]:
    """(Numbers for one image, name) of the largest output of a layer or operation, within other networks too."""
    sizes = (
        (math.prod(side or 1 for side in shape), str(operation.name)) for operation, shape in outputs_of_one(network)
    )
    return max(sizes, default=(0, ""))


def _bytes_of(dtype: str) -> int:
    """Of one number: those of the digits in the name of its type, as float32."""
    return int("".join(filter(str.isdigit, dtype)) or 8) // 8
