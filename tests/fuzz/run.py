"""Gives each reader random inputs for some minutes: `python -m tests.faults fuzz`. Prints how many, and what failed."""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence

from hypothesis import HealthCheck, settings

from tests.warm import ROOT

EVERY = tuple(HealthCheck)
BATCH = 400  # inputs between two looks at the clock
MOST_SHOWN = 6000  # characters of a failure


def failures(reader: Callable[[], None], seconds: float) -> list[str]:
    """Inputs for so long; every failure once, with the smallest input that leads to it."""
    found: list[str] = []
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            reader()
        except Exception:  # noqa: BLE001 - what this is for
            told = _shortened(traceback.format_exc())
            if told.splitlines()[-1] not in {one.splitlines()[-1] for one in found}:
                found.append(told)
                print(told, file=sys.stderr, flush=True)
    return found


def _shortened(told: str) -> str:
    """Both ends of a traceback: the input, at the end, may be longer than all else."""
    half = MOST_SHOWN // 2
    return told if len(told) <= MOST_SHOWN else f"{told[:half]}\n…\n{told[-half:]}"


def guided(reader: Callable[[], None], seconds: float) -> tuple[int, str]:
    """(inputs, failure) of atheris, which looks for inputs that reach new lines."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", reader.__name__, str(round(seconds))],
        cwd=ROOT,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    runs = re.findall(r"(?:Done |#)(\d+)", done.stderr)
    return max(map(int, runs), default=0), "" if done.returncode == 0 else done.stderr[-MOST_SHOWN:]


def main(arguments: Sequence[str]) -> int:
    """0 if nothing failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names of readers; none: all")
    parser.add_argument("--minutes", type=float, default=5.0, help="for all of them together [default: 5]")
    asked = parser.parse_args(arguments)
    settings.register_profile("fuzz", max_examples=BATCH, deadline=None, database=None, suppress_health_check=EVERY)
    settings.load_profile("fuzz")  # before a reader is decorated
    from tests.fuzz.readers import READERS, tried

    readers = [one for one in READERS if not asked.names or any(part in one.__name__ for part in asked.names)]
    if not asked.names or any(part in "test_networks" for part in asked.names):
        from tests.fuzz.networks import test_networks  # seconds: it makes a network

        readers.append(test_networks)
    has_atheris = importlib.util.find_spec("atheris") is not None
    share = 60 * asked.minutes / len(readers) / (2 if has_atheris else 1)
    print("| reader | inputs | of atheris | failures |\n| --- | --- | --- | --- |", flush=True)
    count = 0
    for reader in readers:
        before = tried.copy()
        found = failures(reader, share)
        inputs, failure = guided(reader, share) if has_atheris and reader in READERS else (0, "")
        if failure:
            print(failure, file=sys.stderr, flush=True)
        (name,) = tried - before
        wrong = len(found) + bool(failure)
        print(f"| {name} | {tried[name] - before[name]:,} | {inputs:,} | {wrong} |", flush=True)
        count += wrong
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
