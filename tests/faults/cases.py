"""Faults of one machine, each made to happen to a real search; what is left is gone on with and compared."""

from __future__ import annotations

import os
import pty
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from search.commands.backup import verify
from search.session.signals import RESUMABLE
from tests.commands import ROOT, fold_rows, reference_rows, search, start, table, trials_of, wait_until, workers_of
from tests.pictures import make_pictures

SMALL = ("--preset", "cnn", "--folds", "2", "--epochs", "2", "--quiet", "--workers", "1")
TRIALS = "5"
_STARTING = 1.0, 9.0  # seconds within which a random fault falls


@dataclass(frozen=True)
class Tried:
    """One try of a fault."""

    wrong: str = ""  # what differs from the undisturbed search, or was not told; empty if nothing
    seconds: float = 0.0  # from the command that goes on to its end


@dataclass(frozen=True)
class Place:
    """Pictures and the undisturbed search, and a folder for each try."""

    home: Path

    @property
    def pictures(self) -> Path:
        """24 pictures of two classes."""
        return self.home / "pictures"

    @property
    def whole(self) -> Path:
        """The study that nothing happened to."""
        return self.home / "whole"

    def asked(self, study: Path) -> tuple[str | Path, ...]:
        """The command that makes and goes on with a study."""
        return ("run", self.pictures, *SMALL, "--trials", TRIALS, "--dir", study)


def prepare(home: Path) -> Place:
    """The pictures, and a search of them to its end."""
    place = Place(home)
    make_pictures(place.pictures)
    done = search(*place.asked(place.whole), cwd=home)
    if done.returncode != 0:
        raise RuntimeError(f"the undisturbed search failed: {done.stderr}")
    return place


def compared(place: Place, study: Path, *, ended: int = 0) -> Tried:
    """Go on with a study to its end, and hold it against the undisturbed one, row for row."""
    started = time.monotonic()
    done = search(*place.asked(study), cwd=study.parent)
    seconds = time.monotonic() - started
    if done.returncode != ended:
        return Tried(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}", seconds)
    for what, rows in (("trials", lambda s: table(trials_of(s))), ("references", reference_rows)):
        if rows(study) != rows(place.whole):
            return Tried(f"{what} differ", seconds)
    problems = [problem for check in verify(study)[1] for problem in check.problems]
    with suppress(AssertionError):
        wait_until(lambda: not workers_of(study), 20)
    if workers_of(study):
        problems.append("workers are left")
    left = [path.name for path in study.rglob(".*") if path.is_file()]
    return Tried("; ".join([*problems, *(f"{name} is left" for name in left)]), seconds)


def kept(before: Mapping[tuple[int, int, int], object], study: Path) -> str:
    """'' if every fold run that was committed is still there, byte for byte."""
    return "" if before.items() <= fold_rows(study).items() else "a committed fold run is gone or changed"


def killed_at_random(place: Place, study: Path, chance: random.Random) -> Tried:
    """kill -9 of the command at a random time."""
    process = start(*place.asked(study), cwd=study.parent)
    with suppress(subprocess.TimeoutExpired):
        process.wait(chance.uniform(*_STARTING))
    process.kill()
    process.communicate()
    wait_until(lambda: not workers_of(study), 30)
    before = fold_rows(study)
    tried = compared(place, study)
    return Tried(tried.wrong or kept(before, study), tried.seconds)


