"""What the saved model says of images that its networks were not trained on, and the images where that is telling."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.results.stored import StoredStudy
from search.stats.ranking import best as best_of

PICTURES = 60  # of mistakes, at most: a report stays small, and nobody looks at more
OF_A_PAIR = 6  # of them of one class taken for another
UNSURE = 12  # of the least sure predictions


@dataclass(frozen=True)
class OutOfFold:
    """Predictions for images by networks that were not trained on them."""

    members: tuple[tuple[int, float], ...]  # the (trial, weight) that they are of
    rows: NDArray[np.intp]  # [n] places of the images in the study, ascending
    labels: NDArray[np.int64]  # [n]
    probabilities: NDArray[np.float64]  # [n, classes]
    folds: int  # folds that these images are from


@dataclass(frozen=True)
class Example:
    """An image and its out-of-fold prediction."""

    row: int  # in the study
    path: str  # relative to the image folder
    label: int
    predicted: int  # the most probable class
    probability: float  # of that class
    second: int  # the next most probable class
    second_probability: float


@dataclass(frozen=True)
class Mistaken:
    """Images of one class that are taken for another."""

    label: int
    predicted: int
    count: int
    examples: tuple[Example, ...]  # the most confident of them; fewer than `count` if there are many


@dataclass(frozen=True)
class Telling:
    """The images that are worth looking at."""

    mistakes: tuple[Mistaken, ...] = ()  # most frequent pair first
    unsure: tuple[Example, ...] = ()  # least sure first

    @property
    def examples(self) -> tuple[Example, ...]:
        """All of them, each image once, mistakes first."""
        of_mistakes = (example for mistaken in self.mistakes for example in mistaken.examples)
        return tuple({example.row: example for example in (*of_mistakes, *self.unsure)}.values())


def out_of_fold(stored: StoredStudy) -> OutOfFold | None:
    """The predictions of the saved model's members, weighted as in it; before there is a model, of the best trial.

    Images of folds that a member lacks are left out. The best trial stands in if the members cannot be compared any
    more. None without a prediction. Raises ValueError if probabilities do not fit the images of their fold.
    """
    return _of_members(stored) or _of_best(stored)


def _of_members(stored: StoredStudy) -> OutOfFold | None:
    evidence, members = stored.evidence, stored.members
    mean = evidence.mean(members) if evidence else None
    if evidence is None or mean is None:
        return None
    known = ~np.isnan(mean).any(axis=1)
    if not known.any():
        return None
    rows = np.flatnonzero(stored.split.assignment >= 0)[known]
    folds = len(np.unique(evidence.folds[known]))
    return OutOfFold(members, rows, stored.labels[rows], mean[known], folds)


def _of_best(stored: StoredStudy) -> OutOfFold | None:
    leader = best_of(stored.trials, stored.study.metric)
    if leader is None or not stored.best:
        return None
    classes = len(stored.study.classes)
    probabilities = np.full((len(stored.images), classes), np.nan)
    for fold, of_fold in stored.best.items():
        where = stored.split.assignment == fold
        if of_fold.shape != (where.sum(), classes):
            raise ValueError(
                f"fold {fold + 1}: probabilities must be {where.sum()} images x {classes} classes, "
                f"got {' x '.join(map(str, of_fold.shape))}"
            )
        probabilities[where] = of_fold
    rows = np.flatnonzero(np.isin(stored.split.assignment, [*stored.best]))
    return OutOfFold(((leader.number, 1.0),), rows, stored.labels[rows], probabilities[rows], len(stored.best))


def telling(stored: StoredStudy, predictions: OutOfFold | None) -> Telling:
    """The most confident mistakes, by class and what it is taken for, and the predictions that are least sure."""
    if predictions is None or predictions.probabilities.shape[1] < 2:
        return Telling()
    ranked = np.sort(predictions.probabilities, axis=1)
    lead = ranked[:, -1] - ranked[:, -2]
    predicted = predictions.probabilities.argmax(axis=1)
    pairs: dict[tuple[int, int], list[int]] = {}
    for n in np.lexsort((np.arange(len(lead)), -ranked[:, -1])):
        if predicted[n] != predictions.labels[n]:
            pairs.setdefault((int(predictions.labels[n]), int(predicted[n])), []).append(int(n))
    left, mistakes = PICTURES, []
    for (label, taken), members in sorted(pairs.items(), key=lambda pair: (-len(pair[1]), pair[0])):
        shown = members[: min(OF_A_PAIR, left)]
        left -= len(shown)
        mistakes.append(Mistaken(label, taken, len(members), _examples(stored, predictions, shown)))
    unsure = np.argsort(lead, kind="stable")[:UNSURE].tolist()
    return Telling(tuple(mistakes), _examples(stored, predictions, unsure))


def _examples(stored: StoredStudy, predictions: OutOfFold, places: Iterable[int]) -> tuple[Example, ...]:
    """`places` in the arrays of the predictions."""
    found = []
    for n in places:
        shares, row = predictions.probabilities[n], int(predictions.rows[n])
        first = int(shares.argmax())
        second = int(np.where(np.arange(len(shares)) == first, -1.0, shares).argmax())
        found.append(
            Example(
                row=row,
                path=stored.images[row].path,
                label=int(predictions.labels[n]),
                predicted=first,
                probability=float(shares[first]),
                second=second,
                second_probability=float(shares[second]),
            )
        )
    return tuple(found)
