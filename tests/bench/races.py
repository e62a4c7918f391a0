"""What the race saves and what it costs, on replayed studies that were trained in full: `python -m tests.bench.races`.

The studies are those of `tests/bench/digits.py`. `python -m tests.bench.races FOLDER` stores them there, for the next
time.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from search.session.racer import FIRST, Racer, RaceTerms
from search.stats.metrics import better
from search.stats.racing import BEHIND, BEHIND_EARLY, Schedule
from search.stats.ranking import best
from storage import FoldRecord, TrialRecord, TrialState
from storage.records import Origin
from tests.bench.digits import EPOCHS, FOLDS, METRIC, SIZES, STUDIES, TRIALS, Stored, kept
from tests.bench.parallel import of_each


@dataclass(frozen=True)
class Outcome:
    """A study replayed under one rule."""

    folds: float  # fold runs; a first fold that was stopped counts as the share of its epochs
    cut: int  # first folds that were stopped
    truth: float  # of the trial that is best in the end


def replayed(stored: Stored, rule: str, *, halving: bool) -> Outcome:
    """The study with the race and one worker: the trials in their order, each until it is stopped or complete."""
    epochs = ~np.isnan(stored.curves[:, 0])

    def schedule(params: Any) -> Schedule | None:
        return Schedule("constant", EPOCHS) if halving and epochs[params["trial"]] else None

    racing = Racer(RaceTerms(rule, stored.labels, schedule), METRIC, stored.assignment)
    trials: list[TrialRecord] = []
    run, cut = 0.0, 0
    for number in range(len(stored.truth)):
        trial = TrialRecord(number, {"trial": number}, Origin.SAMPLER if number else Origin.BASELINE)
        for rung, least in racing.thresholds(trial, FIRST).items():
            if trial.state == TrialState.RUNNING and all(
                better(METRIC, least, value) for value in stored.curves[number, :rung]
            ):
                trial = _with(trial, stored.fold(number, FIRST), TrialState.PRUNED, BEHIND_EARLY)
                run, cut = run + rung / EPOCHS, cut + 1
        for fold in range(FOLDS if trial.state == TrialState.RUNNING else 0):
            record = stored.fold(number, fold)
            racing.note(record)
            why = racing.behind(trial, record) if fold < FOLDS - 1 else None
            state = TrialState.PRUNED if why else TrialState.COMPLETE if fold == FOLDS - 1 else TrialState.RUNNING
            trial, run = _with(trial, record, state, BEHIND if why else None), run + 1
            if why:
                break
        racing.closed(trial)
        trials.append(trial)
    winner = best(trials, METRIC)
    assert winner is not None
    return Outcome(run, cut, float(stored.truth[winner.number]))


def _with(trial: TrialRecord, fold: FoldRecord, state: TrialState, cause: str | None) -> TrialRecord:
    return TrialRecord(trial.number, trial.params, trial.origin, state, cause, folds=(*trial.folds, fold))


RULES = (("forgiving", False), ("paired", False), ("none", True), ("paired", True))


def main(arguments: Sequence[str]) -> None:
    """Print one row per size and rule."""
    folder = Path(arguments[0]) if arguments else None
    print(
        f"{STUDIES} studies of {TRIALS} trials x {FOLDS} folds a row; the truth is measured on the pictures left over"
    )
    print("pictures  rule                  fold runs saved  first folds cut  points lost (standard error)  worst")
    for images in SIZES:
        studies = of_each(kept, [(images, seed, folder) for seed in range(STUDIES)])
        whole = [replayed(each, "none", halving=False) for each in studies]
        for rule, halving in RULES:
            replays = [replayed(each, rule, halving=halving) for each in studies]
            lost = np.array([100 * (a.truth - b.truth) for a, b in zip(whole, replays, strict=True)])
            share = 1 - np.mean([each.folds for each in replays]) / (TRIALS * FOLDS)
            cut = np.mean([each.cut for each in replays])
            name = " + ".join(part for part in (rule if rule != "none" else "", "halving" if halving else "") if part)
            error = lost.std(ddof=1) / np.sqrt(len(lost))
            columns = f"{lost.mean():+20.2f} ({error:.2f}) {lost.max():+8.2f}"
            print(f"{images:8}  {name:20} {share:16.0%} {cut:16.1f} {columns}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
