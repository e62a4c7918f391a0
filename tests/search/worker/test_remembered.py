"""What a saved model remembers of its training images: the features that its own network gives, alone and merged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.export.seeing import seeing
from search.jobs import ComposeJob, RefitJob, SavedModel
from search.manifest import Remembered, remembered
from search.stats.unlike import distances
from spaces import Value
from tests.search.worker.test_frozen import needs_weights
from tests.search.worker.test_shipped import Study, point, study_of
from tests.search.worker.test_trainer import fold_job

pytestmark = needs_weights


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    yield from study_of(tmp_path_factory.mktemp("small"), size=8, colour=False)


def part(study: Study, path: Path, family: str, **changes: Value) -> Path:
    prepared, worker = study
    job = fold_job(prepared, point(prepared, family, **changes), max_epochs=1, use_last_epoch=True)
    outcome = worker.do(RefitJob(job, path, folds=(np.arange(len(job.train)) % 2).astype(np.int16)))
    assert isinstance(outcome, SavedModel), outcome
    return path


def whole(study: Study, parts: list[tuple[Path, float]], path: Path) -> Remembered | None:
    outcome = study[1].do(ComposeJob(tuple(parts), path, {"classes": ["a", "b"]}, np.zeros(0, np.int32)))
    assert isinstance(outcome, SavedModel), outcome
    return remembered(path)


def assert_knows_its_images(study: Study, path: Path, known: Remembered | None) -> None:
    """What the network gives for the training images is what it remembers."""
    import keras

    prepared, _ = study
    assert known is not None
    network = keras.saving.load_model(path, compile=False)
    job = fold_job(prepared, {}, max_epochs=1)
    pixels = prepared.images.pixels[job.train].astype(np.float32)
    probabilities, *seen = map(np.asarray, seeing(network, known)(pixels))
    np.testing.assert_allclose(probabilities, network(pixels), atol=1e-5)
    assert [rows.shape for rows in seen] == [each.features.shape for each in known.known]
    assert len(seen) == 2
    for rows, each in zip(seen, known.known, strict=True):
        np.testing.assert_allclose(rows, each.features, rtol=2e-3, atol=2e-3)
        assert (distances(each.features, rows) <= each.limit).mean() > 0.8


@pytest.mark.first(1)
@pytest.mark.parametrize("head", ["logistic", "svm", "dense"])
def test_a_head_on_features_remembers_them(small: Study, tmp_path: Path, head: str) -> None:
    alone = part(small, tmp_path / "part.keras", "frozen", head=head)
    known = whole(small, [(alone, 1.0)], tmp_path / "model.keras")
    assert_knows_its_images(small, tmp_path / "model.keras", known)


@pytest.mark.slow
def test_an_ensemble_remembers_those_of_its_largest_part_that_does(small: Study, tmp_path: Path) -> None:
    parts = [
        (part(small, tmp_path / "0.keras", "cnn"), 0.5),
        (part(small, tmp_path / "1.keras", "frozen", flip_average=False), 0.2),
        (part(small, tmp_path / "2.keras", "frozen", stages="last", flip_average=False), 0.3),
    ]
    known = whole(small, parts, tmp_path / "model.keras")
    assert known is not None and known.seen.features.shape == remembered(parts[2][0]).seen.features.shape  # type: ignore[union-attr]
    assert_knows_its_images(small, tmp_path / "model.keras", known)


def test_a_network_on_pixels_remembers_nothing(small: Study, tmp_path: Path) -> None:
    alone = part(small, tmp_path / "part.keras", "cnn")
    assert whole(small, [(alone, 1.0)], tmp_path / "model.keras") is None


def test_without_folds_nothing_is_remembered(small: Study, tmp_path: Path) -> None:
    prepared, worker = small
    job = fold_job(prepared, point(prepared, "frozen"), max_epochs=1)
    worker.do(RefitJob(replace(job), tmp_path / "part.keras"))
    assert remembered(tmp_path / "part.keras") is None
