"""Signals to stop: Ctrl-C or SIGTERM once stops cleanly, twice stops at once."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: stopped by a signal, and `search resume` goes on
SHOW_CURSOR = b"\x1b[?25h\n"  # a live table hides the cursor, and after os._exit nothing else would show it again
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """A signal to stop outside of a search, where nothing has to be cleaned up."""


@contextlib.contextmanager
def leave_on_signals() -> Iterator[None]:
    """Within this context, a signal raises Stopped."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        raise Stopped

    with _handled_by(handle):
        yield


class StopRequest:
    """Whether a signal asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def stop_on_signals(resume: str) -> Iterator[StopRequest]:
    """Within this context, a first signal sets `asked`; a second exits at once and prints the command `resume`.

    That is as safe as kill -9: finished folds are committed already, and workers end with their parent.
    If Python's own handler was installed, as in a notebook, the process must not exit: a second signal then raises
    KeyboardInterrupt.
    """
    request, is_ours = StopRequest(), signal.getsignal(signal.SIGINT) is not signal.default_int_handler

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if request.asked and not is_ours:
            raise KeyboardInterrupt
        if request.asked:
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), SHOW_CURSOR)
            with contextlib.suppress(OSError):  # not `print`: the signal may have interrupted one
                os.write(2, f"search: left at once; what was committed stays. Go on with: {resume}\n".encode())
            os._exit(RESUMABLE)
        request.asked = True

    with _handled_by(handle):
        yield request


@contextlib.contextmanager
def _handled_by(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread only
        yield
        return
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
