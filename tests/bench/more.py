"""Would more pictures help: what the learning curve of a few pictures says of more, and what more do bring.

`python -m tests.bench.more PICTURES N...`: of all images of a set, N are drawn as the pictures of a study, of each
class the same share. The learning curve of the linear probe on them says what twice and four times as many bring.
Others of the set are added to see what they do bring, on average over the draws, judged on images that are in none of
them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from search.data.folds import choose_folds, draw_folds
from search.data.subsets import part_of
from search.native import ENVIRONMENT
from search.seeds import derive
from search.stats.learning_curve import DRAWS, PERCENTS, TIMES, Gain, expected_gains
from search.stats.metrics import METRICS
from search.worker.heads import standardized
from spaces.presets import frozen
from tests.bench.labels import Pictured, pictured

METRIC = METRICS["balanced_accuracy"]

Rows = NDArray[np.int32]


@dataclass(frozen=True)
class Tried:
    """One draw of pictures."""

    gains: tuple[Gain, ...]  # that are expected, of TIMES
    measured: tuple[float, ...]  # the score with 1, 2 and 4 times a fold's training images


def score(pictures: Pictured, train: Rows, validate: Rows, seed: int) -> float:
    """Of the linear probe."""
    point = frozen.space(pictures.facts).defaults()
    features = standardized(pictures.features[train], pictures.features[validate])
    head = frozen.fit(point, features[0], pictures.labels[train], seed)
    return METRIC.of(pictures.labels[validate], frozen.predict_proba(head, features[1], pictures.facts.classes))


def curve(pictures: Pictured, rows: Rows, seed: int) -> NDArray[np.float64]:
    """[folds, parts + 1] scores on these images."""
    labels, units = pictures.labels, np.arange(len(pictures.labels), dtype=np.int32)
    outside = ~np.isin(units, rows)
    folds, _ = choose_folds(labels, outside, None)
    assignment = draw_folds(labels, outside, folds, seed)
    scores = np.zeros((folds, len(PERCENTS) + 1))
    for fold in range(folds):
        validate = np.flatnonzero(assignment == fold).astype(np.int32)
        train = np.flatnonzero((assignment >= 0) & (assignment != fold)).astype(np.int32)
        for place, percent in enumerate(PERCENTS):
            seeds = [derive(seed, "part", draw, fold) for draw in range(DRAWS)]
            parts = [part_of(train, labels, units, percent / 100, drawn) for drawn in seeds]
            scores[fold, place] = np.mean([score(pictures, part, validate, seed) for part in parts])
        scores[fold, -1] = score(pictures, train, validate, seed)
    return scores


def tried(pictures: Pictured, count: int, seed: int) -> Tried:
    """Draw `count` images, and as many as it needs beside them. A larger draw contains a smaller one."""
    labels, everything = pictures.labels, np.arange(len(pictures.labels), dtype=np.int32)

    def drawn(images: float) -> Rows:
        return part_of(everything, labels, everything, images / len(everything), seed)

    rows, fold = drawn(count), 4 / 5
    scores = curve(pictures, rows, seed)
    said = expected_gains(METRIC, [percent / 100 for percent in PERCENTS], scores, len(rows))
    trained = [drawn(times * fold * count) for times in (1, *TIMES)]
    rest = np.setdiff1d(everything, np.union1d(trained[-1], rows))
    return Tried(said, tuple(score(pictures, train, rest, seed) for train in trained))


def lines(pictures: Path, counts: Sequence[int], seeds: int) -> Iterator[str]:
    """Lines of Markdown, in points: the truth is the mean over the draws."""
    yield "| set | pictures | accuracy | times | brings | expected, by draw | intervals that contain it | clear |"
    yield f"|{' --- |' * 8}"
    known = pictured(pictures, testing=True)
    for count in counts:
        draws = [tried(known, count, seed) for seed in range(seeds)]
        scores = np.mean([draw.measured for draw in draws], axis=0)
        for place, times in enumerate(TIMES):
            truth, said = float(scores[place + 1] - scores[0]), [draw.gains[place] for draw in draws]
            inside = sum(gain.low <= truth <= gain.high for gain in said)
            shown = ", ".join(f"{100 * g.value:.1f} ({100 * g.low:.1f} to {100 * g.high:.1f})" for g in said)
            clear = sum(gain.is_clear(METRIC.scale) for gain in said)
            yield (
                f"| {known.name} | {count} | {100 * scores[0]:.1f} | {times} | {100 * truth:.1f} | {shown} | "
                f"{inside} of {seeds} | {clear} |"
            )


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.more", description=__doc__)
    parser.add_argument("pictures", type=Path, metavar="PICTURES")
    parser.add_argument("counts", nargs="+", type=int, metavar="N")
    parser.add_argument("--seeds", type=int, default=5, help="draws")
    asked = parser.parse_args(arguments)
    os.environ.update(ENVIRONMENT | {"TF_CPP_MIN_LOG_LEVEL": "3"})
    for line in lines(asked.pictures, asked.counts, asked.seeds):
        print(line, flush=True)


if __name__ == "__main__":
    main()
