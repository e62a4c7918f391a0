"""The live view of a real search in a real terminal: what is on the screen from the first second to the last."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.commands import workers_of
from tests.screen import Screen
from tests.warm import ROOT

WIDE, HIGH = 60, 24
NET = """
import time
import keras

class Slowly(keras.callbacks.Callback):
    def on_epoch_end(self, epoch, logs=None):
        time.sleep(0.4)

def callbacks(hp):
    return [Slowly()]

def build(hp):
    units = hp.Int("units", 1, 3)
    layers = [keras.layers.Flatten(), keras.layers.Dense(units), keras.layers.Dense(2, "softmax")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    model.compile("sgd", "categorical_crossentropy")
    return model
"""


class Terminal:
    """A command in a terminal of its own, and all that was on its screen."""

    def __init__(self, process: subprocess.Popen[bytes], master: int) -> None:
        self._process, self._master = process, master
        self._screen = Screen()
        self.seen: set[str] = set()  # every line that was ever on the screen
        self.written = ""

    def until(self, true: Callable[[], bool], seconds: float = 200) -> None:
        """Read until something is so, or the command has ended; fail if neither comes."""
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, self._screen.text
            if not select.select([self._master], [], [], 0.2)[0]:
                continue
            try:
                data = os.read(self._master, 65536)
            except OSError:  # the command has ended, and nobody has the terminal open
                return
            text = data.decode(errors="replace")
            self.written += text
            self._screen.feed(text)
            self.seen |= {line.rstrip() for line in self._screen.lines}

    def shows(self, pattern: str) -> bool:
        """Whether a line was on the screen in which this regular expression is found."""
        return any(re.search(pattern, line) for line in self.seen)

    def code(self) -> int:
        """The exit code, after everything was read."""
        self.until(lambda: False)
        return self._process.wait(60)


@contextmanager
def terminal(*arguments: str, cwd: Path, **environment: str) -> Iterator[Terminal]:
    """`search …` in a terminal."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", HIGH, WIDE, 0, 0))
    inherited = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "search", *arguments],
        cwd=cwd,
        env=inherited | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "LANG": "C.UTF-8"} | environment,
        stdin=slave,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    try:
        yield Terminal(process, master)
    finally:
        process.kill()
        process.wait()
        os.close(master)


@pytest.mark.slow
def test_the_screen_says_all_the_time_what_is_done(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    options = ("--model", "net.py:build", "--trials", "2", "--folds", "2", "--epochs", "5", "--workers", "1")
    with terminal("run", str(pictures), "--dir", "study", *options, cwd=tmp_path, NO_COLOR="1") as shown:
        shown.until(lambda: shown.shows(r"^now  trial 0 \(net.py:build\), fold 1 of 2: epoch \d of 5$"))
        os.kill(workers_of(tmp_path / "study")[0], signal.SIGKILL)
        shown.until(lambda: shown.shows(r"^a worker was killed by SIGKILL; a new one does its job once more: tri"))
        assert shown.code() == 0
    for line in (
        r"^(reading|checking) images",
        r"^opening the study$",
        r"^now  importing TensorFlow in 1 worker",
        r"^now  importing TensorFlow for trial 0 ",
        r"^now  trial 1 \(net.py:build\), fold 2 of 2: epoch \d of 5$",
        r"^━*─* *\d+%  [012] of 2 trials · ",
        r"^no best yet · ",
        r"^best 0\.\d{3} \(trial [01]\) · .* left",
        r"^best 0\.\d{3} [▁-█]+ 0\.\d{3} after ",
        r"^confirming|^training|^saving|^now  trial \d \(net.py:build\) on all images",
    ):
        assert shown.shows(line), line
    table = [line for line in shown.seen if line.startswith(("now", "best", "     ", "━", "─"))]
    assert max(map(len, table)) <= WIDE
    assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown.written), "NO_COLOR"
    assert shown.written.endswith("\n") and "\x1b[?25h" in shown.written
