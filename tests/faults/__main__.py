"""Makes the faults of one machine happen to real searches, and prints what was lost: `python -m tests.faults`.

Each try is held against an undisturbed search, row for row. `--share 1` tries each fault as often as docs/faults.md
says; the default is a tenth of that, which takes minutes. Faults can be named by a part of their name. `night` instead
is a long search with faults, and `fuzz` gives the readers random input.
"""

from __future__ import annotations

import argparse
import importlib
import math
import random
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from storage import StorageError
from tests.faults import warm
from tests.faults.cases import EVERY, RANDOM, TRAINED
from tests.faults.place import Place, Tried, make_place

ROUNDS = 10  # that all tries are spread over, so that each fault has some wherever the time ends
MOST_MOMENTS = 10_000  # of one command; more mean that it does not end
HEAD = "| fault | times tried | lost | wrong | seconds to recover |\n| --- | --- | --- | --- | --- |"


@dataclass
class Row:
    """A fault, and what was found so far."""

    name: str
    found: list[Tried] = field(default_factory=list)

    def line(self) -> str:
        """Of the table."""
        wrong = sum(bool(tried.wrong) for tried in self.found)
        seconds = [tried.seconds for tried in self.found if tried.seconds is not None]
        told = f"{statistics.median(seconds):.1f}, at most {max(seconds):.1f}" if seconds else ""
        return f"| {self.name} | {len(self.found)} | {sum(t.lost for t in self.found)} | {wrong} | {told} |"


def tries(name: str, place: Place, number: int) -> Iterator[Callable[[Path], Tried | None]]:
    """The tries of a fault in one round, counted from 0; each is given its folder. One that gives None was the last."""
    if name in EVERY:
        for moment in range(number + 1, MOST_MOMENTS, ROUNDS):
            yield lambda study, moment=moment: EVERY[name](place, study, moment)  # type: ignore[misc]
        return
    times, one = RANDOM[name]
    for each in range(math.ceil(times * number / ROUNDS), math.ceil(times * (number + 1) / ROUNDS)):
        chance = random.Random(f"{name} {each}")  # noqa: S311 - moments, not secrets
        yield lambda study, chance=chance: one(place, study, chance)  # type: ignore[misc]


def one_round(row: Row, place: Place, number: int, until: float) -> None:
    """Add the tries of a round to a row; folders of those that were wrong are kept."""
    trains = place.fresh or any(part in row.name for part in TRAINED)
    place = replace(place, trains=trains)
    home = place.home / f"{''.join(letter if letter.isalnum() else '-' for letter in row.name)}"
    for each, one in enumerate(tries(row.name, place, number)):
        if time.monotonic() > until:
            return
        folder = home / f"{number}-{each}"
        try:
            tried = one(folder / "study")
        except (AssertionError, OSError, subprocess.SubprocessError, StorageError, sqlite3.Error) as error:
            tried = Tried(f"{type(error).__name__}: {error}")
        if tried is None:
            return
        row.found.append(tried)
        if tried.wrong or tried.lost:
            print(f"{row.name}, {folder}: {tried.wrong}, {tried.lost} lost", file=sys.stderr, flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def print_table(rows: Sequence[Row], seconds: float) -> None:
    """What was found so far."""
    print("\n".join((HEAD, *(row.line() for row in rows if row.found))))
    print(f"\n{sum(len(row.found) for row in rows):,} faults in {seconds / 60:.0f} min\n", flush=True)


def main(arguments: Sequence[str]) -> int:
    """0 if nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names of faults; none: all")
    parser.add_argument("--share", type=float, default=0.1, help="of the tries in full, 0.1 to 1 [default: 0.1]")
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which no further try is begun")
    parser.add_argument("--fresh", action="store_true", help="every command a new interpreter, not a fork: 10 s each")
    asked = parser.parse_args(arguments)
    rows = [Row(name) for name in (*EVERY, *RANDOM) if not asked.names or any(part in name for part in asked.names)]
    home, began = Path(tempfile.mkdtemp(prefix="faults-")), time.monotonic()
    warm.preload()
    place = make_place(home, fresh=asked.fresh)
    print(f"the undisturbed search: {place.lasts:.1f} s\n", flush=True)
    until = began + 60 * asked.minutes
    for number in range(max(1, round(ROUNDS * asked.share))):
        for row in rows:
            if time.monotonic() < until:
                one_round(row, place, number, until)
        print_table(rows, time.monotonic() - began)
        if time.monotonic() >= until:
            break
    is_wrong = any(tried.wrong or tried.lost for row in rows for tried in row.found)
    print(f"kept: {home}" if is_wrong else "nothing was lost")
    if not is_wrong:
        shutil.rmtree(home)
    return int(is_wrong)


OTHERS = {"night": "tests.faults.night", "fuzz": "tests.fuzz.run"}

if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in OTHERS:
        sys.exit(importlib.import_module(OTHERS[sys.argv[1]]).main(sys.argv[2:]))
    sys.exit(main(sys.argv[1:]))
