"""How good the estimate is where the truth is known: `python -m tests.bench.estimates`, or parts of it by their names.

`real`: searches over scikit-learn's digits (`tests/bench/digits.py`), each with its finalists, its choice, its ensemble
and its refit as a search has them; the pictures left over tell the truth. `shuffled`: the same with labels that nothing
can be learned from. `simulated`: out-of-fold predictions drawn from a model, where every trial may be equally good.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.stats.estimate import Estimate, estimate, of_another, trained_on_all
from search.stats.metrics import scores
from search.stats.selection import (
    REPEATS,
    best_together,
    better_in_folds,
    choose,
    complete,
    finalists,
    interval,
    of_ensemble,
)
from storage import FoldRecord, TrialRecord, TrialState
from storage.records import Origin
from tests.bench.digits import FOLDS, METRIC, SIZES, STUDIES, TRIALS, Drawn, Stored, draw, fold_run, kept, refit
from tests.bench.digits import points as points_of
from tests.bench.parallel import of_each
from tests.search.stats.simulated import studies

Probabilities: TypeAlias = NDArray[np.floating]

SIMULATED = 100
CASES = ((100, 100, 0.0), (100, 100, 0.3), (110, 14, 0.8), (300, 60, 0.3), (1000, 60, 0.2))
CHANCE = 0.1


@dataclass(frozen=True)
class Study:
    """What a search says, and what is true. Balanced accuracies."""

    best: Estimate  # of the trial with the best pooled score: BBC-CV
    folds_truth: float  # of that trial's fold models, their mean
    refit_truth: float  # of that trial trained on all images
    said: Estimate  # what the report says of what is shipped
    shipped_truth: float
    members: int  # that are shipped
    fold_ensemble_truth: float  # of the best trial's fold models together
    fold_ensemble_picked: bool  # whether that would be shipped for it
    stopped_early: float  # by how much pooled scores of networks are above the truth, more than those of other families


def searched(images: int, seed: int, folder: Path | None, shuffled: bool) -> Study:
    """Search, choose, ship, and compare with the pictures left over."""
    drawn, stored, points = (
        draw(images, seed, shuffled=shuffled),
        kept(images, seed, folder, shuffled=shuffled),
        points_of(seed),
    )
    best = estimate(stored.probabilities, stored.labels, METRIC)
    assert best is not None
    pooled = [scores(stored.labels, rows, (METRIC, "accuracy")) for rows in stored.probabilities]
    winner = int(np.argmax([found[METRIC] for found in pooled]))
    gaps = np.array([found["accuracy"] for found in pooled]) - stored.truth
    networks = np.array([params["family"] == "network" for params in points])

    trials = confirmed(drawn, stored, points)
    chosen = choose(trials, METRIC, images)
    assert chosen is not None
    pool = [t.number for t in complete(trials, METRIC)]
    members = best_together(chosen.number, pool, stored.probabilities[pool], stored.labels, stored.assignment, METRIC)
    together = of_ensemble(stored.probabilities[pool], stored.labels, stored.assignment, METRIC)

    @cache
    def fold_models(trial: int) -> list[tuple[Probabilities, int]]:
        runs = [fold_run(drawn, points[trial], stored.assignment, fold) for fold in range(FOLDS)]
        return [(said[-len(drawn.truth) :], epoch) for said, _, epoch in runs]

    @cache
    def on_all_images(trial: int) -> Probabilities:
        again = [fold.best_epoch for fold in trials[trial].folds if fold.repeat]
        epochs = [epoch for _, epoch in fold_models(trial)] + again
        return refit(drawn, points[trial], max(1, round(float(np.mean(epochs)))))

    def true(probabilities: Probabilities) -> float:
        return scores(drawn.truth, probabilities, (METRIC,))[METRIC]

    said = together if members[1:] else best
    alone = stored.probabilities[members[0].trial]
    if not members[1:] and members[0].trial != winner:
        said = of_another(best, *interval(alone, stored.labels, METRIC))
    shipped = np.sum([member.weight * on_all_images(member.trial) for member in members], axis=0)
    return Study(
        best=best,
        folds_truth=float(np.mean([true(said) for said, _ in fold_models(winner)])),
        refit_truth=true(on_all_images(winner)),
        said=trained_on_all(said, FOLDS, CHANCE),
        shipped_truth=true(shipped),
        members=len(members),
        fold_ensemble_truth=true(np.mean([said for said, _ in fold_models(winner)], axis=0)),
        fold_ensemble_picked=better_in_folds(repeated(drawn, stored, points, winner), stored.labels, FOLDS, METRIC),
        stopped_early=float(gaps[networks].mean() - gaps[~networks].mean()),
    )


def repeated(drawn: Drawn, stored: Stored, points: Sequence[dict[str, Any]], trial: int) -> Probabilities:
    """[repeats, images, classes]: what a trial's models of each drawing of the folds say of images new to them."""
    found = [stored.probabilities[trial]]
    for repeat in range(1, REPEATS + 1):
        assignment, rows = drawn.folds(repeat), np.zeros_like(found[0])
        for fold in range(FOLDS):
            here = assignment == fold
            rows[here] = fold_run(drawn, points[trial], assignment, fold)[0][: here.sum()]
        found.append(rows)
    return np.stack(found)


