"""What the race saves and what it costs, on studies stored in full and replayed: `python -m tests.bench.races`.

Each study is of some of scikit-learn's digits, 1,797 real pictures: 60 points drawn at random from four families, each
trained on all five folds. The pictures left over tell the truth about every point. `python -m tests.bench.races FOLDER`
keeps the studies there and takes them from there the next time.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from search.folds import draw_folds
from search.metrics import better, scores
from search.race import BEHIND, BEHIND_EARLY, Schedule
from search.racing import FIRST, Racing, Terms
from search.ranking import best
from storage import FoldRecord, TrialRecord, TrialState

STUDIES, TRIALS, FOLDS, EPOCHS = 20, 60, 5, 16
SIZES = (100, 300, 1000)
FAMILIES = ("network", "network", "svc", "logistic", "neighbours")
METRIC = "balanced_accuracy"


@dataclass(frozen=True)
class Stored:
    """One study in full."""

    labels: NDArray[np.int16]  # [images]
    assignment: NDArray[np.int16]  # [images]
    probabilities: NDArray[np.float32]  # [trials, images, classes], out of fold
    curves: NDArray[np.float64]  # [trials, epochs] the metric in the first fold; NaN where there are no epochs
    truth: NDArray[np.float64]  # [trials] accuracy on the pictures left over, the mean of the fold models


@dataclass(frozen=True)
class Outcome:
    """A study replayed under one rule."""

    folds: float  # run, a first fold that was stopped counting as the epochs it had
    cut: int  # first folds that were stopped
    truth: float  # of the trial that is best in the end


def point(rng: np.random.Generator) -> dict[str, Any]:
    """A family and its hyperparameters, drawn at random."""
    family = FAMILIES[rng.integers(len(FAMILIES))]
    match family:
        case "network":
            return {
                "family": family,
                "hidden_layer_sizes": (int(2 ** rng.uniform(2, 7)),) * int(rng.integers(1, 3)),
                "learning_rate_init": float(10 ** rng.uniform(-4, -1)),
                "alpha": float(10 ** rng.uniform(-5, 0)),
                "batch_size": int(rng.choice([32, 64, 128])),
                "activation": str(rng.choice(["relu", "tanh"])),
            }
        case "svc":
            return {"family": family, "C": float(10 ** rng.uniform(-2, 2)), "gamma": float(10 ** rng.uniform(-3, 0.5))}
        case "logistic":
            return {"family": family, "C": float(10 ** rng.uniform(-3, 2))}
    weights = str(rng.choice(["uniform", "distance"]))
    return {"family": family, "n_neighbors": int(rng.integers(1, 16)), "weights": weights}


BASELINE = {"family": "logistic", "C": 1.0}


def study(images: int, seed: int) -> Stored:
    """Train every point on every fold."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    pixels, labels = digits.data / 16, digits.target.astype(np.int16)
    rows, rest = train_test_split(np.arange(len(labels)), train_size=images, stratify=labels, random_state=seed)
    rng = np.random.default_rng(seed)
    points = [BASELINE, *(point(rng) for _ in range(TRIALS - 1))]
    mine = labels[rows]
    assignment = draw_folds(mine, np.zeros(images, bool), FOLDS, seed)
    probabilities = np.zeros((TRIALS, images, 10), np.float32)
    curves, truth = np.full((TRIALS, EPOCHS), np.nan), np.zeros(TRIALS)
    for trial, params in enumerate(points):
        for fold in range(FOLDS):
            train, validate = assignment != fold, assignment == fold
            asked = np.concatenate([pixels[rows][validate], pixels[rest]])
            said, curve = fitted(params, pixels[rows][train], mine[train], asked, int(validate.sum()), mine[validate])
            probabilities[trial, validate] = said[: validate.sum()]
            truth[trial] += float(np.mean(said[validate.sum() :].argmax(axis=1) == labels[rest])) / FOLDS
            if fold == FIRST:
                curves[trial, : len(curve)] = curve
    return Stored(mine, assignment, probabilities, curves, truth)


def fitted(
    params: dict[str, Any],
    pixels: NDArray[np.float64],
    labels: NDArray[np.int16],
    asked: NDArray[np.float64],
    validated: int,
    truth: NDArray[np.int16],
) -> tuple[NDArray[np.float32], list[float]]:
    """(probabilities of `asked`, the metric on its first `validated` rows by epoch); a network's of its best epoch."""
    from scipy.special import softmax
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    rest = {name: value for name, value in params.items() if name != "family"}
    match params["family"]:
        case "svc":
            return softmax(SVC(**rest).fit(pixels, labels).decision_function(asked), axis=1), []
        case "logistic":
            return LogisticRegression(**rest, max_iter=50).fit(pixels, labels).predict_proba(asked), []
        case "neighbours":
            return KNeighborsClassifier(**rest).fit(pixels, labels).predict_proba(asked), []
    network = MLPClassifier(**{**rest, "batch_size": min(rest["batch_size"], len(labels))}, random_state=1)
    curve: list[float] = []
    chosen, least = network, np.inf
    for _ in range(EPOCHS):
        network.partial_fit(pixels, labels, classes=np.arange(10))
        found = scores(truth, network.predict_proba(asked[:validated]), (METRIC, "log_loss"))
        curve.append(found[METRIC])
        if found["log_loss"] < least:
            chosen, least = deepcopy(network), found["log_loss"]
    return chosen.predict_proba(asked), curve


