"""HDF5 files of weights, as Keras writes them: what is in one, before Keras reads it, and without reading an array.

No code can come out of such a file. Keras's `load_weights` (read in 3.11.3 and 3.15.1: `load_weights_only` of
saving/saving_lib.py for `.weights.h5`, `load_weights_from_hdf5_group` of legacy/saving/legacy_h5_format.py for `.h5`)
takes names from attributes and numbers from arrays, and assigns them to variables of a model that is there already. It
makes no layer, hence no Lambda, and looks at no configuration, even of a file that holds a whole model; HDF5 has no
pickles, and h5py makes none. What a file can do is lead elsewhere (links and arrays in other files) and announce arrays
that fit in no memory. Not every release of Keras refuses that, so it is refused here.
"""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from spaces.backbones import BackboneError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
MAX_ENTRIES = 20_000  # groups and arrays of a file; the largest known here has 1,500
DEEPEST = 16  # groups within groups: hard links may go in circles

Shape = tuple[int, ...]


def digest(path: Path) -> tuple[str, int]:
    """SHA-256 of a file in hex, and its bytes. Raises BackboneError, naming it, where it cannot be read."""
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to open a named pipe is to wait for ever
            raise BackboneError(f"{path} is not a file")
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest(), stream.tell()
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error.strerror}") from None


def shapes(path: Path) -> list[Shape]:
    """The shapes of all arrays in a file of weights, ascending. Raises BackboneError for anything else."""
    return sorted(arrays(path).values())


def arrays(path: Path) -> dict[str, Shape]:
    """The shapes of all arrays in a file of weights, by name. Raises BackboneError for anything else."""
    if path.suffix != ".h5":
        raise BackboneError(f"{path} must be a file of weights, named .weights.h5 or .h5; nothing else is read")
    with path.open("rb") as stream:
        if stream.read(len(SIGNATURE)) != SIGNATURE:
            raise BackboneError(f"{path} is not an HDF5 file, whatever its name says")
    with _opened(path) as file:
        _check_name(path, file)
        return {name: found.shape for name, found in _arrays(path, file)}


def read(path: Path, names: Collection[str]) -> dict[str, NDArray[np.float32]]:
    """Some of the arrays. Raises BackboneError where one takes more memory than bytes of the file."""
    with _opened(path) as file:
        found = {name: file[name] for name in names}
        for name, array in found.items():
            if array.dtype.kind != "f" or array.id.get_storage_size() != array.nbytes:
                raise BackboneError(f"{path}: {name} is packed, or is of whole numbers; it is not read")
        return {name: array[()].astype(np.float32) for name, array in found.items()}


def announced_bytes(path: Path, stream: BinaryIO) -> int:
    """Of all arrays in a file of weights, once they are unpacked. Raises BackboneError, naming `path`, as `arrays`."""
    with _opened(path, stream) as file:
        return sum(int(found.nbytes) for _, found in _arrays(path, file))


@contextmanager
def _opened(path: Path, stream: BinaryIO | None = None) -> Iterator[Any]:
    """The file; whatever a damaged one makes of h5py is a BackboneError. `stream`: its content, where it is no file."""
    import h5py

    try:
        with h5py.File(stream or path, "r") as file:
            yield file
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, BackboneError):
            raise
        raise BackboneError(f"{path} is damaged: {str(error).splitlines()[0][:200]}") from None


def _check_name(path: Path, file: Any) -> None:
    """Keras chooses its reader by the name of the file."""
    old = any(name.startswith("layer_names") for name in file.attrs) or "model_weights" in file
    named_new = path.name.endswith(".weights.h5")
    if old and named_new:
        raise BackboneError(f"{path} is in the older format, so its name must end in .h5 but not in .weights.h5")
    if not old and not named_new:
        raise BackboneError(f"{path} is not in the older format, so its name must end in .weights.h5")


def _arrays(path: Path, file: Any) -> Iterator[tuple[str, Any]]:
    import h5py

    waiting, entries = [(file, "", 0)], 0
    while waiting:
        group, begin, depth = waiting.pop()
        for name in group:
            entries += 1
            if entries > MAX_ENTRIES or depth > DEEPEST:
                raise BackboneError(f"{path} holds more groups and arrays than any file of weights")
            if group.get(name, getclass=True, getlink=True) is not h5py.HardLink:
                raise BackboneError(f"{path} leads elsewhere (a link at {name!r}); it is not read")
            found = group[name]
            if isinstance(found, h5py.Group):
                waiting.append((found, f"{begin}{name}/", depth + 1))
                continue
            if not isinstance(found, h5py.Dataset) or found.dtype.kind not in "fiu" or found.shape is None:
                raise BackboneError(f"{path} holds something other than numbers ({name!r}); it is not read")
            if found.external or found.is_virtual:
                raise BackboneError(f"{path} leads elsewhere (an array in another file); it is not read")
            yield begin + name, found
