"""The line of an exception's message that a person needs."""

from __future__ import annotations

import re

MAX_LENGTH = 600  # characters of a line: XLA needs 400 to name an operation that it lacks, and where
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")  # escape codes in Keras's messages
_ABOUT_THE_CALL = re.compile(
    r"Exception encountered when .*|.*\bError encountered:|Graph execution error:|"
    r"Detected at node .*|.*\(most recent call last\):|<stack traces unavailable>|Traceback .*"
)
_ARGUMENTS = re.compile(r"Arguments received by .*:")  # the last part of Keras's message, about the call again


def first_line(error: BaseException) -> str:
    """The first line that says what went wrong, at most MAX_LENGTH characters; the type of an error without a message.

    Keras and TensorFlow put lines before it that say only where the error occurred.
    """
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines() if line.strip()]
    for line in lines:
        if _ARGUMENTS.fullmatch(line):
            break
        if not _ABOUT_THE_CALL.fullmatch(line):
            return line[:MAX_LENGTH]
    return (lines[0] if lines else type(error).__name__)[:MAX_LENGTH]
