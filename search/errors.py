"""What is said to the user instead of a traceback."""


class UsageError(Exception):
    """What was asked cannot be done; exit code 2.

    The message names the thing, the rule, the value received and the next step.
    """


class RunError(Exception):
    """A search that had begun cannot go on, as when the disk is full. What is committed stays; exit code 1."""
