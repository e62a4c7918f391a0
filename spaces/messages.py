"""The line of an exception's message that a person needs."""

from __future__ import annotations

import re

MAX_LENGTH = 600  # characters of a line: XLA needs 400 to name an operation that it lacks, and where
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # escape codes in Keras's messages
_ABOUT_THE_CALL = re.compile(
    r"(\w+: )?Exception encountered when .*|.*\bError encountered:|Graph execution error:|in user code:|"
    r"Detected at node .*|.*\(most recent call last\):|<stack traces unavailable>|Traceback .*"
)
_FRAME = re.compile(r'File ".*", line \d+\b.*')  # lines after it that are further to the right are source
_ARGUMENTS = re.compile(r"Arguments received by .*:")  # the last part of Keras's message, about the call again
_NAMED = re.compile(r"\w+(Error|Exception|Interrupt|Exit): \S")


def first_line(error: BaseException) -> str:
    """The first line that says what went wrong, at most MAX_LENGTH characters; the type of an error without a message.

    Keras and TensorFlow put lines before it that say only where the error occurred.
    """
    lines = [line for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    frame = len(str(error))  # how far to the right the last line of a traceback began
    for line in lines:
        text, indent = line.strip(), len(line) - len(line.lstrip())
        if _ARGUMENTS.fullmatch(text):
            break
        if _FRAME.fullmatch(text):
            frame = indent
        elif indent <= frame:
            frame = len(str(error))
            if not _ABOUT_THE_CALL.fullmatch(text):
                return text[:MAX_LENGTH]
    return (lines[0].strip() if lines else type(error).__name__)[:MAX_LENGTH]


def sentence(error: BaseException) -> str:
    """'ValueError: …'. The type is that of the error in the message if it is of code that a graph called."""
    line = first_line(error)
    return line if _NAMED.match(line) else f"{type(error).__name__}: {line}"
