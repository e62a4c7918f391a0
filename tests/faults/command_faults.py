"""Faults of the command: killed, asked to stop, started twice, on a disk that fills up."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from search.session.signals import RESUMABLE
from search.study.disk import LEAST_FREE
from tests.faults.moments import BALLAST, FAULT
from tests.faults.place import Numbered, Place, Random, Tried, gone_on
from tests.faults.warm import Started

GAPS = (0.01, 0.1, 0.3, 1.0, 3.0)  # seconds between two Ctrl-C
CTRL_C = b"\x03"
BEFORE_ANYTHING = (130, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP)
"""Exit codes of a command that is asked to stop while it is imported."""
TOLD = ("space", "too large", "cannot be written", "disk failed")
"""Of a full disk one of these words is said. SQLite calls a file that cannot grow a failure of the disk."""


def killed_at_random(place: Place, study: Path, chance: random.Random) -> Tried:
    """kill -9 of the command at a random time."""
    process = place.start(*place.asked(place.settings(study)), cwd=study.parent)
    with suppress(subprocess.TimeoutExpired):
        process.wait(place.moment(chance))
    process.send(signal.SIGKILL)
    process.ended()
    return gone_on(place, study)


def killed_at(workers: int) -> Numbered:
    """kill -9 at the n-th commit or rename."""

    def tried(place: Place, study: Path, number: int) -> Tried | None:
        done = place.search(
            *place.asked(place.settings(study), workers), cwd=study.parent, environment={FAULT: f"kill {number}"}
        )
        return None if done.returncode == 0 else gone_on(place, study, workers=workers)

    return tried


def killed_while_made(place: Place, study: Path, number: int) -> Tried | None:
    """kill -9 at the n-th rename of `search init`, which is then called again."""
    asked = ("init", place.pictures, "--preset", "cnn", "--dir", study)
    study.parent.mkdir(parents=True, exist_ok=True)
    done = place.search(*asked, cwd=study.parent, environment={FAULT: f"kill {number}"})
    if done.returncode == 0:
        return None
    began = time.monotonic()
    again = place.search(*asked, cwd=study.parent)
    is_made = again.returncode == 0 or (again.returncode == 2 and "is a study" in again.stderr)
    whole = is_made and (study / "study.toml").read_text().rstrip().endswith("dropout = 0.1")
    return Tried("" if whole else f"exit code {again.returncode}: {again.stderr[-300:]}", time.monotonic() - began)


# Signals


def asked_to_stop(number: signal.Signals) -> Random:
    """One signal to the command at a random time."""

    def tried(place: Place, study: Path, chance: random.Random) -> Tried:
        process = place.start(*place.asked(place.settings(study)), cwd=study.parent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(place.moment(chance))
        process.send(number)
        return _stopped(place, study, process)

    return tried


def interrupted_twice(place: Place, study: Path, chance: random.Random) -> Tried:
    """Ctrl-C typed twice into the terminal that shows the live table."""
    process = _on_a_terminal(place, study, chance)
    for gap in (0.0, chance.choice(GAPS)):
        with suppress(subprocess.TimeoutExpired):
            process.wait(gap)
        if process.poll() is None:
            os.write(process.terminal, CTRL_C)
    return _stopped(place, study, process)


def terminal_closed(place: Place, study: Path, chance: random.Random) -> Tried:
    """The terminal that shows the live table is closed."""
    process = _on_a_terminal(place, study, chance)
    process.close_terminal()
    return _stopped(place, study, process)


def _on_a_terminal(place: Place, study: Path, chance: random.Random) -> Started:
    command = [word for word in place.asked(place.settings(study)) if word != "--quiet"]
    process = place.start(*command, cwd=study.parent, terminal=True)
    with suppress(subprocess.TimeoutExpired):
        process.wait(place.moment(chance))
    return process


def _stopped(place: Place, study: Path, process: Started) -> Tried:
    """Whether it ended as one that was asked to stop, with no worker left; then gone on with."""
    began = time.monotonic()
    done = process.ended(120)
    took, code, said = time.monotonic() - began, done.returncode, done.stdout + done.stderr
    early = (
        code in (BEFORE_ANYTHING, -signal.SIGINT, -signal.SIGTERM, -signal.SIGHUP) and not (study / "study.db").exists()
    )
    tried = gone_on(place, study)
    if code not in (0, RESUMABLE) and not early:
        return Tried(f"exit code {code}: {said.strip()[-300:]}", tried.seconds, tried.lost)
    if "Traceback" in said:
        return Tried(f"a traceback: {said.strip()[-300:]}", tried.seconds, tried.lost)
    if took > 30:
        return Tried(f"it took {took:.0f} s to stop", tried.seconds, tried.lost)
    return tried


def started_at_once(place: Place, study: Path, chance: random.Random) -> Tried:  # noqa: ARG001 - as the others
    """Three starts of one study at the same time: one wins, the others are refused with who has it."""
    place.settings(study)
    processes = [place.start(*place.asked(study, 0), cwd=study.parent) for _ in range(3)]
    ended = [process.ended() for process in processes]
    codes = sorted(done.returncode for done in ended)
    refused = [done for done in ended if done.returncode == 2]
    if codes != [0, 2, 2] or any("in use by" not in done.stderr for done in refused):
        return Tried(f"exit codes {codes}: {' '.join(done.stderr[-150:] for done in ended)}")
    return gone_on(place, study, workers=0)


# A full disk


def disk_full_at(place: Place, study: Path, number: int) -> Tried | None:
    """The disk is full from the n-th commit or rename on; then it has room again. None if the search has no more."""
    with small_disk(study.parent / f"disk-{number}") as disk:
        inside = disk / study.name
        fault = f"fill {number} {disk}" if os.path.ismount(disk) else f"limit {number}"
        done = place.search(*place.asked(place.settings(inside), 0), cwd=study.parent, environment={FAULT: fault})
        is_reached = (disk / BALLAST).exists() or done.returncode != 0
        if not is_reached:
            return None
        (disk / BALLAST).unlink(missing_ok=True)
        tried = gone_on(place, inside, workers=0)
        told = done.returncode == 0 or any(words in (done.stdout + done.stderr).lower() for words in TOLD)
        silent = "" if told and "Traceback" not in done.stderr else f"not told: {done.stderr.strip()[-300:]}"
        return Tried("; ".join(filter(None, (tried.wrong, silent))), tried.seconds, tried.lost)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A folder on a disk of its own that has little more room than a search asks for; without root on the usual one."""
    folder.mkdir(parents=True)
    size = f"size={LEAST_FREE + 2**24}"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", folder], capture_output=True, check=False)
    try:
        yield folder
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", "--lazy", folder], check=False)
        shutil.rmtree(folder, ignore_errors=True)
