"""What a saved model remembers of its training images: the features that its own network gives, alone and merged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from search.export.predict import predict
from search.export.seeing import seeing, seen_outside
from search.jobs import ComposeJob, RefitJob, SavedModel
from search.manifest import PACKAGING, Remembered, remembered
from search.stats.unlike import distances
from spaces import Value
from spaces.backbones.lite import LITE0
from tests.pictures import list_inputs, write
from tests.search.worker.test_frozen import needs_weights
from tests.search.worker.test_shipped import Study, point, study_of
from tests.search.worker.test_trainer import fold_job

pytestmark = needs_weights


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    yield from study_of(tmp_path_factory.mktemp("small"), size=8, colour=False)


def part(study: Study, path: Path, family: str, *, probed: bool = False, **changes: Value) -> Path:
    prepared, worker = study
    job = fold_job(prepared, point(prepared, family, **changes), max_epochs=1, use_last_epoch=True)
    outcome = worker.do(RefitJob(job, path, folds=(np.arange(len(job.train)) % 2).astype(np.int16), probed=probed))
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


def test_a_network_on_pixels_remembers_what_the_probe_sees(small: Study, tmp_path: Path) -> None:
    """By the network of the package, which is not in its file."""
    prepared, _ = small
    alone = part(small, tmp_path / "part.keras", "cnn", probed=True)
    known = whole(small, [(alone, 1.0)], tmp_path / "model.keras")
    assert known is not None and known.outside is not None and known.outside.sha256 == LITE0.sha256
    seen = seen_outside(known, known.outside)(prepared.images.pixels[fold_job(prepared, {}, max_epochs=1).train])
    for rows, each in zip(seen, known.known, strict=True):
        np.testing.assert_allclose(rows, each.features, rtol=2e-3, atol=2e-3)
        assert (distances(each.features, rows) <= each.limit).mean() > 0.8


def test_pictures_of_nothing_that_was_learned_are_told_by_the_network_outside(small: Study, tmp_path: Path) -> None:
    model = tmp_path / "model.keras"
    shape = small[0].images.pixels.shape[1:]
    told = {"classes": list(small[0].images.classes), "image_shape": list(shape), "packaging": PACKAGING}
    alone = part(small, tmp_path / "part.keras", "cnn", probed=True)
    small[1].do(ComposeJob(((alone, 1.0),), model, told, np.zeros(0, np.int32)))
    own, other = small[0].images.pixels[0, :, :, 0], np.indices(shape[:2]).sum(axis=0) % 2 * 255
    for name, pixels in (("own", own), ("other", other.astype(np.uint8))):
        write(tmp_path / "new" / f"{name}.png", Image.fromarray(pixels))
    answers = predict(model, list_inputs([tmp_path / "new"]), unknown=True)
    assert {Path(answer.path).stem: answer.unknown for answer in answers} == {"own": False, "other": True}


def test_what_the_model_itself_can_see_comes_before_what_is_seen_outside(small: Study, tmp_path: Path) -> None:
    parts = [
        (part(small, tmp_path / "0.keras", "cnn", probed=True), 0.8),
        (part(small, tmp_path / "1.keras", "frozen", flip_average=False), 0.2),
    ]
    known = whole(small, parts, tmp_path / "model.keras")
    assert known is not None and known.outside is None
    assert_knows_its_images(small, tmp_path / "model.keras", known)


def test_a_network_on_pixels_remembers_nothing_without_a_probe(small: Study, tmp_path: Path) -> None:
    alone = part(small, tmp_path / "part.keras", "cnn")
    assert whole(small, [(alone, 1.0)], tmp_path / "model.keras") is None


@pytest.mark.parametrize("family", ["cnn", "frozen"])
def test_a_network_that_learned_from_one_fold_alone_remembers_nothing(
    small: Study, tmp_path: Path, family: str
) -> None:
    """As those of two folds that are used as they are: images of one fold say nothing of how far new ones may be."""
    prepared, worker = small
    job = fold_job(prepared, point(prepared, family), max_epochs=1, use_last_epoch=True)
    folds = np.zeros(len(job.train), np.int16)
    outcome = worker.do(RefitJob(job, tmp_path / "part.keras", folds=folds, probed=True))
    assert isinstance(outcome, SavedModel), outcome
    assert remembered(tmp_path / "part.keras") is None


def test_without_folds_nothing_is_remembered(small: Study, tmp_path: Path) -> None:
    prepared, worker = small
    job = fold_job(prepared, point(prepared, "frozen"), max_epochs=1)
    worker.do(RefitJob(replace(job), tmp_path / "part.keras"))
    assert remembered(tmp_path / "part.keras") is None
