"""What a search of so many seconds is worth, beside plain recipes given the same time: `python -m tests.bench.anytime`.

The folders named have `training/` and `testing/`. Every side sees the training images only, on one thread or with one
worker, in a process of its own; its clock stops when the model is saved, and the testing images are predicted then.
Each result is one line of JSON in `--rows`: what is there already is not measured again.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

import search
from search.data.images import read_images
from search.stats.evidence import may_be_chosen
from search.stats.metrics import balanced_accuracy, confusion
from storage import OUT_OF_TIME, TrialRecord, TrialState
from tests.bench.recipes import ONE_THREAD, RECIPES

METRIC = "balanced_accuracy"
OURS = "search run"
SIDES = (OURS, *RECIPES)
LATE = 1.1  # times what was asked for: a model that comes later is shown in brackets
MINUTES = 20  # after which a side is given up


@dataclass(frozen=True)
class Row:
    """One model of one side, or none. Scores are those on the testing images, 0..1."""

    pictures: str
    seed: int
    seconds: float  # asked for
    side: str
    wall: float  # seconds of the process until the model was saved
    accuracy: float | None = None  # None: there is no model
    balanced_accuracy: float | None = None
    work: str = ""
    whole: bool = False  # whether more time would have changed nothing
    claim: float | None = None  # balanced accuracy that is expected, with a 95 % interval
    low: float | None = None
    high: float | None = None
    trials: int = 0
    folds: int = 0  # fold runs of the search
    thrown_away: int = 0  # trials that time ended with more than half of their folds trained

    @property
    def key(self) -> tuple[str, int, float, str]:
        """What there is one row of."""
        return self.pictures, self.seed, self.seconds, self.side

    @property
    def in_time(self) -> bool:
        """Whether there is a model that came in time."""
        return self.accuracy is not None and self.wall <= LATE * self.seconds

    @property
    def holds(self) -> bool:
        """Whether the interval contains the score on the testing images."""
        assert self.low is not None
        assert self.high is not None
        assert self.balanced_accuracy is not None
        return self.low <= self.balanced_accuracy <= self.high


# Sides


def searched(pictures: Path, seconds: float, seed: int, work: Path) -> dict[str, Any]:
    """`search run` with one worker on the training images, then its model on the testing images."""
    shutil.copytree(pictures / "training", work / "pictures")  # without testing images, which it would predict
    began = time.monotonic()
    line = ["run", work / "pictures", *budget(seconds), "--workers", 1, "--seed", seed, "--dir", work / "study", "-q"]
    ended = _process("search", *line)
    row: dict[str, Any] = {"wall": round(time.monotonic() - began, 2)}
    if not (work / "study" / "study.db").exists():
        raise RuntimeError(f"search run made no study:\n{ended.stderr}")
    study = search.open_study(work / "study")
    trials, estimate = study.trials, study.estimate
    row |= {
        "trials": len(trials),
        "folds": sum(fold.repeat == 0 for trial in trials for fold in trial.folds),
        "thrown_away": sum(thrown_away(trial, study.summary.folds) for trial in trials),
        "work": ", ".join(dict.fromkeys(str(trial.params.get("family", "")) for trial in trials if trial.folds)),
    }
    if ended.returncode or estimate is None:
        return row
    row |= {"claim": estimate.value, "low": estimate.low, "high": estimate.high}
    return row | judged(study, pictures / "testing")


def budget(seconds: float) -> list[str]:
    """The options of `search run` that limit its time."""
    return ["--time", f"{seconds:g}s"]


def thrown_away(trial: TrialRecord, folds: int) -> bool:
    """Whether time ended the trial after more than half of its folds were trained, and it was no part of the choice."""
    ended = trial.state == TrialState.RUNNING or trial.cause == OUT_OF_TIME
    return ended and not may_be_chosen(trial, METRIC) and sum(fold.repeat == 0 for fold in trial.folds) > folds / 2


def judged(study: search.Study, testing: Path) -> dict[str, float]:
    """Both accuracies of the saved model."""
    images = read_images(testing)
    labels = study.predict(testing).labels
    found = np.array([images.classes.index(labels[str(testing / path)]) for path in images.paths])
    of_class = confusion(images.labels, found, len(images.classes))
    return {"accuracy": float(np.mean(found == images.labels)), "balanced_accuracy": balanced_accuracy(of_class)}


def recipe(side: str, pictures: Path, seconds: float, seed: int) -> dict[str, Any]:
    """One of `tests/bench/recipes.py`. Raises RuntimeError with its output if it fails."""
    ended = _process("tests.bench.recipes", side, pictures / "training", pictures / "testing", seconds, seed)
    if ended.returncode:
        raise RuntimeError(f"{side} ended with code {ended.returncode}:\n{ended.stderr}")
    row: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return row


def _process(*line: Any) -> subprocess.CompletedProcess[str]:
    environment = os.environ | ONE_THREAD | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-m", *map(str, line)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60 * MINUTES)


# Rows


def measured(pictures: Path, seed: int, seconds: float, side: str, known: Sequence[Row]) -> Row:
    """A new row; copied from one of `known` with less time, if more would have changed nothing."""
    for row in known:
        if (row.pictures, row.seed, row.side, row.whole) == (pictures.name, seed, side, True) and row.seconds < seconds:
            return Row(**{**asdict(row), "seconds": seconds})
    with tempfile.TemporaryDirectory() as work:
        found = searched(pictures, seconds, seed, Path(work)) if side == OURS else recipe(side, pictures, seconds, seed)
    return Row(pictures.name, seed, seconds, side, **found)


def read(file: Path | None) -> list[Row]:
    """The rows of a file; none if there is no file."""
    if file is None or not file.exists():
        return []
    return [Row(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def all_rows(asked: argparse.Namespace) -> list[Row]:
    """All that is asked for; what is new is added to the file at once, and told on standard error."""
    rows = read(asked.rows)
    wanted = [*product(asked.pictures, asked.seeds, sorted(asked.seconds), asked.sides)]
    for pictures, seed, seconds, side in wanted:
        if (pictures.name, seed, seconds, side) in {row.key for row in rows}:
            continue
        row = measured(pictures, seed, seconds, side, rows)
        rows.append(row)
        if asked.rows:
            with asked.rows.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(row)) + "\n")
        print(*row.key, f"{row.wall:.0f} s", row.accuracy, row.work, file=sys.stderr, flush=True)
    keys = {(pictures.name, seed, seconds, side) for pictures, seed, seconds, side in wanted}
    return [row for row in rows if row.key in keys]


# Tables


def tables(rows: Sequence[Row], sides: Sequence[str]) -> Iterator[str]:
    """Lines of Markdown: accuracies of all sides, then what can be said about searches alone."""
    places = sorted({(row.pictures, row.seconds) for row in rows})
    by_place = {place: [row for row in rows if (row.pictures, row.seconds) == place] for place in places}
    yield "Accuracy on the testing images, %, mean over seeds; in brackets: later than asked for"
    yield ""
    yield f"| pictures | seconds | {' | '.join(sides)} |"
    yield f"| --- | --- |{' --- |' * len(sides)}"
    for (name, seconds), here in by_place.items():
        cells = [_accuracy([row for row in here if row.side == side]) for side in sides]
        yield f"| {name} | {seconds:g} | {' | '.join(cells)} |"
    if OURS not in sides:
        return
    yield ""
    yield f"`{OURS}`: balanced accuracy, % and points"
    yield ""
    yield (
        "| pictures | seconds | seed | wall seconds | trials | folds | thrown away | families | on test | claim | "
        "claim minus test | holds |"
    )
    yield f"|{' --- |' * 12}"
    for row in sorted((row for row in rows if row.side == OURS), key=lambda row: row.key):
        yield _of_search(row)
    yield from _summary([row for row in rows if row.side == OURS])


def _accuracy(rows: Sequence[Row]) -> str:
    """'91.2 (3)', the number of seeds with a model; a cell."""
    known = [row for row in rows if row.accuracy is not None]
    if not known:
        return "none" if rows else ""
    mean = 100 * float(np.mean([row.accuracy for row in known]))
    seeds = f" ({len(known)} of {len(rows)})" if len(rows) > 1 else ""
    return f"{mean:.1f}{seeds}" if all(row.in_time for row in known) else f"[{mean:.1f}{seeds}]"


def _of_search(row: Row) -> str:
    begin = f"| {row.pictures} | {row.seconds:g} | {row.seed} | {row.wall:.0f} | {row.trials} | {row.folds}"
    begin += f" | {row.thrown_away} | {row.work}"
    if row.claim is None or row.low is None or row.high is None or row.balanced_accuracy is None:
        return f"{begin} | none | | | |"
    off, inside = 100 * (row.claim - row.balanced_accuracy), "yes" if row.holds else "no"
    claim = f"{100 * row.claim:.1f} ({100 * row.low:.1f} to {100 * row.high:.1f})"
    return f"{begin} | {100 * row.balanced_accuracy:.1f} | {claim} | {off:+.1f} | {inside} |"


def _summary(rows: Sequence[Row]) -> Iterator[str]:
    """Over all searches."""
    over = [row.wall / row.seconds for row in rows]
    known = [row for row in rows if row.claim is not None and row.balanced_accuracy is not None]
    yield ""
    yield f"Wall seconds over those asked for: {np.mean(over):.2f} on average, {max(over):.2f} at most."
    if known:
        off = np.mean([100 * ((row.claim or 0) - (row.balanced_accuracy or 0)) for row in known])
        held = sum(row.holds for row in known)
        yield f"Claims minus test: {off:+.1f} points on average; {held} of {len(known)} intervals hold the score."


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is missing, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.anytime", description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURES")
    parser.add_argument("--seconds", type=float, nargs="+", default=[15.0, 30.0, 60.0, 120.0, 240.0, 600.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--sides", nargs="+", default=SIDES, choices=SIDES)
    parser.add_argument("--rows", type=Path, metavar="FILE", help="JSON lines, to which new results are added")
    asked = parser.parse_args(arguments)
    asked.pictures = [pictures.resolve() for pictures in asked.pictures]
    for line in tables(all_rows(asked), asked.sides):
        print(line, flush=True)


if __name__ == "__main__":
    main()