def confirmed(drawn: Drawn, stored: Stored, points: Sequence[dict[str, Any]]) -> list[TrialRecord]:
    """The study's trials, the finalists with the folds of new repeats."""
    trials = [
        TrialRecord(
            number,
            params,
            Origin.SAMPLER if number else Origin.BASELINE,
            TrialState.COMPLETE,
            parameters=_parameters(params, len(stored.labels)),
            folds=tuple(stored.fold(number, fold) for fold in range(FOLDS)),
        )
        for number, params in enumerate(points)
    ]
    for number in finalists(trials, METRIC, FOLDS, len(stored.labels)):
        for repeat in range(1, REPEATS + 1):
            assignment = drawn.folds(repeat)
            for fold in range(FOLDS):
                said, _, epoch = fold_run(drawn, points[number], assignment, fold)
                here = assignment == fold
                found = scores(drawn.labels[here], said[: here.sum()], (METRIC,))
                record = FoldRecord(number, repeat, fold, 0, found, epoch, epoch, {}, 0, 1.0)
                trials[number] = replace(trials[number], folds=(*trials[number].folds, record))
    return trials


def _parameters(params: dict[str, Any], images: int) -> int:
    """Numbers that a model keeps; for SVMs and nearest neighbours the pictures themselves."""
    match params["family"]:
        case "network":
            widths = (64, *params["hidden_layer_sizes"], 10)
            return sum((a + 1) * b for a, b in pairwise(widths))
        case "logistic":
            return 65 * 10
    return 64 * images


def compared(name: str, said: Sequence[Estimate], truth: Sequence[float], left_over: float = np.inf) -> str:
    """A row of the table; `left_over`: pictures by which the truth is measured, so that it has an error of its own."""
    off = np.array([100 * (found.value - true) for found, true in zip(said, truth, strict=True)])
    naive = np.mean([100 * (found.naive - true) for found, true in zip(said, truth, strict=True)])
    held = np.mean([found.low <= true <= found.high for found, true in zip(said, truth, strict=True)])
    width = np.mean([100 * (found.high - found.low) for found in said])
    error = off.std(ddof=1) / np.sqrt(len(off))
    shown = f"{off.mean():+.2f} ({error:.2f})"
    mean = float(np.mean(truth))
    error_of_truth = f" ±{196 * np.sqrt(mean * (1 - mean) / left_over):.1f}" if np.isfinite(left_over) else " " * 5
    known = f"{100 * mean:.1f}{error_of_truth}"
    return f"{name:34} {known:>9} {shown:>21} {naive:+13.1f} {held:15.0%} {width:12.1f}"


HEADER = f"{'':34} {'truth':>9} {'estimate off by':>21} {'naive off by':>13} {'intervals hold':>15} {'their width':>12}"


def real(folder: Path | None) -> None:
    """Print rows a size."""
    print(
        f"{STUDIES} studies a size, of {TRIALS} trials x {FOLDS} folds on scikit-learn's digits, 10 classes; balanced "
        "accuracy in %, errors in points (standard error)"
    )
    print(HEADER)
    for images in SIZES:
        found = of_each(searched, [(images, seed, folder, False) for seed in range(STUDIES)])
        left = len(draw(images, 0).truth)
        best, truth = [each.best for each in found], [each.folds_truth for each in found]
        print(compared(f"{images:4} images: best, its fold models", best, truth, left))
        best, truth = [trained_on_all(each, FOLDS, CHANCE) for each in best], [each.refit_truth for each in found]
        print(compared(f"{images:4} images: best, on all images", best, truth, left))
        said, truth = [each.said for each in found], [each.shipped_truth for each in found]
        print(compared(f"{images:4} images: what is shipped", said, truth, left))
        more = 100 * np.mean([each.refit_truth - each.folds_truth for each in found])
        early = 100 * np.mean([each.stopped_early for each in found])
        several = sum(each.members > 1 for each in found)
        print(
            f"            on all images better by {more:.1f}; stopping early flatters networks by {early:.1f}; "
            f"{several} of {len(found)} are an ensemble",
            flush=True,
        )
        gains = [100 * (each.fold_ensemble_truth - each.refit_truth) for each in found]
        picked = [gain for gain, each in zip(gains, found, strict=True) if each.fold_ensemble_picked]
        print(
            f"            the best trial's fold models together, against it on all images: {np.mean(gains):+.2f}; "
            f"picked in {len(picked)} of {len(found)}" + (f", there {np.mean(picked):+.2f}" if picked else ""),
            flush=True,
        )


def shuffled(folder: Path | None) -> None:
    """Print what is said where there is nothing to learn."""
    images = SIZES[0]
    found = of_each(searched, [(images, seed, folder, True) for seed in range(STUDIES)])
    print(f"{STUDIES} studies of {images} digits whose labels are shuffled: the truth is chance, {CHANCE:.0%}")
    print(HEADER)
    print(compared("best trial", [each.best for each in found], [CHANCE] * len(found)))
    print(compared("what is shipped", [each.said for each in found], [CHANCE] * len(found)), flush=True)


def simulated(_: Path | None) -> None:
    """Print a row a case."""
    print(f"{SIMULATED} simulated studies a row, 2 classes; errors in points against the chosen trial's truth")
    print(HEADER)
    for images, trials, spread in CASES:
        said, truth = [], []
        for study in studies(SIMULATED, images=images, trials=trials, spread=spread):
            found = estimate(study.probabilities, study.labels, METRIC)
            assert found is not None
            pooled = [scores(study.labels, rows, (METRIC,))[METRIC] for rows in study.probabilities]
            said.append(found)
            truth.append(float(study.truth[int(np.argmax(pooled))]))
        print(compared(f"{images} images, {trials} trials, spread {spread}", said, truth), flush=True)


PARTS = {"real": real, "shuffled": shuffled, "simulated": simulated}


def main() -> None:
    """Print the tables."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)}; none: all")
    asked.add_argument("--keep", type=Path, help="folder for the digits' studies, to take them from the next time")
    options = asked.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        asked.error(f"there is no part {', '.join(sorted(unknown))}; name any of {', '.join(PARTS)}, or none for all")
    for part in options.parts or PARTS:
        PARTS[part](options.keep)
        print()


if __name__ == "__main__":
    main()
