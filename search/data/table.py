"""A table that the user names, of groups or of labels: CSV, or with semicolons or tabs, as other programs write it."""

from __future__ import annotations

import codecs
import csv
import io
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from search.errors import UsageError

ENDINGS = (".csv", ".tsv", ".txt", ".xlsx", ".xls", ".ods")  # of tables, also of those that are not read
_DELIMITERS = ",;\t"
_SPREADSHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # what .xlsx, .ods and .xls begin with
_MAX_BYTES = 200_000_000  # a line of 100 bytes for each of two million images


@dataclass(frozen=True)
class Row:
    """A line of a table."""

    line: int  # of the file, from 1
    cells: tuple[str, ...]  # without spaces around them, one for each column; '' where the line is too short


@dataclass(frozen=True)
class Table:
    """A table with names of columns in its first line."""

    columns: tuple[str, ...]  # as they are written, without spaces around them
    rows: tuple[Row, ...]  # empty lines left out


def read_table(path: Path, key: str, needs: str) -> Table:
    """Read a table.

    Args:
        path: of the file.
        key: the setting that names it, with which messages begin.
        needs: what the file must be, for messages: 'the columns path and group'.

    Raises:
        UsageError: it cannot be read, is no table of text, or no CSV.
    """
    text = _text(path, key, needs)
    first = text.partition("\n")[0]
    delimiter = max(_DELIMITERS, key=first.count)
    rows: list[Row] = []
    try:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True, strict=True)
        columns = tuple(cell.strip() for cell in next(reader, []))
        for cells in reader:
            if cells:
                padded = [*(cell.strip() for cell in cells), *[""] * (len(columns) - len(cells))]
                rows.append(Row(reader.line_num, tuple(padded[: len(columns)])))
    except csv.Error as error:
        raise UsageError(f"{key}: {path} is not CSV: {error}") from None
    return Table(columns, tuple(rows))


def plain_path(path: str) -> str:
    """A path as it is compared: composed letters, '/' between its parts."""
    return unicodedata.normalize("NFC", path.strip().replace("\\", "/").removeprefix("./"))


def _text(path: Path, key: str, needs: str) -> str:
    """A table as text: UTF-8, or UTF-16 as Excel writes it. Raises UsageError."""
    try:
        if (length := path.stat().st_size) > _MAX_BYTES:
            raise UsageError(
                f"{key}: {path} has {length / 1e6:.0f} MB, and tables of at most {_MAX_BYTES // 1_000_000} MB are read"
            )
        if path.exists() and not path.is_file():  # opening a pipe would wait for ever
            raise UsageError(f"{key}: {path} is not a file; name a CSV file with {needs}")
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{key}: {path} cannot be read: {error.strerror}; name a CSV file with {needs}") from None
    if content.startswith(_SPREADSHEETS):
        raise UsageError(f"{key}: {path} is a spreadsheet; save it as CSV in UTF-8, and name that file")
    encoding = "utf-16" if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        raise UsageError(f"{key}: {path} is not UTF-8; save it as CSV in UTF-8") from None
