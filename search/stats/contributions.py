"""What each image contributes to a score, and its weight. Pure."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Contributions: TypeAlias = NDArray[np.float64]
"""[images] what each image adds to a metric, larger being better."""


def class_weights(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """[classes] weights of images with which all classes count alike; 1 if all classes are equally large.

    `labels` are those of the study's images.
    """
    counts = np.bincount(labels)
    return np.asarray(len(labels) / np.maximum(counts, 1) / np.count_nonzero(counts))


def placements(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> Contributions:
    """[images] the contribution of each image to the AUROC: the components of DeLong et al. (1988, Biometrics 44).

    It is the share of images of other classes that are ranked on the correct side of it. Each image counts once as a
    positive and once as a negative, so the sum is twice the AUROC.
    """
    from scipy.stats import rankdata  # keeps `search --help` light

    shares = np.zeros(len(labels))
    judged = [label for label in np.unique(labels) if 0 < np.count_nonzero(labels == label) < len(labels)]
    for label in judged:
        scores, positive = probabilities[:, label], labels == label
        ranks = rankdata(scores)
        for side in (positive, ~positive):
            below = ranks[side] - rankdata(scores[side])  # images of the other side
            share = below / np.count_nonzero(~side)
            shares[side] += (share if side is positive else 1 - share) / np.count_nonzero(side) / len(judged)
    return shares
