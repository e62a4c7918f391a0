"""Pictures of another kind: how many are refused by their distance to the training images, for several distances.

`python -m tests.bench.unknown PICTURES FOREIGN...`: features of Lite0 as the default head of `frozen` sees them. The
limit is the distance that 5 % of the training images exceed, each seen from the others outside of its fold. Printed is
the share of the own testing images, and of images of each foreign set, read as the own ones are, that exceed it. A
second table has other features, and the share of a class that is left out of the training images.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from search.data.decoding import Picture
from search.data.images import read_images
from search.export.predict import pictures_in
from search.manifest import About
from search.native import ENVIRONMENT
from search.stats.unlike import REFUSED, distances, limits
from search.worker.heads import standardized
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from spaces.presets import fine_tune, frozen
from spaces.resizing import resized
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


@dataclass(frozen=True)
class Sets:
    """Pictures of a set and of others, as pixels of its size: uint8 [images, height, width, channels]."""

    facts: Facts
    known: NDArray[np.uint8]  # its training images
    labels: NDArray[np.int16]  # theirs
    others: tuple[NDArray[np.uint8], ...]  # its testing images, then those of each foreign set


def read(pictures: Path, foreign: Sequence[Path]) -> Sets:
    """At most MOST of each of the others."""
    images, random = read_images(pictures), np.random.default_rng(0)
    height, width, channels = images.pixels.shape[1:]
    training = ~images.testing
    told = About(images.classes, (height, width, channels))

    def of_set(path: Path) -> NDArray[np.uint8]:
        files = list_inputs([path])
        some = [files[n] for n in random.permutation(len(files))[:MOST]]
        return np.stack([picture.pixels for picture in pictures_in(some, told) if isinstance(picture, Picture)])

    testing = random.permutation(np.flatnonzero(images.testing))[:MOST]
    facts = Facts(height, width, channels, len(images.classes), int(training.sum()), (LITE0,))
    others = (images.pixels[testing], *map(of_set, foreign))
    return Sets(facts, images.pixels[training], images.labels[training], others)


def of_head(facts: Facts) -> Callable[[NDArray[np.uint8]], Features]:
    """What the default head of `frozen` sees."""
    return _of_views(facts, frozen.columns(frozen.space(facts).defaults(), facts))


def of_top(facts: Facts) -> Callable[[NDArray[np.uint8]], Features]:
    """The last map alone."""
    return _of_views(facts, slice(sum(LITE0.widths[:-1]), sum(LITE0.widths)))


def of_style(facts: Facts) -> Callable[[NDArray[np.uint8]], Features]:
    """How an image looks, beside what the default head of `frozen` sees."""
    return _of_views(facts, LITE0.style_columns)


def _of_views(facts: Facts, columns: slice | NDArray[np.intp]) -> Callable[[NDArray[np.uint8]], Features]:
    views = frozen.views(frozen.space(facts).defaults(), facts)
    return lambda pixels: np.asarray(np.mean([view.features(pixels)[:, columns] for view in views], axis=0))


def of_lower(facts: Facts, *, deviation: bool) -> Callable[[NDArray[np.uint8]], Features]:
    """The last map that `fine-tune` leaves as it is by default: the means of its channels, and their deviations."""
    import keras

    whole, side = LITE0.network(), int(fine_tune.space(facts).defaults()["input_size"])
    lower = keras.Model(whole.inputs, whole.outputs[round(fine_tune.UPPER * len(LITE0.widths)) - 1])

    def seen(pixels: NDArray[np.uint8]) -> Features:
        x = np.repeat(pixels, 3 // pixels.shape[-1], axis=-1).astype(np.float32)
        map_ = lower(resized(x, side), training=False).numpy()
        means = map_.mean(axis=(1, 2))
        return np.concatenate([means, map_.std(axis=(1, 2))], axis=1) if deviation else np.asarray(means)

    return seen


def in_batches(seen: Callable[[NDArray[np.uint8]], Features], pixels: NDArray[np.uint8]) -> Features:
    """Of all pixels, BATCH images at once."""
    return np.concatenate([seen(pixels[start : start + BATCH]) for start in range(0, len(pixels), BATCH)])


def lines(pictures: Path, foreign: Sequence[Path]) -> Iterator[str]:
    """Two tables in Markdown, in %: distances on what the head sees, and features that other models could remember."""
    sets = read(pictures, foreign)
    known, *others = (in_batches(of_head(sets.facts), pixels) for pixels in (sets.known, *sets.others))
    names = " | ".join(path.name for path in foreign)
    yield from (f"| distance | own | {names} |", f"|{' --- |' * (len(foreign) + 2)}")
    for name, distance in DISTANCES.items():
        yield _row(name, refused(distance, known, sets.labels, others))
    yield from ("", f"| features | own | a class left out | {names} |", f"|{' --- |' * (len(foreign) + 3)}")
    ways: dict[str, Sequence[Callable[[NDArray[np.uint8]], Features]]] = {
        "as a head on frozen features sees them": [of_head(sets.facts)],
        "lower map of `fine-tune`: means": [of_lower(sets.facts, deviation=False)],
        "means and deviations": [of_lower(sets.facts, deviation=True)],
        "the top's alone": [of_top(sets.facts)],
        "style: means and deviations of the map in the middle": [of_style(sets.facts)],
        "the head's, and the style": [of_head(sets.facts), of_style(sets.facts)],
        "the top's, and the style: as `--unknown`": [of_top(sets.facts), of_style(sets.facts)],
    }
    for title, seen in ways.items():
        yield _row(title, with_left_out(seen, sets))


def with_left_out(ways: Sequence[Callable[[NDArray[np.uint8]], Features]], sets: Sets) -> list[float]:
    """The share of each of the others that is refused by any of some ways to see, and in the second place of a class.

    That is the mean over classes of a class that is not known.
    """
    known, *others = ([in_batches(seen, pixels) for seen in ways] for pixels in (sets.known, *sets.others))
    left_out = []
    for label in np.unique(sets.labels):
        here = sets.labels == label
        left_out += refused_by_any([rows[~here] for rows in known], [[rows[here] for rows in known]])
    own, *foreign = refused_by_any(known, others)
    return [own, float(np.mean(left_out)), *foreign]


def refused_by_any(known: Sequence[Features], others: Sequence[Sequence[Features]]) -> list[float]:
    """Of each of the others, seen in the same ways as what is known, the share beyond the limit of any."""
    folds = np.random.default_rng(0).permutation(len(known[0])) % FOLDS
    lines = limits(known, folds)
    return [
        float(
            np.any(
                [distances(one, new) > line for one, new, line in zip(known, rows, lines, strict=True)], axis=0
            ).mean()
        )
        for rows in others
    ]


def _row(title: str, shares: Sequence[float]) -> str:
    return f"| {title} | {' | '.join(f'{100 * share:.1f}' for share in shares)} |"


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
