"""Pictures that may show one thing, by their names: whether the study's numbers are too good because of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from search.data.names import find_versions
from search.data.series import find_series
from search.results.stored import ByFold, StoredStudy
from search.stats.siblings import Siblings, compare_siblings
from storage.records import Split

LONGEST = 1024  # characters of a path: a database is not trusted, and expressions take time


@dataclass(frozen=True)
class NamedSiblings:
    """How well images are recognized with and without pictures of the same thing in training."""

    pattern: str  # for --groups: it keeps the pictures of one thing together
    example: tuple[str, str]  # paths of two pictures of one thing
    compared: Siblings


def named_siblings(stored: StoredStudy) -> NamedSiblings | None:
    """Compare them by the predictions of the leading trials, of each image and division into folds by their mean.

    None where no names look like it, where the user named the groups, and where too little is known.
    """
    if "groups" in stored.study.config or not stored.leading:
        return None
    paths, labels = [image.path for image in stored.images], stored.labels
    if max(map(len, paths)) > LONGEST:
        return None
    series = find_series(paths, labels.tolist(), find_versions(paths, labels.tolist()).named)
    if series is None:
        return None
    copies = Counter(image.digest for image in stored.images)  # stay together whatever their names are
    single = np.array([copies[image.digest] == 1 for image in stored.images])
    rows = [np.flatnonzero((split.assignment >= 0) & single) for split, _ in stored.leading]
    each = np.concatenate(rows)
    compared = compare_siblings(
        np.concatenate([_right(*division, labels)[own] for division, own in zip(stored.leading, rows, strict=True)]),
        labels[each],
        np.concatenate([split.assignment[own] for (split, _), own in zip(stored.leading, rows, strict=True)]),
        series.groups[each],
        np.repeat(np.arange(len(rows)), [len(own) for own in rows]),
    )
    return NamedSiblings(series.pattern, series.example, compared) if compared else None


def _right(split: Split, trials: Sequence[ByFold], labels: NDArray[np.int64]) -> NDArray[np.float64]:
    """[images] the share of the trials that recognise the image out of fold; 0 outside of the folds."""
    right = np.zeros(len(labels))
    for by_fold in trials:
        for fold, rows in by_fold.items():
            inside = np.flatnonzero(split.assignment == fold)
            right[inside] += rows.argmax(axis=1) == labels[inside]
    return right / len(trials)
