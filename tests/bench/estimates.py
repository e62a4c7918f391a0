"""The error of the estimate if the truth is known: `python -m tests.bench.estimates`, or parts of it by their names.

`real`: searches over scikit-learn's digits (`tests/bench/digits.py`) with finalists, choice, ensemble and refit, as in
a search; the truth is measured on the other pictures. `shuffled`: the same with shuffled labels, from which nothing can
be learned. `simulated`: out-of-fold predictions drawn from a model, where all trials may be equally good.
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

from search.stats.estimate import Estimate, no_better_than_its_own, trained_on_all
from search.stats.evidence import Evidence, belief, evidence_of
from search.stats.metrics import scores
from search.stats.selection import REPEATS, better_in_folds, decide, expected_score, finalists
from storage import FoldRecord, TrialRecord, TrialState
from storage.records import Origin, StudyRecord
from tests.bench.digits import FOLDS, METRIC, SIZES, STUDIES, TRIALS, Drawn, Stored, draw, fold_run, kept, refit
from tests.bench.digits import points as points_of
from tests.bench.parallel import of_each
from tests.search.stats.simulated import evidence, studies

Probabilities: TypeAlias = NDArray[np.floating]
Repeats: TypeAlias = list[dict[int, Probabilities]]  # of a trial: for each division into folds, fold -> probabilities

SIMULATED = 100
CASES = ((100, 100, 0.0), (100, 100, 0.3), (110, 14, 0.8), (300, 60, 0.3), (1000, 60, 0.2))
CHANCE = 0.1


@dataclass(frozen=True)
class Study:
    """The estimates of a search, and the truth. Balanced accuracies."""

    reported: Estimate  # the report's estimate for the saved model
    saved_truth: float
    members: int  # of the saved model
    folds_truth: float  # mean over the fold models of the trial with the best expectation
    refit_truth: float  # of that trial trained on all images
    fold_ensemble_truth: float  # of the ensemble of the best trial's fold models
    fold_ensemble_picked: bool  # whether that ensemble would be saved for it
    stopped_early: float  # optimism of pooled scores of networks, minus that of other families


def searched(images: int, seed: int, folder: Path | None, shuffled: bool) -> Study:
    """Search, choose, train on all images, and measure the truth on the other pictures."""
    drawn, stored, points = (
        draw(images, seed, shuffled=shuffled),
        kept(images, seed, folder, shuffled=shuffled),
        points_of(seed),
    )
    pooled = [scores(stored.labels, rows, ("accuracy",))["accuracy"] for rows in stored.probabilities]
    gaps = np.array(pooled) - stored.truth
    networks = np.array([params["family"] == "network" for params in points])

    trials, predictions = confirmed(drawn, stored, points)
    everyone = np.ones(len(trials), bool)
    searched_alone = _evidence(drawn, trials, [repeats[:1] for repeats in predictions])
    winner = int(np.argmax(belief(searched_alone).mean))
    members = [(member.trial, member.weight) for member in decide(_evidence(drawn, trials, predictions), everyone)]
    reported = expected_score(searched_alone, everyone, members)
    assert reported is not None

    @cache
    def fold_models(trial: int) -> list[tuple[Probabilities, int]]:
        runs = [fold_run(drawn, points[trial], stored.assignment, fold) for fold in range(FOLDS)]
        return [(probabilities[-len(drawn.truth) :], epoch) for probabilities, _, epoch in runs]

    @cache
    def on_all_images(trial: int) -> Probabilities:
        again = [fold.best_epoch for fold in trials[trial].folds if fold.repeat]
        epochs = [epoch for _, epoch in fold_models(trial)] + again
        return refit(drawn, points[trial], max(1, round(float(np.mean(epochs)))))

    def true(probabilities: Probabilities) -> float:
        return scores(drawn.truth, probabilities, (METRIC,))[METRIC]

    saved = np.sum([weight * on_all_images(trial) for trial, weight in members], axis=0)
    return Study(
        reported=trained_on_all(no_better_than_its_own(reported), FOLDS, CHANCE),
        saved_truth=true(saved),
        members=len(members),
        folds_truth=float(np.mean([true(probabilities) for probabilities, _ in fold_models(winner)])),
        refit_truth=true(on_all_images(winner)),
        fold_ensemble_truth=true(np.mean([probabilities for probabilities, _ in fold_models(winner)], axis=0)),
        fold_ensemble_picked=better_in_folds(repeated(drawn, stored, points, winner), stored.labels, FOLDS, METRIC),
        stopped_early=float(gaps[networks].mean() - gaps[~networks].mean()),
    )


def repeated(drawn: Drawn, stored: Stored, points: Sequence[dict[str, Any]], trial: int) -> Probabilities:
    """[repeats, images, classes]: out-of-fold probabilities of a trial, for each division into folds."""
    probabilities = [stored.probabilities[trial]]
    for repeat in range(1, REPEATS + 1):
        assignment, rows = drawn.folds(repeat), np.zeros_like(probabilities[0])
        for fold in range(FOLDS):
            validated = assignment == fold
            rows[validated] = fold_run(drawn, points[trial], assignment, fold)[0][: validated.sum()]
        probabilities.append(rows)
    return np.stack(probabilities)


def confirmed(
    drawn: Drawn, stored: Stored, points: Sequence[dict[str, Any]]
) -> tuple[list[TrialRecord], list[Repeats]]:
    """The study's trials, and their predictions; the finalists also have the folds of new repeats."""
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
    predictions: list[Repeats] = [
        [{fold: rows[stored.assignment == fold] for fold in range(FOLDS)}] for rows in stored.probabilities
    ]
    for number in finalists(trials, METRIC, FOLDS, len(stored.labels)):
        for repeat in range(1, REPEATS + 1):
            assignment = drawn.folds(repeat)
            predictions[number].append({})
            for fold in range(FOLDS):
                probabilities, _, epoch = fold_run(drawn, points[number], assignment, fold)
                validated = assignment == fold
                predictions[number][repeat][fold] = probabilities[: validated.sum()]
                fold_scores = scores(drawn.labels[validated], probabilities[: validated.sum()], (METRIC,))
                record = FoldRecord(number, repeat, fold, 0, fold_scores, epoch, epoch, {}, 0, 1.0)
                trials[number] = replace(trials[number], folds=(*trials[number].folds, record))
    return trials, predictions


