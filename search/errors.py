"""What is said to the user instead of a traceback."""

from __future__ import annotations

import errno

_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG}
"""What the system says where a path was badly chosen, rather than the disk being full or failing."""


class UsageError(Exception):
    """What was asked cannot be done; exit code 2.

    The message names the thing, the rule, the value received and the next step.
    """


class RunError(Exception):
    """A search that had begun cannot go on, as when the disk is full. What is committed stays; exit code 1."""


def of_the_system(error: OSError) -> tuple[str, int]:
    """What to say of an error of the system, and the exit code: 2 where a path was badly chosen, else 1."""
    where = f"{error.filename}: " if error.filename else ""
    refused = error.errno in _REFUSED
    step = "; check the path and its permissions" if refused else ""
    return f"{where}{error.strerror or error}{step}", 2 if refused else 1