def injected(fault: str, number: int, place: Place, study: Path) -> subprocess.CompletedProcess[str]:
    """The command with a fault at the n-th commit or rename."""
    return subprocess.run(
        [sys.executable, "-m", "tests.faults.injected", fault, str(number), *map(str, place.asked(study))],
        cwd=study.parent,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def killed_at(place: Place, study: Path, number: int) -> Tried | None:
    """kill -9 at the n-th moment; None if the search has no more."""
    done = injected("kill", number, place, study)
    if done.returncode == 0:
        return None
    wait_until(lambda: not workers_of(study), 30)
    before = fold_rows(study)
    tried = compared(place, study)
    return Tried(tried.wrong or kept(before, study), tried.seconds)


def full_at(place: Place, study: Path, number: int) -> Tried | None:
    """The disk is full from the n-th moment on; None if the search has no more."""
    done = injected("full", number, place, study)
    if done.returncode == 0:
        return None
    wait_until(lambda: not workers_of(study), 30)
    # A limit on the size of files stands for a full disk. SQLite calls it a failure of the disk.
    told = any(words in done.stderr.lower() for words in ("space", "too large", "cannot be written", "disk failed"))
    before = fold_rows(study)
    tried = compared(place, study)
    silent = "" if told and "Traceback" not in done.stderr else f"not told: {done.stderr.strip()[-200:]}"
    return Tried(tried.wrong or silent or kept(before, study), tried.seconds)


def asked_to_stop(*signals: signal.Signals) -> Callable[[Place, Path, random.Random], Tried]:
    """Signals to the command at a random time, the second soon after the first."""

    def tried(place: Place, study: Path, chance: random.Random) -> Tried:
        process = start(*place.asked(study), cwd=study.parent)
        with suppress(subprocess.TimeoutExpired):
            process.wait(chance.uniform(*_STARTING))
        for number, asked in enumerate(signals):
            time.sleep(chance.choice((0.01, 0.1, 1.0, 5.0)) if number else 0)
            with suppress(ProcessLookupError):
                process.send_signal(asked)
        _, err = process.communicate(timeout=120)
        code = process.returncode
        if code not in (0, RESUMABLE) and not (code == 130 and not study.exists()):
            return Tried(f"exit code {code}: {err.strip()[-300:]}")
        before = fold_rows(study)
        after = compared(place, study)
        return Tried(after.wrong or ("a traceback" if "Traceback" in err else kept(before, study)), after.seconds)

    return tried


def terminal_closed(place: Place, study: Path, chance: random.Random) -> Tried:
    """The terminal that shows the live table is closed."""
    child, ours = pty.fork()
    if child == 0:
        os.chdir(study.parent)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
        os.environ["PYTHONPATH"] = str(ROOT)
        command = [part for part in map(str, place.asked(study)) if part != "--quiet"]
        os.execv(sys.executable, [sys.executable, "-m", "search", *command])  # noqa: S606 - no shell is wanted
    until = time.monotonic() + chance.uniform(*_STARTING)
    os.set_blocking(ours, False)
    while time.monotonic() < until:
        with suppress(OSError):
            os.read(ours, 65536)
        time.sleep(0.02)
    os.close(ours)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    early = code in (-signal.SIGHUP, 130, 129) and not study.exists()
    tried = compared(place, study)
    return Tried(tried.wrong or ("" if code in (0, RESUMABLE) or early else f"exit code {code}"), tried.seconds)


def started_at_once(place: Place, study: Path, chance: random.Random) -> Tried:  # noqa: ARG001 - as the others
    """Three starts of one study at the same time: one wins, the others are refused with who has it."""
    processes = [start(*place.asked(study), cwd=study.parent) for _ in range(3)]
    ended = [(process, *process.communicate(timeout=300)) for process in processes]
    codes = sorted(process.returncode for process, _, _ in ended)
    if codes != [0, 2, 2] or any("in use by" not in err for process, _, err in ended if process.returncode == 2):
        return Tried(f"exit codes {codes}")
    return compared(place, study)


def locked_for(seconds: float) -> Callable[[Place, Path, random.Random], Tried]:
    """Another program keeps the database locked for so long, in the midst of the search."""

    def tried(place: Place, study: Path, chance: random.Random) -> Tried:  # noqa: ARG001 - as the others
        process = start(*place.asked(study), cwd=study.parent)
        wait_until(lambda: bool(fold_rows(study)))
        with closing(sqlite3.connect(study / "study.db", isolation_level=None, timeout=30)) as other:
            other.execute("BEGIN IMMEDIATE")
            time.sleep(seconds)
            other.execute("ROLLBACK")
        _, err = process.communicate(timeout=300)
        if process.returncode != 0:
            return Tried(f"exit code {process.returncode}: {err.strip()[-300:]}")
        return compared(place, study)

    return tried


def a_worker_dies(number: signal.Signals) -> Callable[[Place, Path, random.Random], Tried]:
    """A signal to a worker at a random time; its fold is run again by another."""

    def tried(place: Place, study: Path, chance: random.Random) -> Tried:
        process = start(*place.asked(study), cwd=study.parent)
        wait_until(lambda: bool(workers_of(study)))
        time.sleep(chance.uniform(0.0, 6.0))
        for worker in workers_of(study)[-1:]:
            with suppress(ProcessLookupError):
                os.kill(worker, number)
        _, err = process.communicate(timeout=300)
        if process.returncode != 0:
            return Tried(f"exit code {process.returncode}: {err.strip()[-300:]}")
        return compared(place, study)

    return tried


def a_byte_changed(place: Place, study: Path, chance: random.Random) -> Tried:
    """A byte of a finished study's database is changed: it is read as before, or refused in words, and not touched."""
    shutil.copytree(place.whole, study)
    database = study / "study.db"
    content = bytearray(database.read_bytes())
    content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    return _refused_or_read(database, bytes(content))


def cut_short(place: Place, study: Path, chance: random.Random) -> Tried:
    """The database ends somewhere."""
    shutil.copytree(place.whole, study)
    database = study / "study.db"
    content = database.read_bytes()
    return _refused_or_read(database, content[: chance.randrange(len(content))])


def _refused_or_read(database: Path, content: bytes) -> Tried:
    database.write_bytes(content)
    done = search("report", database.parent, "--json", cwd=database.parent.parent)
    if database.read_bytes() != content:
        return Tried("the file was changed")
    if done.returncode not in (0, 1, 2) or "Traceback" in done.stderr:
        return Tried(f"exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    return Tried("" if done.returncode == 0 or str(database) in done.stderr else f"not named: {done.stderr[-200:]}")


def pictures_changed(place: Place, study: Path, chance: random.Random) -> Tried:
    """A picture is replaced while a study is stopped: going on is refused with what differs, until it is back."""
    own = Place(study.parent / f"{study.name}-home")
    shutil.copytree(place.pictures, own.pictures)
    process = start(*own.asked(study), cwd=study.parent)
    wait_until(lambda: bool(fold_rows(study)))
    process.kill()
    process.communicate()
    wait_until(lambda: not workers_of(study), 30)
    first, second = chance.sample(sorted(path for path in own.pictures.rglob("*") if path.is_file()), 2)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    refused = search(*own.asked(study), cwd=study.parent)
    first.write_bytes(content)
    if refused.returncode != 2 or "Traceback" in refused.stderr:
        return Tried(f"changed pictures: exit code {refused.returncode}: {refused.stderr.strip()[-200:]}")
    done = search(*own.asked(study), cwd=study.parent)
    return Tried("" if done.returncode == 0 else done.stderr.strip()[-300:])


RANDOM: dict[str, tuple[int, Callable[[Place, Path, random.Random], Tried]]] = {
    "kill -9 at a random time": (100, killed_at_random),
    "SIGTERM": (50, asked_to_stop(signal.SIGTERM)),
    "SIGUSR1": (10, asked_to_stop(signal.SIGUSR1)),
    "Ctrl-C twice, 0.01 to 5 s apart": (50, asked_to_stop(signal.SIGINT, signal.SIGINT)),
    "terminal closed": (20, terminal_closed),
    "three starts at once": (50, started_at_once),
    "database locked for 1 s": (3, locked_for(1)),
    "database locked for 20 s": (3, locked_for(20)),
    "database locked for 60 s": (3, locked_for(60)),
    "worker killed (SIGKILL)": (20, a_worker_dies(signal.SIGKILL)),
    "worker crashed (SIGSEGV)": (10, a_worker_dies(signal.SIGSEGV)),
    "a byte of the database changed": (200, a_byte_changed),
    "database cut short": (20, cut_short),
    "a picture changed meanwhile": (5, pictures_changed),
}
"""Fault -> how often it is tried in full, and one try."""

EVERY: dict[str, Callable[[Place, Path, int], Tried | None]] = {
    "kill -9 at every commit and rename": killed_at,
    "disk full from a commit or rename on": full_at,
}
"""Fault -> one try at the n-th moment of a search."""


def moments(one: Callable[[Place, Path, int], Tried | None], place: Place, home: Path, step: int) -> Iterator[Tried]:
    """A try at every `step`-th moment until there is none."""
    number = 1
    while (tried := one(place, home / f"at-{number}", number)) is not None:
        yield tried
        number += step
