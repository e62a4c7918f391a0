"""Studies of real pictures whose truth is known: scikit-learn's 1,797 handwritten digits, of 8x8 pixels.

Each study has a stratified part of them, and 60 random points of four families, each trained on all five folds and
stored in full. The truth about every point is measured on the other pictures.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search.data.folds import draw_folds
from search.stats.metrics import scores
from storage import FoldRecord

STUDIES, TRIALS, FOLDS, EPOCHS = 20, 60, 5, 16
SIZES = (100, 300, 1000)
FAMILIES = ("network", "network", "svc", "logistic", "neighbours")
METRIC = "balanced_accuracy"
BASELINE: dict[str, Any] = {"family": "logistic", "C": 1.0}


@dataclass(frozen=True)
class Stored:
    """One study in full."""

    labels: NDArray[np.int16]  # [images]
    assignment: NDArray[np.int16]  # [images]
    probabilities: NDArray[np.float32]  # [trials, images, classes], out of fold
    curves: NDArray[np.float64]  # [trials, epochs] the metric in the first fold; NaN where there are no epochs
    truth: NDArray[np.float64]  # [trials] accuracy on the pictures left over, the mean of the fold models

    def fold(self, trial: int, fold: int) -> FoldRecord:
        """A fold as in a study's database."""
        here = self.assignment == fold
        rows, curve = self.probabilities[trial, here], self.curves[trial]
        fold_scores = scores(self.labels[here], rows, (METRIC,))
        known = {f"val_{METRIC}": tuple(curve)} if fold == 0 and np.isfinite(curve[0]) else {}
        return FoldRecord(trial, 0, fold, 0, fold_scores, EPOCHS, EPOCHS, known, 0, 1.0, rows)


@dataclass(frozen=True)
class Drawn:
    """The pictures of one study, and the other pictures, which show the truth."""

    seed: int
    pixels: NDArray[np.float64]  # [images, 64], 0..1
    labels: NDArray[np.int16]  # [images]
    rest: NDArray[np.float64]  # [pictures left over, 64]
    truth: NDArray[np.int16]  # their labels

    def folds(self, repeat: int = 0) -> NDArray[np.int16]:
        """[images]: the folds, drawn for every repeat."""
        return draw_folds(self.labels, np.zeros(len(self.labels), bool), FOLDS, self.seed + 1000 * repeat)


def draw(images: int, seed: int, *, shuffled: bool = False) -> Drawn:
    """So many pictures, stratified. `shuffled`: all labels are permuted, so that nothing can be learned."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    labels = digits.target.astype(np.int16)
    labels = np.random.default_rng(seed).permutation(labels) if shuffled else labels
    rows, rest = train_test_split(np.arange(len(labels)), train_size=images, stratify=labels, random_state=seed)
    return Drawn(seed, digits.data[rows] / 16, labels[rows], digits.data[rest] / 16, labels[rest])


def points(seed: int) -> list[dict[str, Any]]:
    """The points of a study, the baseline first."""
    rng = np.random.default_rng(seed)
    return [BASELINE, *(_point(rng) for _ in range(TRIALS - 1))]


def _point(rng: np.random.Generator) -> dict[str, Any]:
    """A random family and its hyperparameters."""
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


def kept(images: int, seed: int, folder: Path | None, *, shuffled: bool = False) -> Stored:
    """A study from the folder; if it is not there, it is trained and stored there."""
    path = None if folder is None else folder / f"{'shuffled' if shuffled else 'digits'}-{images}-{seed}.npz"
    if path is not None and path.exists():
        with np.load(path, allow_pickle=False) as arrays:
            return Stored(**arrays)
    trained = study(draw(images, seed, shuffled=shuffled))
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, **vars(trained))
    return trained


def study(drawn: Drawn) -> Stored:
    """Train every point on every fold."""
    assignment, labels = drawn.folds(), drawn.labels
    probabilities = np.zeros((TRIALS, len(labels), 10), np.float32)
    curves, truth = np.full((TRIALS, EPOCHS), np.nan), np.zeros(TRIALS)
    for trial, params in enumerate(points(drawn.seed)):
        for fold in range(FOLDS):
            validate = assignment == fold
            predictions, curve, _ = fold_run(drawn, params, assignment, fold)
            probabilities[trial, validate] = predictions[: validate.sum()]
            truth[trial] += float(np.mean(predictions[validate.sum() :].argmax(axis=1) == drawn.truth)) / FOLDS
            if fold == 0:
                curves[trial, : len(curve)] = curve
    return Stored(labels, assignment, probabilities, curves, truth)


def fold_run(
    drawn: Drawn, params: dict[str, Any], assignment: NDArray[np.int16], fold: int
) -> tuple[NDArray[np.float32], list[float], int]:
    """(probabilities of the fold's pictures and then of the other pictures, the metric by epoch, the best epoch).

    Those of a network are from the epoch with the lowest log loss on the fold's pictures, as in a search.
    """
    from sklearn.neural_network import MLPClassifier

    train, validate = assignment != fold, assignment == fold
    asked = np.concatenate([drawn.pixels[validate], drawn.rest])
    model = _model(params, int(train.sum()))
    if not isinstance(model, MLPClassifier):
        return _asked(model.fit(drawn.pixels[train], drawn.labels[train]), asked), [], 1
    curve: list[float] = []
    chosen, least, best = model, np.inf, 1
    for epoch in range(1, EPOCHS + 1):
        model.partial_fit(drawn.pixels[train], drawn.labels[train], classes=np.arange(10))
        epoch_scores = scores(drawn.labels[validate], model.predict_proba(drawn.pixels[validate]), (METRIC, "log_loss"))
        curve.append(epoch_scores[METRIC])
        if epoch_scores["log_loss"] < least:
            chosen, least, best = deepcopy(model), epoch_scores["log_loss"], epoch
    return _asked(chosen, asked), curve, best


def refit(drawn: Drawn, params: dict[str, Any], epochs: int) -> NDArray[np.float32]:
    """Probabilities of the other pictures, trained on all pictures of the study; a network for so many epochs."""
    model = _model(params, len(drawn.labels))
    if params["family"] != "network":
        return _asked(model.fit(drawn.pixels, drawn.labels), drawn.rest)
    for _ in range(epochs):
        model.partial_fit(drawn.pixels, drawn.labels, classes=np.arange(10))
    return _asked(model, drawn.rest)


def _model(params: dict[str, Any], images: int) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.neural_network import MLPClassifier
    from sklearn.svm import SVC

    rest = {name: value for name, value in params.items() if name != "family"}
    match params["family"]:
        case "svc":
            return SVC(**rest)
        case "logistic":
            return LogisticRegression(**rest, max_iter=50)
        case "neighbours":
            return KNeighborsClassifier(**rest)
    return MLPClassifier(**{**rest, "batch_size": min(rest["batch_size"], images)}, random_state=1)


def _asked(model: Any, pixels: NDArray[np.float64]) -> NDArray[np.float32]:
    from scipy.special import softmax

    if hasattr(model, "predict_proba"):
        return np.asarray(model.predict_proba(pixels), np.float32)
    return np.asarray(softmax(model.decision_function(pixels), axis=1), np.float32)
