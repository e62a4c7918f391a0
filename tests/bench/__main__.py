"""`make bench`: all benchmarks, or the named parts: `python -m tests.bench trials loop`."""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from search.native import ENVIRONMENT
from tests.bench import frozen, kernels, loop, machine, memory, predict, studies, trials
from tests.bench.timing import interleaved
from tests.pictures import make_pictures

STUDY_TRIALS, STUDY_EPOCHS = 12, 10


def startup(folder: Path, asked: argparse.Namespace) -> Iterator[str]:
    """The time of short commands, and of Python without a program."""
    study = folder / "study"
    pictures = make_pictures(folder / "few")
    line = ["run", pictures, "--trials", "2", "--folds", "2", "--epochs", "1", "--quiet", "--dir", study]
    command([*line, "--workers", "1"])
    sides: dict[str, Callable[[], object]] = {
        "python -c pass": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True),
        "search --help": lambda: command(["--help"]),
        "search report --json": lambda: command(["report", study, "--json"]),
        "search report": lambda: command(["report", study]),
    }
    yield "| command | seconds |"
    yield "| --- | --- |"
    for name, taken in interleaved(asked.rounds, sides).items():
        yield f"| {name} | {taken:.2f} |"


def command(arguments: list[Any]) -> None:
    line = [sys.executable, "-m", "search", *map(str, arguments)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


PARTS: dict[str, tuple[str, Callable[[Path, argparse.Namespace], Iterator[str]]]] = {
    "trials": (
        "Trials against the peers and the arithmetic",
        lambda _, asked: trials.tables(asked.rounds, asked.epochs),
    ),
    "kernels": ("Where a fold run's time goes", lambda _, asked: kernels.tables(asked.epochs)),
    "studies": (
        "Whole studies",
        lambda folder, asked: studies.whole_studies(folder, asked.rounds, STUDY_TRIALS, asked.epochs or STUDY_EPOCHS),
    ),
    "workers": (
        "Two workers against one",
        lambda folder, asked: studies.two_workers(folder, asked.rounds, asked.epochs),
    ),
    "frozen": ("Frozen features", lambda folder, asked: frozen.measure(folder, asked.rounds)),
    "predict": ("Predicting", lambda folder, asked: predict.measure(folder, asked.rounds)),
    "demo": ("What is not training", lambda folder, asked: studies.demo(folder, STUDY_TRIALS, asked.epochs)),
    "loop": ("The loop and the report beside many stored trials", lambda folder, _: loop.measure(folder)),
    "memory": ("A worker's memory over 500 fold runs", lambda folder, _: memory.measure(folder)),
    "startup": ("Start to end of a command", startup),
}


def main(arguments: list[str]) -> None:
    """Print the parts as Markdown; with `--to` also write them to a file."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"any of {', '.join(PARTS)}; none: all")
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are taken; default 3")
    parser.add_argument("--epochs", type=int, help="of every fold run, instead of each part's own")
    parser.add_argument("--write", type=Path, metavar="BENCH.md", help="write what is printed there too")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; name any of {', '.join(PARTS)}, or none for all")
    os.environ.update(ENVIRONMENT | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    printed: list[str] = []

    def say(line: str = "") -> None:
        printed.append(line)
        print(line, flush=True)

    say("# What it costs, measured")
    say()
    say(f"`{shlex.join(['python', '-m', 'tests.bench', *arguments])}` on:")
    say()
    for line in machine.described():
        say(line)
    with tempfile.TemporaryDirectory() as name:
        for part in asked.parts or PARTS:
            title, lines = PARTS[part]
            say()
            say(f"## {title}")
            say()
            folder = Path(name) / part
            folder.mkdir()
            for line in lines(folder, asked):
                say(line)
    if asked.write:
        asked.write.write_text("\n".join(printed) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
