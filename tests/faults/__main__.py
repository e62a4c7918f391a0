"""Makes the faults of one machine happen to real searches, and prints what was lost: `python -m tests.faults`.

Each try is held against an undisturbed search, row for row. `--share 1` tries each fault as often as docs/faults.md
says; the default is a tenth of that, which takes minutes. Faults can be named by a part of their name.
"""

from __future__ import annotations

import argparse
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.faults.cases import EVERY, RANDOM, Place, Tried, moments, prepare


def tries(name: str, place: Place, share: float) -> Iterator[Tried]:
    """All tries of one fault; their folders are removed where nothing was wrong."""
    home = place.home / name.replace("/", " ")
    home.mkdir()
    if name in EVERY:
        yield from moments(EVERY[name], place, home, max(1, round(1 / share)))
        return
    times, one = RANDOM[name]
    for number in range(max(1, round(share * times))):
        study = home / str(number)
        tried = one(place, study, random.Random(f"{name} {number}"))  # noqa: S311 - moments, not secrets
        if not tried.wrong:
            shutil.rmtree(study, ignore_errors=True)
        yield tried


def row(name: str, found: Sequence[Tried]) -> str:
    """A line of the table."""
    wrong = [tried.wrong for tried in found if tried.wrong]
    seconds = statistics.median(tried.seconds for tried in found)
    return f"| {name} | {len(found)} | {len(wrong)} | {f'{seconds:.0f}' if seconds else ''} |"


def main(arguments: Sequence[str]) -> int:
    """0 if nothing was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names of faults; none: all")
    parser.add_argument("--share", type=float, default=0.1, help="of the tries in full, 0 to 1 [default: 0.1]")
    asked = parser.parse_args(arguments)
    names = [name for name in (*EVERY, *RANDOM) if not asked.names or any(part in name for part in asked.names)]
    home = Path(tempfile.mkdtemp(prefix="faults-"))
    place, started, wrong = prepare(home), time.monotonic(), 0
    print("| fault | times tried | wrong | seconds to recover, median |\n| --- | --- | --- | --- |", flush=True)
    for name in names:
        found = []
        for tried in tries(name, place, asked.share):
            found.append(tried)
            if tried.wrong:
                print(f"{name}, try {len(found)}: {tried.wrong}", file=sys.stderr, flush=True)
        wrong += sum(bool(tried.wrong) for tried in found)
        print(row(name, found), flush=True)
    print(f"\n{(time.monotonic() - started) / 60:.0f} min; " + (f"kept: {home}" if wrong else "nothing was lost"))
    if not wrong:
        shutil.rmtree(home)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
