"""Tensors out of a PyTorch file of the kind before 1.6, without PyTorch and without running what is in it.

Such a file is five pickles (a magic number, the protocol, the machine's sizes, the tensors, the order of the storages)
and then the storages: a count of elements as int64, and the elements, little endian. See `_legacy_load` in
PyTorch's `torch/serialization.py`. A pickle can name any function and have it called, so names are looked up in a
list of six, all of them ours or harmless; anything else ends the reading before it is called.
"""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.backbones import BackboneError

MAGIC = 0x1950A86A20F9469CFC6C  # `MAGIC_NUMBER` in torch/serialization.py
PROTOCOL = 1001  # `PROTOCOL_VERSION` in the same file


@dataclass(frozen=True)
class _Kind:
    """Stands for a class of storages; nothing can be made by calling it."""

    dtype: np.dtype[Any]


@dataclass(frozen=True)
class _Storage:
    """One block of elements, still to be read."""

    key: str
    kind: _Kind
    elements: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage: where it begins, and sides and strides, all counted in elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: object, offset: object, shape: object, strides: object, *_: object) -> _Tensor:
    """Stands for `torch._utils._rebuild_tensor_v2`; what else PyTorch passes (gradients, hooks) has no use here."""
    if not isinstance(storage, _Storage) or not isinstance(offset, int) or offset < 0:
        raise BackboneError("a tensor of the file has no storage, or begins before it")
    return _Tensor(storage, offset, _counts(shape), _counts(strides))


def _counts(value: object) -> tuple[int, ...]:
    if not isinstance(value, tuple) or not all(type(side) is int and side >= 0 for side in value):
        raise BackboneError(f"a tensor of the file has sides or strides that are no counts: {value!r}")
    return value


ALLOWED: Mapping[tuple[str, str], object] = MappingProxyType(
    {
        ("collections", "OrderedDict"): OrderedDict,
        ("torch._utils", "_rebuild_tensor_v2"): _tensor,
        ("torch", "FloatStorage"): _Kind(np.dtype("<f4")),
        ("torch", "DoubleStorage"): _Kind(np.dtype("<f8")),
        ("torch", "IntStorage"): _Kind(np.dtype("<i4")),
        ("torch", "LongStorage"): _Kind(np.dtype("<i8")),
    }
)
"""All that a file may name, and what stands for it."""


class _Restricted(pickle.Unpickler):
    """Looks names up in ALLOWED, never in a module."""

    def find_class(self, module: str, name: str) -> Any:
        """What stands for a name. Raises BackboneError for any other than those allowed."""
        if (module, name) not in ALLOWED:
            raise BackboneError(f"the file names {module}.{name}, which no tensor needs; it is not read")
        return ALLOWED[module, name]

    def persistent_load(self, pid: Any) -> _Storage:
        """A storage by what the file says of it: ('storage', kind, key, device, elements, None)."""
        match pid:
            case ("storage", _Kind() as kind, str() as key, str(), int() as elements, None) if elements >= 0:
                return _Storage(key, kind, elements)
        raise BackboneError("the file refers to something other than a whole storage")


def read_tensors(data: bytes) -> dict[str, NDArray[Any]]:
    """The tensors of a state dict by name, each a copy of its own: float32, float64, int32 or int64.

    Raises BackboneError for what is not such a file, ends too soon, or names anything but tensors.
    """
    stream = io.BytesIO(data)
    try:
        if _load(stream) != MAGIC or _load(stream) != PROTOCOL:
            raise BackboneError("this is not a PyTorch file of the kind before 1.6")
        if not _load(stream)["little_endian"]:
            raise BackboneError("the file was written by a big endian machine")
        tensors, keys = _load(stream), _load(stream)
        named = {str(name): tensor for name, tensor in tensors.items() if isinstance(tensor, _Tensor)}
        if len(named) != len(tensors):
            raise BackboneError("the file holds something other than tensors")
        known = {tensor.storage.key: tensor.storage for tensor in named.values()}
        storages = {key: _elements(stream, known[key]) for key in keys}
        if stream.read(1):
            raise BackboneError("the file goes on after its last storage")
        return {name: _view(tensor, storages[tensor.storage.key]) for name, tensor in named.items()}
    except BackboneError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise BackboneError(f"the file cannot be read: {type(error).__name__}: {error}") from error


def _load(stream: io.BytesIO) -> Any:
    return _Restricted(stream).load()


def _elements(stream: io.BytesIO, storage: _Storage) -> NDArray[Any]:
    count = int.from_bytes(stream.read(8), "little")
    if count != storage.elements:
        raise BackboneError(f"a storage has {count} elements where {storage.elements} were announced")
    raw = stream.read(count * storage.kind.dtype.itemsize)
    return np.frombuffer(raw, storage.kind.dtype, count)


def _view(tensor: _Tensor, elements: NDArray[Any]) -> NDArray[Any]:
    """The tensor as an array. The strides matter: weights that came from TensorFlow are stored transposed."""
    last = tensor.offset + sum((side - 1) * step for side, step in zip(tensor.shape, tensor.strides, strict=True))
    if 0 in tensor.shape or last >= len(elements):
        raise BackboneError(f"a tensor of shape {tensor.shape} reaches beyond its storage")
    strides = [step * elements.itemsize for step in tensor.strides]
    return np.lib.stride_tricks.as_strided(elements[tensor.offset :], tensor.shape, strides).copy()
