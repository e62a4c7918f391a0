"""The reaper: a small process between the search and one worker, which ends all that the worker started.

`python reaper.py FD COMMAND…` starts the command in a session of its own, with the file descriptor FD. Standard input
is a pipe that the search holds open. When it closes, because the search wants that or was killed, or when the worker
ends by itself, the reaper ends every process that came of the worker, also those that left its session, and then ends
as the worker did. A byte on the pipe is passed on as SIGTERM, upon which a worker writes into its log where it is.

The program imports the standard library alone, so it starts in milliseconds. What shows it processes that left the
session, and ends the worker where the reaper is killed, exists on Linux only: PR_SET_CHILD_SUBREAPER and
PR_SET_PDEATHSIG, https://man7.org/linux/man-pages/man2/prctl.2.html.
"""

from __future__ import annotations

import contextlib
import os
import resource
import select
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

PROGRAM = __file__
LINUX = sys.platform == "linux"
PDEATHSIG, SUBREAPER = 1, 36  # PR_SET_… in linux/prctl.h
PARENT = 1  # place in /proc/PID/stat after the name

SPARED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGXCPU)
"""A terminal or a scheduler may send these to all processes of a job. Workers end when the search ends them."""

COURTESY = 1.0  # seconds for what the worker started to end after SIGTERM
PATIENCE = 3.0  # further seconds, after SIGKILL: a process that waits for a broken disk is not waited for


def processes() -> dict[int, list[str]]:
    """pid -> the fields of /proc/PID/stat after the name, of all processes. Empty where there is no /proc."""
    found = {}
    for number in filter(str.isdigit, os.listdir("/proc") if LINUX else ()):  # noqa: PTH208 - names are enough
        with contextlib.suppress(OSError):  # it has ended meanwhile
            found[int(number)] = Path(f"/proc/{number}/stat").read_text(errors="replace").rpartition(")")[2].split()
    return {number: fields for number, fields in found.items() if fields}


def below(root: int, among: Mapping[int, Sequence[str]]) -> list[int]:
    """The children of a process, their children, and so on, among the result of `processes`."""
    children: dict[int, list[int]] = {}
    for number, fields in among.items():
        children.setdefault(int(fields[PARENT]), []).append(number)
    found = list(children.get(root, ()))
    for number in found:  # it grows meanwhile
        found += children.get(number, ())
    return found


def main(descriptor: int, command: Sequence[str]) -> None:
    """Start the command, wait until it ends or the pipe closes, end all that came of it, and end alike."""
    _prctl(SUBREAPER, 1)
    for number in SPARED:
        signal.signal(number, signal.SIG_IGN)
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    worker = _start(command)
    os.close(descriptor)  # the search is to see that the worker closes it
    status = None
    while status is None:
        ready, _, _ = select.select([0, woken], [], [])
        if woken in ready:
            os.read(woken, 4096)
            status, _ = _ended(worker)
        if 0 in ready:
            if not os.read(0, 1):
                break
            if status is None:
                _send([worker], signal.SIGTERM)
    _end_like(_end_all(worker, status))


def _prctl(option: int, value: int) -> None:
    if LINUX:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _start(command: Sequence[str]) -> int:
    """Start the worker; returns its process id."""
    reaper, worker = os.getpid(), os.fork()
    if worker:
        return worker
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, *SPARED):
            signal.signal(number, signal.SIG_DFL)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        _prctl(PDEATHSIG, signal.SIGKILL)
        if os.getppid() == reaper:  # it may have been killed before the line above
            os.execv(command[0], list(command))  # noqa: S606 - no shell
    finally:
        os._exit(127)


def _ended(worker: int) -> tuple[int | None, bool]:
    """(status of the worker if it is among the children that have ended now; whether any child is left)."""
    status = None
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            status = ended[1] if ended[0] == worker else status
        return status, True
    return status, False


def _end_all(worker: int, status: int | None) -> int:
    """End the worker at once, and what it started after a moment of courtesy. Returns the status of the worker.

    `status`: None while the worker runs. Its children have a moment: some remove shared memory when they end.
    """
    if status is None:
        _send([worker], signal.SIGKILL)
    began, asked = time.monotonic(), False
    while (passed := time.monotonic() - began) < COURTESY + PATIENCE:
        ended, any_left = _ended(worker)
        status = ended if status is None else status
        others = _others(worker)
        if not any_left and not others:
            break
        if passed >= COURTESY:
            _send(others, signal.SIGKILL)
        elif others and not asked:
            _send(others, signal.SIGTERM, signal.SIGCONT)
            asked = True
        time.sleep(0.01)
    return signal.SIGKILL if status is None else status


def _others(worker: int) -> list[int]:
    """What came of the worker, as `os.kill` names it; elsewhere than on Linux its session, if anything is in it."""
    if LINUX:
        return [number for number in below(os.getpid(), processes()) if number != worker]
    with contextlib.suppress(OSError):
        os.kill(-worker, 0)
        return [-worker]
    return []


def _send(numbers: Iterable[int], *signals: signal.Signals) -> None:
    for number in numbers:
        for one in signals:
            with contextlib.suppress(OSError):  # it has ended, or is another user's
                os.kill(number, one)


def _end_like(status: int) -> None:
    """End this process as another one did, whose status is that of `os.waitpid`."""
    code = os.waitstatus_to_exitcode(status)
    if code < 0:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        with contextlib.suppress(OSError):  # nobody can set SIGKILL
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
