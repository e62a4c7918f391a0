"""Faults from outside: a locked or damaged database, a clock that is set, pictures that change."""

from __future__ import annotations

import random
import shutil
import signal
import sqlite3
import time
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path

from tests.commands import wait_until
from tests.faults.place import Place, Random, Tried, committed, gone_on, while_running, wrong_of
from tests.faults.warm import Started

DAY = 86_400  # seconds
FAKETIME = tuple(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
"""The library that lies to a process about the time: apt-get install faketime."""


def locked_for(seconds: float) -> Random:
    """Another program keeps the database locked for so long, in the midst of the search."""

    def tried(place: Place, study: Path, chance: random.Random) -> Tried:  # noqa: ARG001 - as the others
        def disturb(_: Started) -> None:
            with closing(sqlite3.connect(study / "study.db", isolation_level=None, timeout=30)) as other:
                other.execute("BEGIN IMMEDIATE")
                time.sleep(seconds)
                other.execute("ROLLBACK")

        return while_running(place, study, disturb)

    return tried


def clock_set(days: int) -> Random:
    """The clock of the machine is set by days, in the midst of the search."""

    def tried(place: Place, study: Path, chance: random.Random) -> Tried:
        place.settings(study)
        offset = study.with_name(f"{study.name}-clock")
        offset.write_text("+0")
        environment = {
            "LD_PRELOAD": str(FAKETIME[0]),
            "FAKETIME_TIMESTAMP_FILE": str(offset),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # as the clock of a machine: setting it moves the time of day alone
            "DONT_FAKE_MONOTONIC": "1",
        }

        def disturb(_: Started) -> None:
            time.sleep(chance.uniform(0, 0.3 * place.lasts))
            offset.write_text(f"{days * DAY:+d}")

        fresh = replace(place, fresh=True, trains=True)  # a library is loaded before a program
        tried = while_running(fresh, study, disturb, environment=environment)
        return Tried(tried.wrong or wrong_of(place, study))

    return tried


def picture_changed_while_it_runs(place: Place, study: Path, chance: random.Random) -> Tried:
    """A picture is replaced while a search runs, which goes on with what it read; then going on is refused."""
    pictures = _own_pictures(place, study)
    place.settings(study, pictures)
    ended = while_running(place, study, lambda _: _replace_one(pictures, chance))
    if ended.wrong:
        return ended
    refused = place.search("resume", study, "--trials", "9", "--quiet", "--workers", "0", cwd=study.parent)
    is_told = refused.returncode == 2 and "Traceback" not in refused.stderr
    return ended if is_told else Tried(f"exit code {refused.returncode}: {refused.stderr.strip()[-300:]}")


def picture_changed_in_between(place: Place, study: Path, chance: random.Random) -> Tried:
    """A picture is replaced while a study is stopped: going on is refused with what differs, until it is back."""
    pictures = _own_pictures(place, study)
    process = place.start(*place.asked(place.settings(study, pictures)), cwd=study.parent)
    wait_until(lambda: bool(committed(study)) or process.poll() is not None)
    process.send(signal.SIGKILL)
    process.ended()
    path, content = _replace_one(pictures, chance)
    refused = place.search(*place.asked(study, 0), cwd=study.parent)
    path.write_bytes(content)
    if refused.returncode != 2 or "Traceback" in refused.stderr:
        return Tried(f"changed pictures: exit code {refused.returncode}: {refused.stderr.strip()[-200:]}")
    return gone_on(place, study)


def _own_pictures(place: Place, study: Path) -> Path:
    """A copy whose folder has the same name, which the study is called by."""
    own = study.with_name(f"{study.name}-own") / place.pictures.name
    shutil.copytree(place.pictures, own)
    return own


def _replace_one(pictures: Path, chance: random.Random) -> tuple[Path, bytes]:
    """Give a picture the content of another; returns its path, and what it was."""
    first, second = chance.sample(sorted(path for path in pictures.rglob("*") if path.is_file()), 2)
    content = first.read_bytes()
    first.write_bytes(second.read_bytes())
    return first, content


# Damaged databases


def a_byte_changed(place: Place, study: Path, chance: random.Random) -> Tried:
    """A byte of a finished study's database is changed: it is read as before, or refused in words, and not touched."""
    content = bytearray((place.whole / "study.db").read_bytes())
    content[chance.randrange(len(content))] ^= chance.randrange(1, 256)
    return _refused_or_read(place, study, bytes(content))


def cut_short(place: Place, study: Path, chance: random.Random) -> Tried:
    """The database ends somewhere."""
    content = (place.whole / "study.db").read_bytes()
    return _refused_or_read(place, study, content[: chance.randrange(len(content))])


def _refused_or_read(place: Place, study: Path, content: bytes) -> Tried:
    shutil.copytree(place.whole, study)
    database = study / "study.db"
    database.write_bytes(content)
    for asked in (("report", study, "--json"), ("verify", study)):
        done = place.search(*asked, cwd=study.parent)
        if database.read_bytes() != content:
            return Tried(f"{asked[0]} changed the file")
        if done.returncode not in (0, 1, 2) or "Traceback" in done.stderr:
            return Tried(f"{asked[0]}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
        if asked[0] == "report" and done.returncode != 0 and str(database) not in done.stderr:
            return Tried(f"not named: {done.stderr[-200:]}")
    with suppress(FileNotFoundError):
        (study / "report.html").unlink()
    return Tried()
