"""The faults, and how often each is tried in full."""

from __future__ import annotations

import signal
from collections.abc import Mapping

from tests.faults import command_faults as of_command
from tests.faults import outside
from tests.faults import worker_faults as of_worker
from tests.faults.place import Numbered, Random

EVERY: Mapping[str, Numbered] = {
    "kill -9 at every commit and rename": of_command.killed_at(0),
    "kill -9 at every rename while a study is made": of_command.killed_while_made,
    "disk full from a commit or rename on": of_command.disk_full_at,
}
"""Fault -> one try at the n-th moment of a command, n = 1, 2, … until the command ends without it."""

RANDOM: Mapping[str, tuple[int, Random]] = {
    "kill -9 at a random time": (100, of_command.killed_at_random),
    "SIGTERM": (50, of_command.asked_to_stop(signal.SIGTERM)),
    "SIGUSR1": (20, of_command.asked_to_stop(signal.SIGUSR1)),
    "Ctrl-C twice on a terminal, 0.01 to 3 s apart": (50, of_command.interrupted_twice),
    "terminal closed (SIGHUP)": (20, of_command.terminal_closed),
    "three starts at once": (50, of_command.started_at_once),
    "worker killed (SIGKILL)": (20, of_worker.signalled(signal.SIGKILL)),
    "worker crashed (SIGSEGV)": (10, of_worker.signalled(signal.SIGSEGV)),
    "worker stopped (SIGSTOP)": (10, of_worker.in_a_fold(of_worker.stop)),
    "worker hung, asleep": (10, of_worker.in_a_fold(of_worker.wait_for_ever)),
    "worker hung, working": (10, of_worker.in_a_fold(of_worker.work_for_ever)),
    "worker eats memory": (10, of_worker.in_a_fold(of_worker.eat_memory)),
    "worker crashed with processes of its own": (10, of_worker.in_a_fold(of_worker.leave_processes)),
    "losses of a trial are NaN": (10, of_worker.not_a_number("nan")),
    "losses of a trial are infinite": (10, of_worker.not_a_number("inf")),
    "a byte of the database changed": (200, outside.a_byte_changed),
    "database cut short": (20, outside.cut_short),
    "a picture changed while it runs": (10, outside.picture_changed_while_it_runs),
    "a picture changed in between": (10, outside.picture_changed_in_between),
    "database locked for 1 s": (10, outside.locked_for(1)),
    "database locked for 20 s": (5, outside.locked_for(20)),
    "database locked for 60 s": (5, outside.locked_for(60)),
    **(
        {"clock set a day on": (10, outside.clock_set(1)), "clock set a day back": (10, outside.clock_set(-1))}
        if outside.FAKETIME
        else {}
    ),
}
"""Fault -> how often it is tried in full, and one try."""

TRAINED = ("worker", "losses", "clock")
"""Parts of names of faults whose searches train every fold; the others do what is remembered of the undisturbed one."""
