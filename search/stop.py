"""Being asked to stop: Ctrl-C or SIGTERM once means soon and tidily, twice means now."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType

RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: stopped by a signal, and `search resume` goes on
SHOW_CURSOR = b"\x1b[?25h\n"  # a live table hides it, and nothing else would bring it back
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequest:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """While inside, a first signal sets `asked`; a second leaves the process at once.

    That is safe, as kill -9 is: every fold that counts is committed already, and workers end with their parent.
    """
    request = StopRequest()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if request.asked:
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), SHOW_CURSOR)
            os._exit(RESUMABLE)
        request.asked = True

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
