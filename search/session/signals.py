"""Signals to stop: one stops cleanly; Ctrl-C, SIGTERM or SIGQUIT after another stops at once."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from search.native import STOPPING

RESUMABLE = 75  # EX_TEMPFAIL of sysexits.h: stopped by a signal, and `search resume` goes on
SHOW_CURSOR = b"\x1b[?25h\n"  # a live table hides the cursor, and after os._exit nothing else would show it again
INSISTING = (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT)
"""Of these a second one means 'at once'. The others come more than once by themselves, as SIGXCPU does each second."""


class Stopped(BaseException):
    """A signal to stop outside of a search, where nothing has to be cleaned up."""


class StopRequest:
    """Whether a signal asked to stop."""

    def __init__(self) -> None:
        self.asked = False


@contextlib.contextmanager
def leave_on_signals() -> Iterator[None]:
    """Within this context, a first signal raises Stopped, a second exits at once. Both exit with RESUMABLE and a word.

    So does a signal that led to another exception, or came where none can be raised, as in a callback of a library.
    """
    request, swallowed = StopRequest(), StopRequest()

    def handle(number: int, _frame: FrameType | None) -> None:
        _forget_closed_terminals()
        if request.asked and not swallowed.asked:
            _leave_if_insisting(number, "what was stored stays, and the same command can be run again")
            return
        request.asked, swallowed.asked = True, False
        raise Stopped

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if unraisable.exc_type is not Stopped:
            before(unraisable)
            return
        swallowed.asked = True
        threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT)).start()  # again, outside of the callback

    before, sys.unraisablehook = sys.unraisablehook, hook
    pool = logging.getLogger("sqlalchemy.pool")  # it would print the traceback of a signal while a connection is closed
    level = pool.level
    pool.setLevel(logging.CRITICAL + 1)
    try:
        with _handled_by(handle):
            try:
                yield
            except Stopped:
                request.asked = True
            except BaseException:
                if not request.asked:
                    raise
            if request.asked:
                _say("stopped; nothing that was stored is lost, and the same command can be run again")
                sys.exit(RESUMABLE)
    finally:
        sys.unraisablehook = before
        pool.setLevel(level)


@contextlib.contextmanager
def stop_on_signals(resume: str) -> Iterator[StopRequest]:
    """Within this context, a first signal sets `asked`; a second exits at once and prints the command `resume`.

    That is as safe as kill -9: finished folds are committed already, and workers end with their parent.
    If Python's own handler was installed, as in a notebook, the process must not exit: a second signal then raises
    KeyboardInterrupt.
    """
    request, is_ours = StopRequest(), signal.getsignal(signal.SIGINT) is not signal.default_int_handler

    def handle(number: int, _frame: FrameType | None) -> None:
        _forget_closed_terminals()
        if request.asked and is_ours:
            _leave_if_insisting(number, f"what was committed stays. Go on with: {resume}")
        elif request.asked and number in INSISTING:
            raise KeyboardInterrupt
        request.asked = True

    with _handled_by(handle):
        try:
            yield request
        except OSError as error:
            if request.asked and error.errno == errno.EIO:  # the terminal was closed in the midst of a print
                raise Stopped from None
            raise


def _leave_if_insisting(number: int, words: str) -> None:
    """Exit at once, with a last message, if the signal is one of INSISTING."""
    if number not in INSISTING:
        return
    if sys.stdout.isatty():
        os.write(sys.stdout.fileno(), SHOW_CURSOR)
    _say(f"left at once; {words}")
    os._exit(RESUMABLE)


def _say(words: str) -> None:
    with contextlib.suppress(OSError):  # not `print`: the signal may have interrupted one
        os.write(2, f"search: {words}\n".encode())


def _forget_closed_terminals() -> None:
    """Let output to a terminal that was closed go nowhere: each print would fail, and stop what ends in order."""
    for output in (1, 2):
        try:
            os.write(output, b"")
        except OSError:
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, output)
                os.close(nowhere)


@contextlib.contextmanager
def _handled_by(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # Python handles signals in the main thread only
        yield
        return
    heeded = [number for number in STOPPING if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, handle) for number in heeded}  # nohup ignores SIGHUP, and is obeyed
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
