"""Which testing images the saved model predicts where the time does not allow all of them. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from search.seeds import derive

TESTING_SHARE = 0.15  # of a search's time that is kept back for predicting the testing images, at most
MIN_TESTED = 50  # testing images that are predicted even if the time is over, or all where there are fewer


def kept_for_testing(each: float, images: int, seconds: float) -> float:
    """Seconds to keep back for so many testing images of `each` seconds; `seconds`: of the whole study."""
    return min(each * images, max(each * MIN_TESTED, TESTING_SHARE * seconds))


def rows_to_predict(
    testing: NDArray[np.bool_], labels: NDArray[np.int16], seed: int, images: float
) -> NDArray[np.int32]:
    """Rows of the testing images to predict, ascending: all, or a part of each class, drawn at random.

    `testing`, `labels`: [images]; `seed`: of the study; `images`: for how many there is time. A larger
    number of them adds to those of a smaller one.
    """
    rows = np.flatnonzero(testing).astype(np.int32)
    if images >= len(rows):
        return rows
    place = np.empty(len(rows))  # of an image within its class, 0 to 1: so each first part has its share of each class
    rng = np.random.default_rng(derive(seed, "testing"))
    for label in np.unique(labels[rows]):
        (of_class,) = np.nonzero(labels[rows] == label)
        place[of_class] = (rng.permutation(len(of_class)) + rng.random()) / len(of_class)
    first = np.argsort(place, kind="stable")[: max(MIN_TESTED, int(images))]
    return np.sort(rows[first])
