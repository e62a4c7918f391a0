"""Being asked to stop: Ctrl-C or SIGTERM once means soon and tidily, twice means now."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: stopped by a signal, and `search resume` goes on
SHOW_CURSOR = b"\x1b[?25h\n"  # a live table hides it, and nothing else would bring it back
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(BaseException):
    """Asked to stop where nothing has to be tidied up: what is stored is whole at every moment."""


@contextlib.contextmanager
def leave_on_signals() -> Iterator[None]:
    """While inside, a signal raises Stopped."""

    def handle(_signal: int, _frame: FrameType | None) -> None:
        raise Stopped

    with _handled_by(handle):
        yield


class StopRequest:
    """Whether somebody asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def stop_on_signals(resume: str) -> Iterator[StopRequest]:
    """While inside, a first signal sets `asked`; a second leaves the process at once and names the command `resume`.

    That is safe, as kill -9 is: every fold that counts is committed already, and workers end with their parent.
    Where Python's own handler was in charge, as in a notebook, the process is not ours: a second signal raises
    KeyboardInterrupt there.
    """
    request, is_ours = StopRequest(), signal.getsignal(signal.SIGINT) is not signal.default_int_handler

    def handle(_signal: int, _frame: FrameType | None) -> None:
        if request.asked and not is_ours:
            raise KeyboardInterrupt
        if request.asked:
            if sys.stdout.isatty():
                os.write(sys.stdout.fileno(), SHOW_CURSOR)
            with contextlib.suppress(OSError):  # not `print`: the signal may have come in the midst of one
                os.write(2, f"search: left at once; what was committed stays. Go on with: {resume}\n".encode())
            os._exit(RESUMABLE)
        request.asked = True

    with _handled_by(handle):
        yield request


@contextlib.contextmanager
def _handled_by(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # which alone is told of signals
        yield
        return
    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
