"""Wrong labels that were planted: how many of them are found, and how many right ones are accused.

`python -m tests.bench.labels PICTURES...`: of each set only the training images. A share of the labels is replaced by
another class, drawn at random, and predicted out of fold: by the default head of `frozen` on features of Lite0, in one
division into folds or as the mean of three, and by logistic regression on the pixels. The rule of the program is
compared with plain confident learning: thresholds of each class, ranked by normalized margin.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.data.folds import choose_folds, draw_folds
from search.data.images import read_images
from search.native import ENVIRONMENT
from search.seeds import derive
from search.stats.labels import suspects
from search.stats.metrics import scores
from search.worker.heads import standardized
from search.worker.references import logistic_regression, reduced
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from spaces.presets import frozen

SHARES = (0.02, 0.05)
BATCH = 32

Labels: TypeAlias = NDArray[np.int16]
Features: TypeAlias = NDArray[np.float32]


@dataclass(frozen=True)
class Pictured:
    """The training images of a set."""

    name: str
    features: Features  # [images, width]
    pixels: Features  # [images, width], reduced
    labels: Labels  # [images]
    facts: Facts


@dataclass(frozen=True)
class Ranked:
    """What a rule says of the images of a set."""

    order: NDArray[np.intp]  # [n] the most suspect first
    accused: NDArray[np.bool_]  # [images]


Rule: TypeAlias = Callable[[Labels, Features], Ranked]


def ours(labels: Labels, probabilities: Features) -> Ranked:
    """The rule of the program."""
    found, accused = suspects(labels, probabilities), np.zeros(len(labels), bool)
    accused[found.order[: found.accused]] = True
    return Ranked(found.order, accused)


def confident_learning(labels: Labels, probabilities: Features) -> Ranked:
    """Northcutt et al. 2021: accused is what the confident joint counts outside of its diagonal."""
    images, classes = np.arange(len(labels)), range(probabilities.shape[1])
    thresholds = np.array([probabilities[labels == label, label].mean() for label in classes])
    reached = np.where(probabilities >= thresholds, probabilities, -1)
    accused = (reached.max(axis=1) >= 0) & (reached.argmax(axis=1) != labels)
    others = probabilities.copy()
    others[images, labels] = -1
    return Ranked(np.argsort(probabilities[images, labels] - others.max(axis=1), kind="stable"), accused)


def pictured(pictures: Path, *, testing: bool = False) -> Pictured:
    """Read a set and compute its features once; `testing`: of its testing images too. Raises UsageError."""
    images = read_images(pictures)
    rows = np.flatnonzero(~images.testing | testing)
    height, width, channels = images.pixels.shape[1:]
    facts = Facts(height, width, channels, len(images.classes), len(rows), (LITE0,))
    views = frozen.views(frozen.space(facts).defaults(), facts)
    batches = [images.pixels[rows[start : start + BATCH]] for start in range(0, len(rows), BATCH)]
    passes = [np.concatenate([view.features(batch) for batch in batches]) for view in views]
    features = np.mean(passes, axis=0)
    return Pictured(pictures.name, features, reduced(images.pixels[rows]), images.labels[rows], facts)


def planted(labels: Labels, share: float, seed: int) -> tuple[Labels, NDArray[np.bool_]]:
    """(the labels with so many replaced by another class, [images] which)."""
    random = np.random.default_rng(derive(seed, "planted"))
    chosen = random.choice(len(labels), max(1, round(share * len(labels))), replace=False)
    classes, wrong = int(labels.max()) + 1, labels.copy()
    wrong[chosen] = (labels[chosen] + random.integers(1, classes, len(chosen))) % classes
    return wrong, wrong != labels


def probed(pictures: Pictured, labels: Labels, seed: int) -> Features:
    """Out-of-fold probabilities [images, classes] of the default head on the features."""
    point = frozen.space(pictures.facts).defaults()

    def fit(train: Features, of_train: Labels, validate: Features) -> Features:
        return frozen.predict_proba(frozen.fit(point, train, of_train, seed), validate, pictures.facts.classes)

    return out_of_fold(pictures.features, labels, seed, fit)


def probed_three_times(pictures: Pictured, labels: Labels, seed: int) -> Features:
    """The mean of three divisions into folds."""
    return np.asarray(np.mean([probed(pictures, labels, derive(seed, "repeat", n)) for n in range(3)], axis=0))


def on_pixels(pictures: Pictured, labels: Labels, seed: int) -> Features:
    """Of logistic regression on the pixels."""
    classes = pictures.facts.classes
    return out_of_fold(
        pictures.pixels, labels, seed, lambda train, of_train, rows: logistic_regression(train, of_train, rows, classes)
    )


def out_of_fold(
    rows: Features, labels: Labels, seed: int, fit: Callable[[Features, Labels, Features], Features]
) -> Features:
    """[images, classes] probabilities, each by a head that was not fitted on the image."""
    nothing = np.zeros(len(labels), bool)
    folds, _ = choose_folds(labels, nothing, None)
    assignment = draw_folds(labels, nothing, folds, seed)
    probabilities = np.zeros((len(labels), int(labels.max()) + 1), np.float32)
    for fold in range(folds):
        inside = assignment == fold
        train, validate = standardized(rows[~inside], rows[inside])
        probabilities[inside] = fit(train, labels[~inside], validate)
    return probabilities


SIDES: dict[str, tuple[Callable[[Pictured, Labels, int], Features], Rule]] = {
    "features": (probed, ours),
    "features, mean of three": (probed_three_times, ours),
    "features, confident learning": (probed, confident_learning),
    "pixels": (on_pixels, ours),
}


def tried(pictures: Pictured, side: str, share: float, seed: int) -> tuple[float, ...]:
    """(accuracy before planting, found in a list as long, twice as long, above the line, right ones accused)."""
    predict, rule = SIDES[side]
    labels, wrong = planted(pictures.labels, share, seed)
    probabilities = predict(pictures, labels, seed)
    found, count = rule(labels, probabilities), int(wrong.sum())
    return (
        scores(pictures.labels, probabilities)["balanced_accuracy"],
        float(wrong[found.order[:count]].sum() / count),
        float(wrong[found.order[: 2 * count]].sum() / count),
        float(found.accused[wrong].mean()),
        float(found.accused[~wrong].mean()),
    )


def lines(sets: Sequence[Path], seeds: int) -> Iterator[str]:
    """Lines of Markdown: means over the seeds, in %."""
    heads = ("set", "images", "classes", "predicted by", "planted", "accuracy")
    measured = ("in a list as long", "twice as long", "above the line", "right ones accused")
    yield f"| {' | '.join((*heads, *measured))} |"
    yield f"|{' --- |' * (len(heads) + len(measured))}"
    for pictures, side, share in product(map(pictured, sets), SIDES, SHARES):
        means = 100 * np.mean([tried(pictures, side, share, seed) for seed in range(seeds)], axis=0)
        cells = (pictures.name, len(pictures.labels), pictures.facts.classes, side, f"{100 * share:g}")
        yield f"| {' | '.join([*map(str, cells), *(f'{mean:.1f}' for mean in means)])} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.labels", description=__doc__)
    parser.add_argument("pictures", nargs="+", type=Path, metavar="PICTURES")
    parser.add_argument("--seeds", type=int, default=5, help="of planting and of the folds")
    asked = parser.parse_args(arguments)
    os.environ.update(ENVIRONMENT | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    for line in lines(asked.pictures, asked.seeds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