def replayed(stored: Stored, rule: str, metric: str = METRIC, *, halving: bool) -> Outcome:
    """The study with the race on, one worker: the trials in their order, each as far as it gets."""
    epochs = ~np.isnan(stored.curves[:, 0])

    def schedule(params: Any) -> Schedule | None:
        return Schedule("constant", EPOCHS) if halving and epochs[params["trial"]] else None

    racing = Racing(Terms(rule, stored.labels, schedule), metric, stored.assignment)
    trials: list[TrialRecord] = []
    run, cut = 0.0, 0
    for number in range(len(stored.truth)):
        trial = TrialRecord(number, {"trial": number}, "sampler" if number else "baseline")
        for rung, least in racing.least(trial, FIRST).items():
            if trial.state == TrialState.RUNNING and all(
                better(metric, least, value) for value in stored.curves[number, :rung]
            ):
                trial = _with(trial, _fold(stored, number, FIRST, metric), TrialState.PRUNED, BEHIND_EARLY)
                run, cut = run + rung / EPOCHS, cut + 1
        for fold in range(FOLDS if trial.state == TrialState.RUNNING else 0):
            record = _fold(stored, number, fold, metric)
            racing.note(record)
            why = racing.behind(trial, record) if fold < FOLDS - 1 else None
            state = TrialState.PRUNED if why else TrialState.COMPLETE if fold == FOLDS - 1 else TrialState.RUNNING
            trial, run = _with(trial, record, state, BEHIND if why else None), run + 1
            if why:
                break
        racing.closed(trial)
        trials.append(trial)
    winner = best(trials, metric)
    assert winner is not None
    return Outcome(run, cut, float(stored.truth[winner.number]))


def _with(trial: TrialRecord, fold: FoldRecord, state: TrialState, cause: str | None) -> TrialRecord:
    return TrialRecord(trial.number, trial.params, trial.origin, state, cause, folds=(*trial.folds, fold))


def _fold(stored: Stored, trial: int, fold: int, metric: str) -> FoldRecord:
    here = stored.assignment == fold
    rows, curve = stored.probabilities[trial, here], stored.curves[trial]
    found = scores(stored.labels[here], rows, (metric,))
    known = {f"val_{METRIC}": tuple(curve)} if fold == FIRST and np.isfinite(curve[0]) else {}
    return FoldRecord(trial, 0, fold, 0, found, EPOCHS, EPOCHS, known, 0, 1.0, rows)


def kept(images: int, folder: Path | None) -> list[Stored]:
    """The studies of one size."""
    found = []
    for seed in range(STUDIES):
        path = None if folder is None else folder / f"digits-{images}-{seed}.npz"
        if path is not None and path.exists():
            with np.load(path) as arrays:
                found.append(Stored(**arrays))
            continue
        print(f"training study {seed + 1} of {STUDIES} of {images} pictures", end="\r", file=sys.stderr, flush=True)
        found.append(study(images, seed))
        if path is not None:
            np.savez(path, **vars(found[-1]))
    return found


RULES = (("forgiving", False), ("paired", False), ("none", True), ("paired", True))


def main(arguments: Sequence[str]) -> None:
    """Print a row a size and rule."""
    warnings.simplefilter("ignore")  # that a network of few epochs has not converged
    folder = Path(arguments[0]) if arguments else None
    print(
        f"{STUDIES} studies of {TRIALS} trials x {FOLDS} folds a row; the truth is measured on the pictures left over"
    )
    print("pictures  rule                  fold runs saved  first folds cut  points lost (standard error)  worst")
    for images in SIZES:
        with threadpool_limits(1):  # on tables this small more threads only wait
            studies = kept(images, folder)
        whole = [replayed(each, "none", halving=False) for each in studies]
        for rule, halving in RULES:
            found = [replayed(each, rule, halving=halving) for each in studies]
            lost = np.array([100 * (a.truth - b.truth) for a, b in zip(whole, found, strict=True)])
            share = 1 - np.mean([each.folds for each in found]) / (TRIALS * FOLDS)
            cut = np.mean([each.cut for each in found])
            name = " + ".join(part for part in (rule if rule != "none" else "", "halving" if halving else "") if part)
            error = lost.std(ddof=1) / np.sqrt(len(lost))
            told = f"{lost.mean():+20.2f} ({error:.2f}) {lost.max():+8.2f}"
            print(f"{images:8}  {name:20} {share:16.0%} {cut:16.1f} {told}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
