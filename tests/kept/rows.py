"""All that a study remembers, as plain data read from its database, and where two of these differ."""

from __future__ import annotations

import json
import math
import re
import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

DATABASE = "study.db"
LEFT_OUT = {  # by table: what is of the moment or the machine
    "study": ("created",),
    "run": ("started", "versions", "host", "pid", "seconds"),
    "trial": ("started", "finished"),
    "fold_run": ("seconds", "latency"),
    "reference_fold": ("seconds",),
    "choice": ("made", "seconds"),
}
MEASURED = ("scores", "curve", "probabilities", "members", "diagnosis", "detail")
"""Columns of what was trained: another processor sums in another order, so numbers with a fraction, those in a sentence
too, are not equal to the last digit.
"""
TOLERANCE = 1e-4
_FRACTION = re.compile(r"(\d+\.\d+(?:e[-+]?\d+)?|\d+e[-+]?\d+|(?<![\d.])0(?![\d.]))")  # 0 may be one that was rounded
_DIGITS = 6  # of what was trained, in a file
_HEADER = struct.Struct("<4s3sB")  # of an array: magic, dtype, number of axes; then one uint32 an axis


def rows_of(study: Path) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Every row of every table of the study and of its outer folds: by folder, by table."""
    return {path.parent.relative_to(study).as_posix(): _tables(path) for path in sorted(study.glob(f"**/{DATABASE}"))}


def _tables(path: Path) -> dict[str, list[dict[str, Any]]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        schema = "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name"
        names = [row["name"] for row in connection.execute(schema)]
        return {name: list(_rows(connection, name)) for name in names}


def _rows(connection: sqlite3.Connection, table: str) -> Iterator[dict[str, Any]]:
    kinds = {row["name"]: row["type"] for row in connection.execute(f'PRAGMA table_info("{table}")')}
    keys = [row["name"] for row in connection.execute(f'PRAGMA table_info("{table}")') if row["pk"]]
    order = ", ".join(f'"{key}"' for key in keys)
    for row in connection.execute(f'SELECT * FROM "{table}" ORDER BY {order}'):  # noqa: S608 - names of its own tables
        if table == "reference_fold" and "@" in row["name"]:  # of the learning curve: as many as there was time for
            continue
        kept = [name for name in kinds if name not in LEFT_OUT.get(table, ())]
        yield {name: _plain(name, kinds[name], row[name]) for name in kept}


def _plain(name: str, kind: str, value: Any) -> Any:
    if value is not None and kind == "JSON":
        value = json.loads(value)
    elif isinstance(value, bytes):
        value = _array(value)
    return _rounded(value) if name in MEASURED else value


def _array(data: bytes) -> list[Any]:
    _, dtype, axes = _HEADER.unpack_from(data)
    shape = struct.unpack_from(f"<{axes}I", data, _HEADER.size)
    raw = zlib.decompress(data[_HEADER.size + 4 * axes :])
    found: list[Any] = np.frombuffer(raw, np.dtype(dtype.decode())).reshape(shape).tolist()
    return found


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_rounded(one) for one in value]
    return round(value, _DIGITS) if isinstance(value, float) else value


def as_text(rows: dict[str, dict[str, list[dict[str, Any]]]]) -> str:
    """As JSON, a line for each row."""
    folders = []
    for folder, tables in rows.items():
        of_tables = []
        for table, found in tables.items():
            lines = ",\n   ".join(json.dumps(row, ensure_ascii=False) for row in found)
            of_tables.append(f"  {json.dumps(table)}: [\n   {lines}\n  ]" if found else f"  {json.dumps(table)}: []")
        folders.append(f" {json.dumps(folder)}: {{\n" + ",\n".join(of_tables) + "\n }")
    return "{\n" + ",\n".join(folders) + "\n}\n"


def differences(kept: Any, found: Any, where: str = "", *, tolerance: float = 0.0) -> list[str]:
    """Each place where two pieces of plain data differ; numbers with a fraction by more than `tolerance`.

    That holds below columns of MEASURED in any case.
    """
    if isinstance(kept, dict) and isinstance(found, dict):
        if kept.keys() != found.keys():
            return [f"{where}: {sorted(kept.keys() ^ found.keys())} in one of both only"]
        of_each = (
            differences(kept[key], found[key], f"{where}/{key}", tolerance=TOLERANCE if key in MEASURED else tolerance)
            for key in kept
        )
        return [line for lines in of_each for line in lines]
    if isinstance(kept, list) and isinstance(found, list):
        if len(kept) != len(found):
            return [f"{where}: {len(kept)} were kept, {len(found)} are found"]
        pairs = enumerate(zip(kept, found, strict=True))
        of_items = (differences(old, new, f"{where}/{n}", tolerance=tolerance) for n, (old, new) in pairs)
        return [line for lines in of_items for line in lines]
    if isinstance(kept, str) and isinstance(found, str) and tolerance and kept != found:
        same = not differences(_parts(kept), _parts(found), tolerance=tolerance)
    elif isinstance(kept, float) and isinstance(found, float) and tolerance:
        same = math.isclose(kept, found, rel_tol=tolerance, abs_tol=tolerance)
    else:
        same = type(kept) is type(found) and kept == found
    return [] if same else [f"{where}: {kept!r} was kept, {found!r} is found"]


def _parts(text: str) -> list[Any]:
    """A sentence in pieces, numbers with a fraction as numbers."""
    pieces = _FRACTION.split(text)
    return [float(piece) if place % 2 else (piece,) for place, piece in enumerate(pieces)]
