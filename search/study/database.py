"""`study.db`: created for a new study, opened for one that has begun."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from search.data.check import notes_for_report
from search.data.folds import draw_folds, image_records, not_validated
from search.data.origin import name_of_set
from search.seeds import derive
from search.stats.metrics import max_scores
from search.study.folder import StudyFolder
from search.study.identity import check_same
from search.study.prepared import Prepared
from storage import Split, Store, StudyRecord


def create(folder: StudyFolder, prepared: Prepared) -> Store:
    """Create the database of a new study: images, folds (drawn once), settings, space."""
    images, seed, folds = prepared.images, prepared.config.seed, folds_of(prepared, 0)
    unjudged = not_validated(images.labels, folds, images.classes)
    height, width, channels = images.pixels.shape[1:]
    record = StudyRecord(
        name=name_of_set(prepared.config.origin(folder.path).roots),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        metric=prepared.config.metric,
        classes=images.classes,
        image_shape=(height, width, channels),
        fingerprint=images.fingerprint,
        config=prepared.identity,
        space=prepared.space.to_json(),
        notes=tuple(filter(None, (*notes_for_report(images, prepared.checked), unjudged))),
    )
    return Store.create(folder.database, record, image_records(images), [Split(0, folds)])


def folds_of(prepared: Prepared, repeat: int) -> NDArray[np.int16]:
    """[images] the fold that validates each image in a repeat, -1: none; 0 is the search itself."""
    grouping, seed = prepared.checked.grouping, derive(prepared.config.seed, "folds", repeat)
    images = prepared.images
    return draw_folds(images.labels, grouping.excluded, prepared.folds, seed, grouping.units, images.classes)


def open_begun(folder: StudyFolder, prepared: Prepared) -> Store | None:
    """The study's database, open for writing; None if no trial was stored yet.

    A database without a trial has no results to protect and is deleted: settings that kept the baseline from being
    trained can then be corrected. Raises UsageError if the stored study differs from the requested one.
    """
    if not folder.begun:
        return None
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(Store.open(folder.database, max_scores=max_scores()))
        if store.has_trials():
            check_same(store, prepared)
            stack.pop_all()
            return store
    folder.database.unlink()
    return None
