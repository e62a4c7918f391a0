"""What can go wrong with a study's database, in words for the person who ran the command."""


class ImpossibleError(ValueError):
    """A stored value that this program never writes. The message names it, as what the file holds."""


class StorageError(Exception):
    """The database cannot be used as asked. The message names the file, what was found and the next step."""


class LockedError(StorageError):
    """Another process has been writing the database for longer than the wait."""
