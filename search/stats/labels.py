"""Labels that look wrong, from predictions by models that were not trained on the image. Pure.

Ranked as in confident learning (Northcutt, Jiang and Chuang, Journal of Artificial Intelligence Research 70, 2021,
arXiv 1911.00068), by how improbable the label is out of fold. The line above which labels are accused is another one:
with its thresholds of each class far more right labels were accused (docs/labels.md).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.stats.calibration import LEAST, TEMPERATURES, softened

ACCUSED = 0.01  # of right labels, at most, as far as the calibrated probabilities are right
_WRONG = (0.0, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05)
"""Shares of wrong labels that are tried. Larger ones explain a weak network that is confidently wrong as well: with
shares up to a fifth, up to 8 % of right labels were accused."""

Labels = NDArray[np.integer]
Probabilities = NDArray[np.floating]


@dataclass(frozen=True)
class Suspects:
    """Images in the order in which their labels should be looked at."""

    order: NDArray[
        np.intp
    ]  # [suspects] images for which another class is more probable than their label's; worst first
    likely: NDArray[np.intp]  # [images] the most probable class other than the label's
    rare: NDArray[np.float64]  # [images] see `rarity`, of calibrated probabilities
    accused: int  # so many of the first are above the line: their labels look wrong


def suspects(labels: Labels, probabilities: Probabilities) -> Suspects:
    """The images whose labels are in doubt, given out-of-fold `probabilities` [images, classes] of two or more classes.

    Ranked by `rarity`; accused are those whose rarity is ACCUSED at most.
    """
    images = np.arange(len(labels))
    own = probabilities[images, labels]
    others = probabilities.astype(np.float64)
    others[images, labels] = -1.0
    likely = others.argmax(axis=1)
    rare = rarity(labels, calibrated(labels, probabilities))
    ranked = np.lexsort((images, own, rare))
    order = ranked[others[ranked, likely[ranked]] > own[ranked]]
    return Suspects(order, likely, rare, int((rare[order] <= ACCUSED).sum()))


def rarity(labels: Labels, probabilities: Probabilities) -> NDArray[np.float64]:
    """[images] the probability that an image has a label that is as improbable as its own, or more.

    If labels are drawn from these probabilities, it is s or less for a share s of them at most: it is a p-value.
    """
    own = probabilities[np.arange(len(labels)), labels][:, None]
    return np.asarray(np.where(probabilities <= own, probabilities, 0.0).sum(axis=1))


def calibrated(labels: Labels, probabilities: Probabilities) -> NDArray[np.float64]:
    """[images, classes] the probabilities of right labels: p^(1 / temperature), normalised.

    The temperature (Guo et al., ICML 2017) is the one under which the labels are most likely if a share of them is
    drawn from all classes alike. Without that share, wrong labels would make probabilities look too sure of themselves.
    """
    shares, best, fitted = np.array(_WRONG)[:, None], -np.inf, 1.0
    for temperature in TEMPERATURES:
        of_labels = softened(probabilities, temperature)[np.arange(len(labels)), labels]
        mixed = (1 - shares) * of_labels + shares / probabilities.shape[1]
        likelihood = float(np.log(np.maximum(mixed, LEAST)).sum(axis=1).max(initial=-np.inf))
        if likelihood > best:
            best, fitted = likelihood, float(temperature)
    return softened(probabilities, fitted)
