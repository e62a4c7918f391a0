"""How the database stores arrays and JSON. Reading never executes data (no pickle), and its memory is bounded.

An array is `header + zlib(raw little-endian bytes, C order)`. The header is magic, dtype and shape, so a column can be
read without other knowledge. JSON is strict (RFC 8259) and has no NaN: a float that is not finite becomes
`{"$float": "NaN" | "Infinity" | "-Infinity"}`, so the string "NaN" stays a string.
"""

from __future__ import annotations

import json
import math
import struct
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic_core import from_json
from sqlalchemy import JSON, Dialect, LargeBinary, Text
from sqlalchemy.types import TypeDecorator, TypeEngine

from storage.records import Json

MAX_ARRAY_BYTES = 64 * 2**20
"""Largest array stored or read: 5,000 images x 20 classes of float32 are 0.4 MB."""

_MAGIC = b"SSA1"
_HEADER = struct.Struct("<4s3sB")  # magic, numpy dtype string, number of axes; then one uint32 per axis
_DTYPES = ("<f4", "<f8", "<i2", "<i4", "<i8", "|u1")
_MAX_AXES = 4

_NUL = "\ufdd0"  # a noncharacter: no text of anybody has it
_FLOAT = "$float"
_FLOAT_KEY = f'"{_FLOAT}":'  # a quote within a JSON string is escaped, so this text can only be a key
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def encode_array(array: NDArray[Any]) -> bytes:
    """The array as bytes. Raises ValueError for a dtype, number of axes or size that cannot be read back."""
    dtype = array.dtype.newbyteorder("<")
    if dtype.str not in _DTYPES:
        raise ValueError(f"array of dtype {array.dtype}; can be one of {', '.join(_DTYPES)}")
    if array.ndim > _MAX_AXES or array.nbytes > MAX_ARRAY_BYTES:
        raise ValueError(f"array of shape {array.shape}: over {_MAX_AXES} axes or {MAX_ARRAY_BYTES} bytes")
    header = _HEADER.pack(_MAGIC, dtype.str.encode(), array.ndim) + struct.pack(f"<{array.ndim}I", *array.shape)
    return header + zlib.compress(array.astype(dtype, copy=False).tobytes(order="C"))


def decode_array(data: bytes) -> NDArray[Any]:
    """The array, in native byte order. Raises ValueError for bytes that `encode_array` did not write."""
    try:
        magic, name, axes = _HEADER.unpack_from(data)
        shape = struct.unpack_from(f"<{axes}I", data, _HEADER.size)
    except struct.error as error:
        raise ValueError(f"array header is cut short at {len(data)} bytes") from error
    dtype_name = name.decode("ascii", "replace")
    if magic != _MAGIC or dtype_name not in _DTYPES or axes > _MAX_AXES:
        raise ValueError(f"array header is damaged: {data[: _HEADER.size]!r}")
    dtype = np.dtype(dtype_name)
    size = math.prod(shape) * dtype.itemsize
    if size > MAX_ARRAY_BYTES:
        raise ValueError(f"array of {size} bytes is over the limit of {MAX_ARRAY_BYTES}")
    raw = _inflate(data[_HEADER.size + 4 * axes :], size)
    return np.frombuffer(raw, dtype).reshape(shape).astype(dtype.newbyteorder("="), copy=False)


def _inflate(data: bytes, size: int) -> bytes:
    """Exactly `size` bytes. Unpacking stops one byte after them (`max_length=0` would mean no limit)."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(data, max_length=size + 1)
    except zlib.error as error:
        raise ValueError(f"array bytes are damaged: {error}") from error
    if len(raw) != size or not stream.eof or stream.unused_data:
        raise ValueError(f"array bytes do not fit the shape: {len(raw)} bytes or more, {size} expected")
    return raw


class Array(TypeDecorator[NDArray[Any]]):
    """A column of arrays of one dtype and number of axes."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, dtype: str, axes: int) -> None:
        super().__init__()
        self.dtype = dtype
        self.axes = axes

    def process_bind_param(self, value: NDArray[Any] | None, dialect: Dialect) -> bytes | None:  # noqa: ARG002
        return None if value is None else encode_array(self._checked(value))

    def process_result_value(self, value: Any, dialect: Dialect) -> NDArray[Any] | None:  # noqa: ARG002
        return None if value is None else self._checked(decode_array(value))

    def _checked(self, array: NDArray[Any]) -> NDArray[Any]:
        if array.dtype != np.dtype(self.dtype) or array.ndim != self.axes:
            raise ValueError(f"array of {array.dtype} with {array.ndim} axes; {self.dtype} with {self.axes} expected")
        return array


def encode_json(value: Json) -> str:
    """Strict JSON, keys in the given order. Raises TypeError or ValueError for values that JSON cannot represent."""
    try:
        text = _dump(value)
    except ValueError:  # only for floats that are not finite, which are rare, the value is traversed
        return _dump(_tagged(value))
    if _FLOAT_KEY in text:
        raise ValueError(f"the key {_FLOAT!r} is reserved")
    return text


def decode_json(text: str) -> Json:
    """The value that `encode_json` received, with tuples as lists. Raises ValueError for anything else."""
    if not isinstance(text, str):  # SQLite stores any type in a column
        raise ValueError(f"JSON text expected, found {type(text).__name__}")
    if _FLOAT_KEY in text:
        return _TAGGED.decode(text)
    try:  # three times as fast for curves, which are most of the text of a study
        return from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):  # it reads no lone surrogates, which a file name may have, and says less
        return _PLAIN.decode(text)


class _ServerText(TypeDecorator[str]):
    """Text on a server, which orders it by code points as SQLite does, and knows no NUL: U+FDD0 stands for it."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(Text(collation="C"))

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.replace("\0", _NUL)

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else value.replace(_NUL, "\0")


class _ServerJson(TypeDecorator[Json]):
    """JSON on a server as the very text, so that a copy there and back is the same. None is NULL."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Json, dialect: Dialect) -> str | None:  # noqa: ARG002
        return None if value is None else encode_json(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Json:  # noqa: ARG002
        return None if value is None else decode_json(value)


TEXT = Text().with_variant(_ServerText(), "postgresql")
JSON_TEXT = JSON().with_variant(_ServerJson(), "postgresql")
NULL_OR_JSON = JSON(none_as_null=True).with_variant(_ServerJson(), "postgresql")
"""The types of columns. What SQLite stores is as in the first release."""


def _dump(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Json:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} is not JSON: {value!r}")


def _tagged(value: Any) -> Json:
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {_FLOAT: "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"}
    if isinstance(value, Mapping):
        if _FLOAT in value:
            raise ValueError(f"the key {_FLOAT!r} is reserved")
        return {key: _tagged(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_tagged(item) for item in value]
    return value


def _untagged(value: dict[str, Json]) -> Json:
    if _FLOAT not in value:
        return value
    if len(value) != 1 or value[_FLOAT] not in _SPECIAL:
        raise ValueError(f"damaged number: {value!r}")
    return _SPECIAL[value[_FLOAT]]


def _refuse_constant(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


_PLAIN = json.JSONDecoder(parse_constant=_refuse_constant)
_TAGGED = json.JSONDecoder(parse_constant=_refuse_constant, object_hook=_untagged)
