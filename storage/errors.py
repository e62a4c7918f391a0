"""Errors of a study's database. Their messages are for the person who ran the command."""


class ImpossibleError(ValueError):
    """A stored value that this program never writes. The message names the value; "the file holds ..." precedes it."""


class StorageError(Exception):
    """The database cannot be used. The message names the file, the problem and the next step."""


class LockedError(StorageError):
    """Another process has been writing the database for longer than the wait."""


class LostError(StorageError):
    """The server of the database cannot be reached. What was committed is safe, and trying again may help."""
