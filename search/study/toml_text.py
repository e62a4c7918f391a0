"""The text of a TOML file as editors leave it: with a byte order mark, in UTF-16, with Windows' line ends."""

from __future__ import annotations

import codecs
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from search.errors import UsageError
from search.text import printable

_MARKS = {  # UTF-32's begins as UTF-16's does
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
_LOOKALIKES = {  # letters of word processors and web pages, and what TOML needs instead
    **dict.fromkeys("\u201c\u201d\u201e\u201f\uff02", '"'),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\uff07", "'"),
    **dict.fromkeys("\u00a0\u2007\u202f\u3000", "a space"),
    **dict.fromkeys("\u200b\u2060\ufeff", "left out"),
    **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2212", "-"),
    "\uff1d": "=",
    "\uff0c": ",",
}
_LINE = re.compile(r"at line (\d+)")


@dataclass(frozen=True)
class TomlText:
    r"""What a file holds. `text` has \n at its line ends, and at the end of its last line."""

    text: str
    has_crlf: bool  # whether its lines end as Windows ends them

    def encoded(self, changed: str) -> str:
        """A changed text, with the line ends of this one. It is to be written as UTF-8."""
        return changed.replace("\n", "\r\n") if self.has_crlf else changed


def read_toml(path: Path) -> TomlText:
    """The text of a file. Raises UsageError, with the line, if it is no text; FileNotFoundError, OSError."""
    data = path.read_bytes()
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in data:
        raise UsageError(f"{path} has null bytes, as UTF-16 without a byte order mark has: save it as UTF-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        wrong = f"byte 0x{data[error.start]:02x} in line {line}"
        raise UsageError(f"{path} is not TOML, which is UTF-8: {wrong} is not; save it as UTF-8") from None
    lines = text.replace("\r\n", "\n")
    return TomlText(lines if lines.endswith("\n") or not lines else f"{lines}\n", "\r\n" in text)


def parse_toml(path: Path, text: str) -> dict[str, Any]:
    """The values in the text of the file at `path`. Raises UsageError, with the line, if it is not TOML."""
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits, tables 1,000 deep
        raise UsageError(
            f"{path} is not TOML: {error}{_lookalike(text, str(error))}; correct that line, or put a copy back"
        ) from None


def _lookalike(text: str, error: str) -> str:
    """A hint on the first character of the wrong line that only looks like one of TOML's."""
    number = _LINE.search(error)
    line = text.split("\n")[int(number.group(1)) - 1] if number else ""
    wrong = next((letter for letter in line if letter in _LOOKALIKES), None)
    if wrong is None:
        return ""
    return f": {printable(wrong)} (U+{ord(wrong):04X}) must be {_LOOKALIKES[wrong]}"
