"""Fine-tuning: begun from a probe on frozen features, some layers trained, and the statistics left alone."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.special
from numpy.typing import NDArray

from search.jobs import DescribeJob, Description, FitOptions, FoldJob, FoldResult, Pixels, WorkerContext
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces import Value
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from spaces.presets import FAMILIES, fine_tune
from tests.search.worker.test_trainer import fold_job, trained

pytestmark = pytest.mark.skipif(importlib.util.find_spec(LITE0.package) is None, reason="needs the package of weights")

FACTS = Facts(8, 8, 1, 2, 27, (LITE0,))
FAMILY = FAMILIES["fine-tune"]


def point(**changes: Value) -> dict[str, Value]:
    """A quick one."""
    return FAMILY.space(FACTS).defaults(**{"input_size": 64, "epochs": 2, "batch_size": 8, **changes})


@pytest.fixture(scope="module")
def context(prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerContext]:
    with StudyFolder(tmp_path_factory.mktemp("fine-tune")).pixels_on_disk(prepared.images.pixels) as pixels:
        yield WorkerContext(
            Pixels(pixels), prepared.images.labels, FACTS, preset="fine-tune", metric="balanced_accuracy"
        )


@pytest.fixture(scope="module")
def tuner(context: WorkerContext) -> Worker:
    return Worker(context)


@pytest.fixture(scope="module")
def network() -> Any:
    """Of the quick point; each test begins its head anew."""
    return FAMILY.network(point(), FACTS)


def means(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Of the backbone's maps: what a head sees."""
    return LITE0.features(pixels, 64)[:, : sum(LITE0.widths)]


def test_the_head_begins_as_the_probe(prepared: Prepared, network: Any) -> None:
    """Before a step, the network says what the logistic regression says of the same features."""
    pixels, labels = prepared.images.pixels, prepared.images.labels
    features = means(pixels)
    fine_tune.start(network, point(), features, labels)
    said = np.asarray(network(pixels.astype(np.float32), training=False))
    head = network.get_layer("output")
    raw = features @ np.asarray(head.kernel) + np.asarray(head.bias)
    expected = np.exp(raw - raw.max(axis=1, keepdims=True))
    np.testing.assert_allclose(said, expected / expected.sum(axis=1, keepdims=True), atol=1e-4)
    assert (said.argmax(axis=1) == labels).all(), "it knows what it was fitted on"


def test_a_class_without_training_rows_stays_improbable(prepared: Prepared) -> None:
    pixels, labels = prepared.images.pixels, prepared.images.labels
    facts = Facts(8, 8, 1, 4, 27, (LITE0,))
    network = FAMILY.network(point(), facts)
    fine_tune.start(network, point(), means(pixels), labels)
    said = np.asarray(network(pixels.astype(np.float32), training=False))
    assert said[:, 2:].max() < 0.01


@pytest.mark.parametrize("class_weights", ["none", "balanced"])
def test_the_probe_weighs_classes_as_the_training_will(prepared: Prepared, network: Any, class_weights: str) -> None:
    """Since its intercept is not penalised, its mean probability of a class is the class's weighted share."""
    labels = prepared.images.labels
    rows = np.concatenate([np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)[:3]])
    features = means(prepared.images.pixels[rows])
    params = point() | {"class_weights": class_weights}
    fine_tune.start(network, params, features, labels[rows])
    head = network.get_layer("output")
    said = scipy.special.softmax(features @ np.asarray(head.kernel) + np.asarray(head.bias), axis=1)
    counts = np.bincount(labels[rows])
    weights = 1 / counts[labels[rows]] if class_weights == "balanced" else np.ones(len(rows))
    share = 0.5 if class_weights == "balanced" else counts[1] / len(rows)
    assert np.average(said[:, 1], weights=weights) == pytest.approx(share, abs=1e-3)


def trainable(params: dict[str, Value]) -> set[str]:
    network: Any = FAMILY.network(params, FACTS)
    return {variable.path for variable in network.trainable_variables}


def test_what_is_trained_grows_with_unfreeze_and_never_holds_statistics() -> None:
    last, upper, whole = (trainable(point(unfreeze=name)) for name in ("last", "upper", "all"))
    assert last < upper < whole
    assert not any("bn" in path for path in whole)
    assert any("conv_stem" in path for path in whole - upper)


@pytest.mark.parametrize(
    "changes",
    [{}, pytest.param({"stages": "last", "unfreeze": "last", "augmentation": "mixup"}, marks=pytest.mark.slow)],
)
@pytest.mark.slow
def test_a_fold_is_a_whole_cosine_and_the_same_on_used_graphs(
    tuner: Worker, context: WorkerContext, prepared: Prepared, changes: dict[str, Value]
) -> None:
    points = point(**changes), point(**changes) | {"dropout": 0.5, "learning_rate": 1e-4, "weight_decay": 1e-3}
    jobs = [
        replace(fold_job(prepared, params, trial, max_epochs=2 + trial, patience=1), trial=trial)
        for trial, params in enumerate(points)
    ]
    tuner._trainers.clear()
    first, second = (trained(tuner, job) for job in jobs)
    assert [first.epochs, first.best_epoch] == [2, 2], "all epochs, and the last one counts"
    assert len(tuner._trainers._kept) == 1
    cold = trained(Worker(context), jobs[1])
    assert second.curve == cold.curve
    np.testing.assert_array_equal(second.probabilities, cold.probabilities)


def test_a_trial_that_differs_from_another_in_numbers_alone_builds_no_network(
    tuner: Worker, prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it is trained as by itself, to the last bit, is the test before."""
    trained(tuner, fold_job(prepared, point(), max_epochs=1))
    built: list[object] = []
    monkeypatch.setattr("spaces.presets.fine_tune._body", lambda *given: built.append(given))
    later = fold_job(prepared, point(dropout=0.5, learning_rate=1e-4, weight_decay=1e-3), max_epochs=1)
    trained(tuner, replace(later, trial=1))
    assert not built


def test_the_description_is_drawn_without_building_and_counts_what_is_trained(
    tuner: Worker, prepared: Prepared
) -> None:
    params = point(unfreeze="last")
    description = tuner.do(DescribeJob(params))
    assert isinstance(description, Description)
    assert description.parameters == trained(tuner, fold_job(prepared, params, max_epochs=1)).parameters
    assert [layer.name for layer in description.layers][-2:] == ["features", "output"]


@pytest.mark.slow
def test_validation_rows_do_not_reach_the_head(context: WorkerContext, tmp_path: Path) -> None:
    """The head's first weights come from training rows: other validation images change nothing in training."""
    assert context.pixels is not None
    pixels = context.pixels.read()
    rows = np.arange(len(context.labels), dtype=np.int32)
    curves = []
    for garbled in (False, True):
        changed = pixels.copy()
        if garbled:
            changed[rows % 3 == 0] = 128
        path = tmp_path / f"{garbled}" / "pixels.npy"
        path.parent.mkdir()
        np.save(path, changed)
        known = WorkerContext(Pixels(path), context.labels, FACTS, preset="fine-tune", metric="balanced_accuracy")
        job = FoldJob(0, 0, 0, point(), rows[rows % 3 != 0], rows[rows % 3 == 0], 7, FitOptions(max_epochs=3))
        result = Worker(known).do(job)
        assert isinstance(result, FoldResult), result
        curves.append(result.curve)
    np.testing.assert_allclose(curves[0]["loss"], curves[1]["loss"], rtol=1e-4)
    assert curves[0]["val_loss"] != curves[1]["val_loss"]