def _evidence(drawn: Drawn, trials: Sequence[TrialRecord], predictions: Sequence[Repeats]) -> Evidence:
    classes = tuple(map(str, range(10)))
    study = StudyRecord("digits", "", drawn.seed, METRIC, classes, (8, 8, 1), "", {"preset": "own"}, {})
    assignments = [drawn.folds(repeat) for repeat in range(REPEATS + 1)]
    return evidence_of(trials, predictions, drawn.labels, assignments, study)


def _parameters(params: dict[str, Any], images: int) -> int:
    """The number of parameters of a model; for SVMs and nearest neighbours the numbers of all pictures."""
    match params["family"]:
        case "network":
            widths = (64, *params["hidden_layer_sizes"], 10)
            return sum((a + 1) * b for a, b in pairwise(widths))
        case "logistic":
            return 65 * 10
    return 64 * images


def compared(name: str, estimates: Sequence[Estimate], truth: Sequence[float], others: float = np.inf) -> str:
    """A row of the table; `others`: the number of pictures on which the truth is measured, for its error."""
    pairs = list(zip(estimates, truth, strict=True))
    off = np.array([100 * (estimated.value - true) for estimated, true in pairs])
    naive = np.mean([100 * (estimated.naive - true) for estimated, true in pairs])
    held = np.mean([estimated.low <= true <= estimated.high for estimated, true in pairs])
    width = np.mean([100 * (estimated.high - estimated.low) for estimated in estimates])
    error = off.std(ddof=1) / np.sqrt(len(off))
    shown = f"{off.mean():+.2f} ({error:.2f})"
    mean = float(np.mean(truth))
    error_of_truth = f" ±{196 * np.sqrt(mean * (1 - mean) / others):.1f}" if np.isfinite(others) else " " * 5
    known = f"{100 * mean:.1f}{error_of_truth}"
    return f"{name:34} {known:>9} {shown:>21} {naive:+13.1f} {held:15.0%} {width:12.1f}"


