"""Studies whose truth is known: out-of-fold predictions are drawn from a model of images and points, without training.

An item-response model: an image has a difficulty, a point has an ability, and both decide how likely the image is
classified right. For half of the predictions all points use the same random number, as similar networks agree.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.stats.evidence import Evidence, evidence_of
from search.stats.siblings import Siblings, compare_siblings
from storage.records import LayerRecord, Origin, StudyRecord, TrialRecord

POPULATION = 5000  # images on which the truth is measured


@dataclass(frozen=True)
class Simulated:
    """One study of two classes."""

    probabilities: NDArray[np.float32]  # [trials, images, 2]
    labels: NDArray[np.int64]  # [images]
    truth: NDArray[np.float64]  # [trials] accuracy on the population
    right: NDArray[np.bool_]  # [trials, population] whether the prediction of an image is right

    def true(self, weights: NDArray[np.float64]) -> float:
        """The accuracy of an ensemble of trials with these weights [trials] on the population; a tie is half right."""
        votes = weights @ self.right / weights.sum()
        return float(np.mean(np.where(np.isclose(votes, 0.5), 0.5, votes > 0.5)))


def studies(number: int, *, images: int, trials: int, spread: float, accuracy: float = 0.8) -> Iterator[Simulated]:
    """`spread` is the standard deviation of abilities, in logits; 0: all points are equally good."""
    rng = np.random.default_rng(images * 1000 + trials)
    labels = np.arange(images) % 2
    for _ in range(number):
        difficulty = rng.normal(0, 1.5, images + POPULATION)
        ability = 1.4 * np.log(accuracy / (1 - accuracy)) + rng.normal(0, spread, trials)
        chance = 1 / (1 + np.exp(difficulty[None, :] - ability[:, None]))
        drawn = rng.uniform(size=chance.shape)
        shared = np.where(rng.uniform(size=chance.shape) < 0.5, drawn, rng.uniform(size=chance.shape[1])[None, :])
        right = shared < chance
        predicted = np.where(right[:, :images], labels, 1 - labels)
        probabilities = np.eye(2, dtype=np.float32)[predicted] * 0.6 + 0.2
        yield Simulated(probabilities, labels, chance.mean(axis=1), right[:, images:])


def evidence(
    probabilities: NDArray[np.floating],
    labels: NDArray[np.integer],
    folds: NDArray[np.integer],
    metric: str = "accuracy",
    *,
    known: NDArray[np.bool_] | None = None,
    families: Sequence[str] | None = None,
    costs: Sequence[int] | None = None,
) -> Evidence:
    """The evidence of trials 0, 1, … with out-of-fold `probabilities` [trials, images, classes].

    `known` [trials, folds]: the folds that each trial has; None: all. `families` and `costs`: of each trial.
    """
    trials, _, classes = probabilities.shape
    known = np.ones((trials, int(folds.max()) + 1), bool) if known is None else known
    records = [
        TrialRecord(
            number,
            {"family": families[number]} if families else {},
            Origin.SAMPLER,
            layers=(LayerRecord("dense", "Dense", (2,), costs[number] if costs else 1000),),
        )
        for number in range(trials)
    ]
    predictions = [
        [{int(fold): rows[folds == fold] for fold in np.flatnonzero(has)}]
        for rows, has in zip(probabilities, known, strict=True)
    ]
    names = tuple(f"class {label}" for label in range(classes))
    study = StudyRecord("s", "2026-01-01T00:00:00+00:00", 5, metric, names, (8, 8, 1), "f", {"preset": "cnn"}, {})
    return evidence_of(records, predictions, labels, [folds.astype(np.int16)], study)


def siblings_of(
    seed: int, *, gain: float, things: int = 200, size: int = 2, alike: float = 0.5, divisions: int = 1
) -> Siblings | None:
    """A study of simulated images; those with a sibling in training are recognized more often by `gain`.

    `alike`: the share of things whose pictures are recognized together or not at all.
    """
    generator = np.random.default_rng(seed)
    thing = np.repeat(np.arange(things), size)
    labels = thing % 4
    luck = np.where(
        (generator.random(things) < alike)[thing], generator.random(things)[thing], generator.random(len(thing))
    )
    folds, right = [], []
    for _ in range(divisions):
        folds.append(generator.permutation(np.arange(len(thing)) % 5))
        split = np.array([len(set(folds[-1][thing == own].tolist())) > 1 for own in range(things)])[thing]
        right.append(luck < 0.6 + 0.02 * labels + gain * split)
    return compare_siblings(
        np.concatenate(right).astype(float),
        np.tile(labels, divisions),
        np.concatenate(folds),
        np.tile(thing, divisions),
        np.repeat(np.arange(divisions), len(thing)),
    )
