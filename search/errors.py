"""Mistakes of a user, in words for that user. The command line prints them and exits with 2."""


class UsageError(Exception):
    """What was asked cannot be done. The message names the thing, the rule, the value received and the next step."""
