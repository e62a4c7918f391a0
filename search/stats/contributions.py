"""What each image adds to a metric, and what it weighs."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Contributions = NDArray[np.float64]


def class_weights(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """[classes] by which an image counts in balanced accuracy, 1 where all classes are as large; of the study's images
    `labels`."""
    counts = np.bincount(labels)
    return np.asarray(len(labels) / np.maximum(counts, 1) / np.count_nonzero(counts))


def contributions(
    metric: str, labels: NDArray[np.integer], probabilities: NDArray[np.floating], weights: NDArray[np.float64]
) -> Contributions:
    """[images] what each image of a fold adds to the metric, larger being better: made to be compared image by image.

    Correctness is the answer to compare for accuracy (0 or 1) and balanced accuracy (0 or the class's weight), not for
    the others: a point can be right as often and surer, or rank better around a shifted threshold. For log loss it is
    the log of the true class's probability; for AUROC the image's share in it, the components of DeLong et al. (1988,
    Biometrics 44): how many images of other classes it stands on the right side of. Each is summed once as a positive
    and once as a negative, so these add up to twice the AUROC.
    """
    match metric:
        case "accuracy":
            return np.asarray(probabilities.argmax(axis=1) == labels, np.float64)
        case "balanced_accuracy":
            return np.where(probabilities.argmax(axis=1) == labels, weights[labels], 0.0)
        case "log_loss":
            rows = probabilities.astype(np.float64)
            return np.asarray(np.log(np.clip(rows[np.arange(len(labels)), labels] / rows.sum(axis=1), 1e-7, 1.0)))
    return _placements(labels, probabilities)


def _placements(labels: NDArray[np.integer], probabilities: NDArray[np.floating]) -> Contributions:
    from scipy.stats import rankdata  # keeps `search --help` light

    found = np.zeros(len(labels))
    there = [label for label in np.unique(labels) if 0 < np.count_nonzero(labels == label) < len(labels)]
    for label in there:
        said, positive = probabilities[:, label], labels == label
        ranks = rankdata(said)
        for side in (positive, ~positive):
            others = ranks[side] - rankdata(said[side])  # of the other side, how many are below
            share = others / np.count_nonzero(~side)
            found[side] += (share if side is positive else 1 - share) / np.count_nonzero(side) / len(there)
    return found
