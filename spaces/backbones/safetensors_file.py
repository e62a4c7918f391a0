"""Files of the format safetensors: a header in JSON, then raw arrays. Nothing in one can run.

The format: https://github.com/huggingface/safetensors, README.md. Eight bytes say how long the header is (little
endian); the header has, for each tensor, its type, its shape, and where it begins and ends in what follows; no byte of
that belongs to two tensors or to none. All of it is checked before an array is made.

A large network is in several files, with an index in JSON that says in which file each tensor is.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spaces.backbones import BackboneError

MAX_HEADER = 10_000_000  # bytes; the format allows ten times as much, and the largest network here needs 200 kB
MAX_TENSORS = 20_000  # of a file; the largest network here has 1,000
MAX_SIDES = 8  # of one tensor

MAX_FILES = 200  # of an index; the largest network here needs ten

BYTES = {"F32": 4, "F16": 2, "BF16": 2}
"""Types that are read, and the bytes of a number."""
OTHERS = {"F64": 8, "I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2, "I8": 1, "U8": 1, "BOOL": 1}
"""Types that may be in a file too, such as counters and tables of places. They are never read."""

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"
PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\.safetensors")
"""What an index may call a file: a plain name, so that it cannot lead out of the folder."""


@dataclass(frozen=True)
class Tensor:
    """What the header says of one tensor."""

    path: Path  # of the file that it is in
    kind: str  # of BYTES or OTHERS
    shape: tuple[int, ...]
    begin: int  # byte of the file


def files(folder: Path) -> tuple[Path, ...]:
    """The files of a folder's weights: one; or those that the index names, and the index. Raises BackboneError."""
    if (folder / SINGLE).is_file() or not (folder / INDEX).is_file():
        return (folder / SINGLE,)
    return (*(folder / name for name in sorted(set(_index(folder / INDEX).values()))), folder / INDEX)


def tensors(folder: Path) -> dict[str, Tensor]:
    """What is in the file or files of a folder's weights, by name. Raises BackboneError as `header` does."""
    first, *others = files(folder)
    if not others:
        return header(first)
    index = _index(folder / INDEX)
    parts = {path.name: header(path) for path in (first, *others[:-1])}
    found = {name: parts[part].get(name) for name, part in index.items()}
    for name, tensor in found.items():
        if tensor is None:
            raise BackboneError(f"{folder / INDEX} says that {name[:80]!r} is in {index[name]}, and it is not")
    return {name: tensor for name, tensor in found.items() if tensor is not None}


def _index(path: Path) -> dict[str, str]:
    """Tensor -> name of its file."""
    try:
        with path.open("rb") as stream:
            described = json.loads(stream.read(MAX_HEADER))
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise BackboneError(f"{path} is no index: it is no JSON") from None
    names = described.get("weight_map") if isinstance(described, dict) else None
    if not isinstance(names, dict) or not 1 <= len(names) <= MAX_TENSORS:
        raise BackboneError(f"{path} is no index: its weight_map lists no tensors, or too many")
    for part in names.values():
        if not isinstance(part, str) or not PART.fullmatch(part):
            raise BackboneError(
                f"{path}: a file of weights must be beside it, named NAME.safetensors, got {part!r:.80}"
            )
    if len(set(names.values())) > MAX_FILES:
        raise BackboneError(f"{path} names more than {MAX_FILES} files")
    return names


def header(path: Path) -> dict[str, Tensor]:
    """What is in a file, by name. Raises BackboneError for what is not such a file, or contradicts itself."""
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise BackboneError(f"{path} is not a file")
    try:
        with path.open("rb") as stream:
            size = path.stat().st_size
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(MAX_HEADER, size - 8):
                raise BackboneError(f"{path} is not a safetensors file, or is cut short: its header has {length} bytes")
            described = json.loads(stream.read(length))
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise BackboneError(f"{path} is not a safetensors file: its header is no JSON") from None
    if not isinstance(described, dict) or len(described) > MAX_TENSORS:
        raise BackboneError(f"{path} is not a safetensors file: its header lists no tensors, or too many")
    described.pop("__metadata__", None)
    return _checked(path, described, size - 8 - length, 8 + length)


def _checked(path: Path, described: Mapping[str, Any], data: int, start: int) -> dict[str, Tensor]:
    """The tensors, which fill `data` bytes from byte `start` without a gap."""
    found: dict[str, Tensor] = {}
    ranges: list[tuple[int, int]] = []
    for name, entry in described.items():
        match entry:
            case {"dtype": str(kind), "shape": [*sides], "data_offsets": [begin, end]} if len(
                sides
            ) <= MAX_SIDES and all(type(n) is int and 0 <= n <= data + 1 for n in (*sides, begin, end)):
                pass
            case _:
                raise BackboneError(f"{path}: what its header says of {name[:80]!r} cannot be right")
        size = (BYTES | OTHERS).get(kind)
        if size is None:
            raise BackboneError(f"{path}: {name[:80]!r} has numbers of type {kind[:20]}; read are {', '.join(BYTES)}")
        if end - begin != math.prod(sides) * size:
            raise BackboneError(f"{path}: {name[:80]!r} has shape {sides} and {end - begin} bytes, which do not agree")
        found[name] = Tensor(path, kind, tuple(sides), start + begin)
        ranges.append((begin, end))
    at = 0
    for begin, end in sorted(ranges):
        if begin != at:
            raise BackboneError(f"{path}: its tensors overlap, or leave bytes over")
        at = end
    if at != data:
        raise BackboneError(f"{path}: its tensors have {at} bytes, and the file has {data} for them")
    return found


def read(wanted: Mapping[str, Tensor]) -> dict[str, NDArray[np.float32]]:
    """The arrays of tensors of the types BYTES. Raises BackboneError where a file has become shorter."""
    arrays = {}
    for path in {tensor.path for tensor in wanted.values()}:
        try:
            with path.open("rb") as stream:
                for name, tensor in wanted.items():
                    if tensor.path == path:
                        stream.seek(tensor.begin)
                        raw = stream.read(math.prod(tensor.shape) * BYTES[tensor.kind])
                        arrays[name] = _numbers(tensor.kind, raw).reshape(tensor.shape)
        except (OSError, ValueError) as error:
            raise BackboneError(f"{path} cannot be read: {error}") from None
    return arrays


def _numbers(kind: str, raw: bytes) -> NDArray[np.float32]:
    if kind == "BF16":  # the upper half of a float32
        return (np.frombuffer(raw, "<u2").astype("<u4") << 16).view("<f4")
    return np.frombuffer(raw, {"F32": "<f4", "F16": "<f2"}[kind]).astype(np.float32)
