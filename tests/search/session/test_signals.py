"""Being asked to stop where the process is somebody else's: a notebook's, or a thread's."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from search.session.signals import stop_on_signals


@pytest.fixture
def notebook() -> Iterator[None]:
    """Python's own handler of Ctrl-C in charge."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("notebook")
def test_the_first_ctrl_c_asks_to_stop_and_the_second_is_a_keyboard_interrupt() -> None:
    with pytest.raises(KeyboardInterrupt), stop_on_signals("search resume study") as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_thread_that_is_told_of_no_signal_can_search_too() -> None:
    asked: list[bool] = []

    def search() -> None:
        with stop_on_signals("search resume study") as stop:
            asked.append(stop.asked)

    thread = threading.Thread(target=search)
    thread.start()
    thread.join()
    assert asked == [False]
