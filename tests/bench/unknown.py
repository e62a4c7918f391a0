"""Pictures of another kind: how many are refused by their distance to the training images, for several distances.

`python -m tests.bench.unknown PICTURES FOREIGN...`: features of Lite0 as the default head of `frozen` sees them. The
limit is the distance that 5 % of the training images exceed, each seen from the others outside of its fold. Printed is
the share of the own testing images, and of images of each foreign set, read as the own ones are, that exceed it.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.data.decoding import Picture
from search.data.images import read_images
from search.export.predict import pictures_in
from search.manifest import About
from search.native import ENVIRONMENT
from search.stats.unlike import REFUSED
from search.worker.heads import standardized
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from spaces.presets import frozen
from tests.pictures import list_inputs

MOST = 400  # images of a set
SHRUNK = 0.3  # of a covariance, towards a multiple of the unit matrix
BATCH, FOLDS = 32, 5

Features: TypeAlias = NDArray[np.float32]
Distance: TypeAlias = Callable[[Features, NDArray[np.int16], Features], NDArray[np.float64]]
"""(known, their labels, others) -> of each of the others, larger is farther."""


def nearest(nth: int, *, standard: bool = False) -> Distance:
    """1 - cosine to the nth nearest."""

    def distance(known: Features, _: NDArray[np.int16], others: Features) -> NDArray[np.float64]:
        one, other = standardized(known, others) if standard else (known, others)
        cosines = _directions(other) @ _directions(one).T
        return np.asarray(1 - np.sort(cosines, axis=1)[:, -nth])

    return distance


def mahalanobis(*, relative: bool) -> Distance:
    """To the nearest class, with one covariance; `relative`: less that to all images (Ren et al., arXiv 2106.09022)."""

    def distance(known: Features, labels: NDArray[np.int16], others: Features) -> NDArray[np.float64]:
        one, other = standardized(known, others)
        means = {label: one[labels == label].mean(axis=0) for label in np.unique(labels)}
        within = _inverse(one - np.stack([means[label] for label in labels]))
        far = np.min([_lengths(other - mean, within) for mean in means.values()], axis=0)
        return np.asarray(far - _lengths(other, _inverse(one)) if relative else far)

    return distance


DISTANCES: Mapping[str, Distance] = {
    "nearest, features as they are": nearest(1),
    "fifth nearest": nearest(5),
    "nearest, features standardised": nearest(1, standard=True),
    "fifth nearest, standardised": nearest(5, standard=True),
    "Mahalanobis, one covariance for all classes": mahalanobis(relative=False),
    "relative Mahalanobis": mahalanobis(relative=True),
}


def refused(distance: Distance, known: Features, labels: NDArray[np.int16], others: Sequence[Features]) -> list[float]:
    """Of each of the others the share that is beyond the limit."""
    folds, own = np.random.default_rng(0).permutation(len(known)) % FOLDS, np.zeros(len(known))
    for fold in range(FOLDS):
        here = folds == fold
        own[here] = distance(known[~here], labels[~here], known[here])
    limit = np.quantile(own, 1 - REFUSED)
    return [float((distance(known, labels, rows) > limit).mean()) for rows in others]


def _directions(rows: Features) -> NDArray[np.float64]:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12))


def _inverse(rows: NDArray[np.floating]) -> NDArray[np.float64]:
    covariance = rows.T @ rows / len(rows)
    unit = np.eye(len(covariance)) * np.trace(covariance) / len(covariance)
    return np.linalg.inv((1 - SHRUNK) * covariance + SHRUNK * unit)


def _lengths(rows: NDArray[np.floating], inverse: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("ij,ij->i", rows @ inverse, rows))


def lines(pictures: Path, foreign: Sequence[Path]) -> Iterator[str]:
    """Lines of Markdown, in %."""
    images, random = read_images(pictures), np.random.default_rng(0)
    height, width, channels = images.pixels.shape[1:]
    training = ~images.testing
    facts = Facts(height, width, channels, len(images.classes), int(training.sum()), (LITE0,))
    views = frozen.views(frozen.space(facts).defaults(), facts)
    told = About(images.classes, (height, width, channels))

    def seen(pixels: NDArray[np.uint8]) -> Features:
        batches = [pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH)]
        return np.asarray(np.mean([np.concatenate([view.features(b) for b in batches]) for view in views], axis=0))

    def of_set(path: Path) -> Features:
        files = list_inputs([path])
        some = [files[n] for n in random.permutation(len(files))[:MOST]]
        read = [picture.pixels for picture in pictures_in(some, told) if isinstance(picture, Picture)]
        return seen(np.stack(read))

    known, testing = seen(images.pixels[training]), random.permutation(np.flatnonzero(images.testing))[:MOST]
    others = [seen(images.pixels[testing]), *map(of_set, foreign)]
    yield f"| distance | own | {' | '.join(path.name for path in foreign)} |"
    yield f"|{' --- |' * (len(foreign) + 2)}"
    for name, distance in DISTANCES.items():
        shares = refused(distance, known, images.labels[training], others)
        yield f"| {name} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.unknown", description=__doc__)
    parser.add_argument("pictures", type=Path, metavar="PICTURES")
    parser.add_argument("foreign", nargs="+", type=Path, metavar="FOREIGN")
    asked = parser.parse_args(arguments)
    os.environ.update(ENVIRONMENT | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    for line in lines(asked.pictures, asked.foreign):
        print(line, flush=True)


if __name__ == "__main__":
    main()
