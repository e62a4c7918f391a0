"""Makes names from a file system safe for JSON, for a database, for one line of a terminal and for a command line."""

from __future__ import annotations

import os
import shlex
import unicodedata
from pathlib import Path

_HARMLESS = frozenset("\u200c\u200d")  # joiners: Persian and emoji need them, and they only join
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, bidi and other format marks, line separators
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_LATIN1, _PLANE0 = 0xFF, 0xFFFF


def as_unicode(path: str | Path) -> str:
    r"""A path as valid Unicode with '/' between its parts; bytes that are not UTF-8 become `\xe9`.

    The result can be written to JSON and to a database, and `str.encode()` accepts it. It can still contain newlines
    and escape sequences: for a terminal, see `printable`.
    """
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return text.replace(os.sep, "/")


def printable(text: str) -> str:
    r"""The text with every character that controls a terminal escaped: `\n`, `\x1b`, `\u202e`.

    The result has one line and one direction: no control characters, no ANSI sequences, no bidirectional overrides,
    no lone surrogates. Letters of any script, accents and emoji are unchanged.
    """
    return "".join(_written_out(letter) for letter in text)


def command_line(verb: str, *arguments: object) -> str:
    """A command of `search` that a message proposes, quoted so that it can be typed: `search resume 'my study'`."""
    return shlex.join(["search", verb, *(printable(str(argument)) for argument in arguments)])


def _written_out(letter: str) -> str:
    if letter in _HARMLESS or unicodedata.category(letter) not in _ESCAPED:
        return letter
    code = ord(letter)
    if letter in _SHORT:
        return _SHORT[letter]
    if code <= _LATIN1:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _PLANE0 else f"\\U{code:08x}"
