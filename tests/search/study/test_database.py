"""A new study's database."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from search.session.prepare import prepare
from search.study.database import create
from search.study.folder import StudyFolder
from tests.search.shapes import FOLDER, settings


def test_the_database_holds_what_was_asked_and_the_folds_once_drawn(place: Path) -> None:
    prepared = prepare(settings(metric="auroc"), place / FOLDER)
    with create(StudyFolder(place / FOLDER), prepared) as store:
        record, images, split = store.study(), store.images(), store.split()
    assert (record.name, record.seed, record.metric, record.classes) == ("shapes", 3, "auroc", ("left", "top"))
    assert (record.image_shape, record.fingerprint) == ((8, 8, 1), prepared.images.fingerprint)
    assert record.config == prepared.identity
    assert record.space == prepared.space.to_json()
    assert [(i.path, i.testing) for i in images] == list(
        zip(prepared.images.paths, prepared.images.testing.tolist(), strict=True)
    )
    assert np.array_equal(split.assignment == -1, prepared.images.testing)
    assert set(split.assignment[~prepared.images.testing].tolist()) == set(range(5))


def test_the_same_seed_draws_the_same_folds_and_another_seed_others(place: Path) -> None:
    drawn = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        (place / name).mkdir()
        with create(StudyFolder(place / name), prepare(settings(seed=seed), place / name)) as store:
            drawn.append(store.split().assignment.tolist())
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]