HEADER = f"{'':34} {'truth':>9} {'error of estimate':>21} {'of naive':>13} {'truth inside':>15} {'width':>12}"


def real(folder: Path | None) -> None:
    """Print the rows of each size."""
    print(
        f"{STUDIES} studies per size, {TRIALS} trials x {FOLDS} folds, of scikit-learn's digits, 10 classes; balanced "
        "accuracy in %, errors in points (standard error)"
    )
    print(HEADER)
    for images in SIZES:
        results = of_each(searched, [(images, seed, folder, False) for seed in range(STUDIES)])
        others = len(draw(images, 0).truth)
        reported, truth = [each.reported for each in results], [each.saved_truth for each in results]
        print(compared(f"{images:4} images: the saved model", reported, truth, others))
        more = 100 * np.mean([each.refit_truth - each.folds_truth for each in results])
        early = 100 * np.mean([each.stopped_early for each in results])
        several = sum(each.members > 1 for each in results)
        print(
            f"            the best trial on all images better by {more:.1f}; "
            f"optimism of networks by early stopping {early:.1f}; "
            f"{several} of {len(results)} saved models are ensembles",
            flush=True,
        )
        gains = [100 * (each.fold_ensemble_truth - each.refit_truth) for each in results]
        picked = [gain for gain, each in zip(gains, results, strict=True) if each.fold_ensemble_picked]
        print(
            f"            the best trial's fold models together, minus it on all images: {np.mean(gains):+.2f}; "
            f"saved in {len(picked)} of {len(results)}" + (f", there {np.mean(picked):+.2f}" if picked else ""),
            flush=True,
        )


def shuffled(folder: Path | None) -> None:
    """Print the estimates if there is nothing to learn."""
    images = SIZES[0]
    results = of_each(searched, [(images, seed, folder, True) for seed in range(STUDIES)])
    print(f"{STUDIES} studies of {images} digits whose labels are shuffled: the truth is chance, {CHANCE:.0%}")
    print(HEADER)
    print(compared("the saved model", [each.reported for each in results], [CHANCE] * len(results)), flush=True)


def simulated(_: Path | None) -> None:
    """Print one row per case."""
    print(f"{SIMULATED} simulated studies per row, 2 classes; errors in points against the truth of what is chosen")
    print(HEADER)
    for images, trials, spread in CASES:
        estimates, truth = [], []
        for study in studies(SIMULATED, images=images, trials=trials, spread=spread):
            made = evidence(study.probabilities, study.labels, np.arange(images) // 2 % FOLDS, METRIC)
            weights = np.zeros(trials)
            for member in decide(made, everyone := np.ones(trials, bool)):
                weights[member.trial] += member.weight
            members = [(int(trial), float(weights[trial])) for trial in np.flatnonzero(weights)]
            estimated = expected_score(made, everyone, members)
            assert estimated is not None
            estimates.append(no_better_than_its_own(estimated))
            truth.append(study.true(weights))
        print(compared(f"{images} images, {trials} trials, spread {spread}", estimates, truth), flush=True)


PARTS = {"real": real, "shuffled": shuffled, "simulated": simulated}


def main() -> None:
    """Print the tables."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("parts", nargs="*", help=f"any of {', '.join(PARTS)}; none: all")
    asked.add_argument("--keep", type=Path, help="folder in which the digits' studies are stored, for the next time")
    options = asked.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        asked.error(f"there is no part {', '.join(sorted(unknown))}; name any of {', '.join(PARTS)}, or none for all")
    for part in options.parts or PARTS:
        PARTS[part](options.keep)
        print()


if __name__ == "__main__":
    main()
