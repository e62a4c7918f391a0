"""Arrays and JSON survive a round trip, and other bytes are refused."""

from __future__ import annotations

import json
import math
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from storage.codec import MAX_ARRAY_BYTES, decode_array, decode_json, encode_array, encode_json

DTYPES = ("<f4", ">f4", "<f8", "<i2", ">i2", "<i4", "<i8", "|u1")
ARRAYS = st.sampled_from(DTYPES).flatmap(
    lambda dtype: npst.arrays(dtype, npst.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=6))
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]))  # a database does not accept a lone surrogate
KEYS = TEXT.filter(lambda key: key != "$float")
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | TEXT | st.sampled_from(["NaN", "$float", '"$float":']),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=20,
)


def same(left: Any, right: Any) -> bool:
    """Whether two values are equal and of the same type, where NaN equals NaN, also in lists and dictionaries."""
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return (math.isnan(left) and math.isnan(right)) or left == right
    if isinstance(left, dict):
        return list(left) == list(right) and all(same(left[key], right[key]) for key in left)
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


@given(ARRAYS)
def test_an_array_comes_back_bit_for_bit_in_native_byte_order(array: NDArray[Any]) -> None:
    back = decode_array(encode_array(array))
    assert back.dtype == array.dtype.newbyteorder("=")
    assert back.shape == array.shape
    assert back.tobytes() == array.astype(back.dtype).tobytes()


def test_an_array_with_gaps_or_turned_axes_comes_back() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    for view in (array[:, ::2], array.T, np.asfortranarray(array)):
        np.testing.assert_array_equal(decode_array(encode_array(view)), view)


@pytest.mark.parametrize(
    "array",
    [np.array(["a"]), np.array([object()]), np.zeros(2, np.complex64), np.zeros((1,) * 5, np.float32)],
)
def test_an_array_that_reading_would_refuse_is_not_written(array: NDArray[Any]) -> None:
    with pytest.raises(ValueError, match="array of"):
        encode_array(array)


def blob(magic: bytes = b"SSA1", dtype: bytes = b"<f4", shape: tuple[int, ...] = (3,), data: bytes = b"") -> bytes:
    packed = data or zlib.compress(np.zeros(shape, np.float32).tobytes())
    return magic + dtype + bytes([len(shape)]) + struct.pack(f"<{len(shape)}I", *shape) + packed


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "cut short"),
        (blob()[:10], "cut short"),
        (blob(magic=b"PK\3\4"), "header is damaged"),
        (blob(dtype=b"|O8"), "header is damaged"),
        (blob(dtype=b"\xff\xfe\xfd"), "header is damaged"),
        (blob(shape=(1, 1, 1, 1, 1)), "header is damaged"),
        (blob(data=b"not zlib"), "bytes are damaged"),
        (blob()[:-1], "do not fit"),
        (blob() + b"x", "do not fit"),
        (blob(data=zlib.compress(bytes(8))), "do not fit"),
        (blob(data=zlib.compress(bytes(16))), "do not fit"),
        (blob(shape=(2**31, 2**31, 2**31), data=zlib.compress(b"")), "over the limit"),
    ],
)
def test_bytes_that_are_not_an_encoded_array_are_refused(data: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_array(data)


def test_a_decompression_bomb_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(MAX_ARRAY_BYTES), 9)  # 64 kB that unpack to 64 MB, while the header says 12 bytes
    with pytest.raises(ValueError, match="13 bytes or more, 12 expected"):
        decode_array(blob(data=bomb))


@given(st.binary(max_size=64))
def test_any_bytes_are_an_array_or_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError, match="array"):
        decode_array(data)


@given(JSON)
def test_json_comes_back_with_nan_and_infinity(value: Any) -> None:
    assert same(decode_json(encode_json(value)), value)


@given(JSON)
def test_the_text_is_strict_json(value: Any) -> None:
    def never(constant: str) -> None:
        raise AssertionError(constant)

    json.loads(encode_json(value), parse_constant=never)


def test_the_string_nan_stays_a_string_beside_the_number() -> None:
    back = decode_json(encode_json(["NaN", float("nan"), "Infinity", float("-inf")]))
    assert same(back, ["NaN", float("nan"), "Infinity", float("-inf")])


def test_numpy_numbers_are_numbers() -> None:
    value = {"a": np.float32(0.5), "b": np.int64(3), "c": np.bool_(True), "d": np.float32("nan")}
    assert same(decode_json(encode_json(value)), {"a": 0.5, "b": 3, "c": True, "d": float("nan")})


@pytest.mark.parametrize("value", [{"$float": 1}, [{"$float": float("nan")}]])
def test_the_key_of_a_special_number_is_reserved(value: Any) -> None:
    with pytest.raises(ValueError, match="reserved"):
        encode_json(value)


@pytest.mark.parametrize("value", [object(), b"bytes", {1, 2}, np.zeros(2)])
def test_values_that_json_cannot_represent_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="is not JSON"):
        encode_json(value)


@pytest.mark.parametrize(
    "text", ["", "{", "[NaN]", "[-Infinity]", '{"$float":"1"}', '{"$float":"NaN","b":1}', None, b"{}"]
)
def test_text_that_is_not_strict_json_is_refused(text: Any) -> None:
    with pytest.raises(ValueError):
        decode_json(text)


@given(
    st.text('[]{}":,.0123456789eE+-aflnrstu\\ud8 ')
    | JSON.filter(lambda value: "$float" not in str(value)).map(json.dumps)
)
def test_all_text_is_read_as_pythons_own_reader_reads_it(text: str) -> None:
    def refuse(constant: str) -> None:
        raise ValueError(constant)

    try:
        expected = json.loads(text, parse_constant=refuse)
    except ValueError:
        with pytest.raises(ValueError):
            decode_json(text)
    else:
        assert same(decode_json(text), expected)


def test_a_file_name_that_is_no_text_comes_back() -> None:
    assert decode_json(encode_json(["caf\udce9.png"])) == ["caf\udce9.png"]
