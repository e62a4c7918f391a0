"""Errors that a user sees as one message instead of a traceback."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""Error numbers that mean a badly chosen path, not a full or failing disk."""


class UsageError(Exception):
    """A request that cannot be carried out; exit code 2.

    The message names the thing, the rule, the value received and the next step.
    """


class RunError(Exception):
    """A search that had begun cannot go on, as when the disk is full. What is committed stays; exit code 1."""


def of_the_system(error: OSError) -> tuple[str, int]:
    """The message for an error of the operating system, and the exit code: 2 for a badly chosen path, else 1."""
    where = f"{error.filename}: " if error.filename else ""
    refused = error.errno in _REFUSED
    step = "; check the path and its permissions" if refused else ""
    return f"{where}{error.strerror or error}{step}", 2 if refused else 1


@contextlib.contextmanager
def writing(what: object, instead: str) -> Iterator[None]:
    """Within, a file is written; raises UsageError where it cannot be, with what to do `instead`."""
    try:
        yield
    except OSError as error:
        raise UsageError(f"{what} cannot be written: {error.strerror}; {instead}") from None
