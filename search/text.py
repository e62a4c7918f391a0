"""Makes names from a file system safe for JSON, for a database, for one line of a terminal and for a command line."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
import unicodedata
from pathlib import Path

PROGRAM = "search"
_HARMLESS = frozenset("\u200c\u200d")  # joiners: Persian and emoji need them, and they only join
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # controls, bidi and other format marks, line separators
_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}
_PASSWORD = re.compile(r"(\w{2}:/{1,2}[^\s/@:]*:)\S*@")  # two letters, as C:/ is a drive
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


def without_passwords(text: str) -> str:
    """The text with the password of each URL in it masked, also where a path lost a slash of it: `db:/me:***@host`."""
    return _PASSWORD.sub(r"\1***@", text)


def command_line(verb: str, *arguments: str | Path) -> str:
    """A command of this program that a message proposes, such as `search resume 'my study'`.

    It can be pasted into a shell as it is, in the folder in which the program runs: every word is quoted, and a path
    that begins with a dash is not taken for an option. All commands in messages are made here.
    """
    return " ".join(quoted(word) for word in (_program(), verb, *map(_as_argument, arguments)))


def installing(extra: str, where: str = " in a checkout of this project") -> str:
    """The command that installs an extra, and `where` it works: the project is on no package index."""
    return f"pip install '.[{extra}]'{where}"


def line_anywhere(verb: str, *arguments: str | Path) -> str:
    """A command as `command_line` makes it, for a page that is read later or elsewhere: the program is `search`."""
    return " ".join(quoted(word) for word in (PROGRAM, verb, *map(_as_argument, arguments)))


def as_typed_in(folder: Path, path: Path) -> Path:
    """The path as it is typed in a folder: relative to it where that is shorter. Links on the way are followed."""
    whole = path.resolve()
    relative = Path(os.path.relpath(whole, folder.resolve()))
    return min(relative, whole, key=lambda name: len(str(name)))


def _program() -> str:
    """The name `search`; the path it was started by if the shell would find no program, or another, by that name."""
    started = Path(next(iter(sys.argv), PROGRAM))
    if started.name != PROGRAM or len(started.parts) == 1:  # a notebook, `python -m search`
        return PROGRAM
    by_name = shutil.which(PROGRAM)
    return PROGRAM if by_name and Path(by_name).resolve() == started.resolve() else str(started)


def _as_argument(argument: str | Path) -> str:
    is_like_option = isinstance(argument, Path) and str(argument).startswith("-")
    return f"./{argument}" if is_like_option else str(argument)


MAX_HOURS = 100_000  # eleven years
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?:in)?)?(?:(\d+(?:\.\d+)?)s)?", re.ASCII)


def seconds_of(duration: str) -> float:
    """The seconds of '90s', '4m', '8h' or '1h30m'; above 0, and MAX_HOURS at most.

    Raises ValueError, with the rule, for any other text.
    """
    found = _DURATION.fullmatch(duration.strip().lower())
    hours, minutes, seconds = (float(part or 0) for part in found.groups()) if found else (0.0, 0.0, 0.0)
    total = 3600 * hours + 60 * minutes + seconds
    if total <= 0:
        raise ValueError(f"must be a time such as 90s, 30m, 8h or 1h30m, got '{printable(duration)}'")
    if total > 3600 * MAX_HOURS:
        raise ValueError(f"must be at most {MAX_HOURS:,}h, got '{printable(duration)}'")
    return total


def duration_of(seconds: float) -> str:
    """Whole seconds as `seconds_of` reads them: '1h30m', '4m', '45s'; at least one second."""
    left = max(1, round(seconds))
    parts = ((left // 3600, "h"), (left % 3600 // 60, "m"), (left % 60, "s"))
    return "".join(f"{number}{unit}" for number, unit in parts if number)


def quoted(word: str) -> str:
    r"""One word for a shell; with characters that `printable` escapes it is `$'a\x1bb'`, which bash and zsh read."""
    if printable(word) == word:
        return shlex.quote(word)
    return "$'" + "".join(map(_in_dollar_quotes, word)) + "'"


def _in_dollar_quotes(letter: str) -> str:
    if letter in "\\'":
        return f"\\{letter}"
    if printable(letter) == letter:
        return letter
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(letter))


def _written_out(letter: str) -> str:
    if letter in _HARMLESS or unicodedata.category(letter) not in _ESCAPED:
        return letter
    code = ord(letter)
    if letter in _SHORT:
        return _SHORT[letter]
    if code <= _LATIN1:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= _PLANE0 else f"\\U{code:08x}"
