"""Regular expressions of the user, searched for in names of files. That of a hostile study may take for ever."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from search.errors import UsageError
from search.text import printable

_SECONDS = 2.0  # of processor time, to search all names for a pattern; usual patterns take milliseconds


@contextmanager
def searching(key: str, pattern: str, where: str, instead: str) -> Iterator[None]:
    """Within, a pattern is compiled and searched for. Main thread only.

    Args:
        key: the setting, with which messages begin.
        pattern: what it says.
        where: what it is searched for in, such as 'all 20 paths'.
        instead: what else the user can name, for a pattern that is none: ', nor the name of a table that is there'.

    Raises:
        UsageError: it is no regular expression, or was not found within `_SECONDS`.
    """
    try:
        with _time_limit():
            yield
    except (re.error, RecursionError, OverflowError, MemoryError) as error:
        raise UsageError(f"{key}: {printable(pattern)!r} is no regular expression ({error}){instead}") from None
    except TimeoutError:
        raise UsageError(
            f"{key}: {printable(pattern)!r} must be found in {where} within {_SECONDS:g} s, and was "
            "not; write it without a repetition in a repetition, such as (a+)+, or name a table instead"
        ) from None


@contextmanager
def _time_limit() -> Iterator[None]:
    """Raise TimeoutError inside after `_SECONDS` of processor time; `re` handles signals."""

    def over(_signal: int, _frame: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, over)
    signal.setitimer(signal.ITIMER_VIRTUAL, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
