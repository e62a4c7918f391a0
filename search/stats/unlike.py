"""Whether an image is unlike all that a model has learned from: how far its features are from theirs. Pure.

The distance is that to the nth nearest image (Sun, Ming, Zhu and Li, ICML 2022, arXiv 2204.06507).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

REFUSED = 0.05  # of images like those that were learned from
NTH = 1  # on features as they are; for others, and other distances: docs/unknown.md
MOST = 500  # images that a model remembers
_LEAST, _LARGEST = 1e-6, 2.0  # of limits: that of images which are all alike, and of cosines

Features = NDArray[np.floating]


def distances(known: Features, features: Features) -> NDArray[np.float64]:
    """[images] 1 - cosine between `features` [images, width] and the NTH most similar of `known` [vectors, width]."""
    cosines = np.sort(_directions(features) @ _directions(known).T, axis=1)
    return np.asarray(1 - cosines[:, -min(NTH, len(known))])


def limits(seen: Sequence[Features], folds: NDArray[np.integer]) -> tuple[float, ...]:
    """The distances, of each way of seeing the same images [vectors, width], at least one of which a share exceeds.

    The share is REFUSED, and about the same for each way. Each image is seen from other `folds` [vectors].
    """
    own = np.stack([_from_other_folds(known, folds) for known in seen])
    alone = np.maximum(np.quantile(own, 1 - REFUSED / len(seen), axis=1), _LEAST)
    together = np.quantile((own / alone[:, None]).max(axis=0), 1 - REFUSED)
    return tuple(float(limit) for limit in np.minimum(together * alone, _LARGEST))


def _from_other_folds(known: Features, folds: NDArray[np.integer]) -> NDArray[np.float64]:
    own = np.zeros(len(known))
    for fold in np.unique(folds):
        here = folds == fold
        own[here] = distances(known[~here], known[here])
    return own


def _directions(rows: Features) -> NDArray[np.float64]:
    lengths = np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-12))
