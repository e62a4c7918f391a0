"""What is shipped is right in plain Keras: called in any way, exported and read back, and it never changes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from search.export import saved_model
from search.jobs import ComposeJob, Pixels, RefitJob, SavedModel, WorkerContext
from search.session.prepare import prepare
from search.study.config import Config
from search.study.folder import StudyFolder
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces import Value
from spaces.custom.file import ModelFile
from tests.pictures import make_pictures
from tests.search.worker.test_frozen import needs_weights
from tests.search.worker.test_trainer import fold_job

CALLS = 100  # of a model, after which its weights are as they were

Study = tuple[Prepared, Worker]


def study_of(home: Path, *, size: int, colour: bool) -> Iterator[Study]:
    root = make_pictures(home / "pictures", {"left": 8, "top": 8}, size=size, colour=colour)
    prepared = prepare(Config(images=str(root), preset="auto", folds=2), home)
    with StudyFolder(home).pixels_on_disk(prepared.images.pixels) as pixels:
        facts = prepared.facts
        yield (
            prepared,
            Worker(WorkerContext(Pixels(pixels), prepared.images.labels, facts, "auto", "balanced_accuracy")),
        )


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """All families on small grey pictures, which pre-trained networks are shown enlarged."""
    yield from study_of(tmp_path_factory.mktemp("small"), size=8, colour=False)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Study]:
    """The same on coloured ones, larger than what pre-trained networks are shown."""
    yield from study_of(tmp_path_factory.mktemp("large"), size=72, colour=True)


def point(prepared: Prepared, family: str, **changes: Value) -> dict[str, Value]:
    """A quick one of a family: pre-trained networks see 64 pixels, less than 72."""
    prefix = family.replace("-", "_") + "_"
    named = {prefix + name: value for name, value in ({"input_size": 64, "batch_size": 8} | changes).items()}
    return prepared.space.defaults(family=family, **named)


def saved(worker: Worker, prepared: Prepared, params: dict[str, Value], path: Path) -> Path:
    outcome = worker.do(RefitJob(fold_job(prepared, params, use_last_epoch=True, max_epochs=2), path))
    assert isinstance(outcome, SavedModel), outcome
    return path


def assert_right_in_plain_keras(path: Path, pixels: NDArray[np.uint8], tmp_path: Path) -> None:
    """Called plainly, called for inference, asked by `predict` and as a SavedModel: the same, and nothing moves."""
    import keras
    import tensorflow as tf

    model: Any = keras.saving.load_model(path, compile=False, safe_mode=True)
    x, before = pixels.astype(np.float32), model.get_weights()
    predicted = model.predict(x, verbose=0)
    np.testing.assert_allclose(model(x), predicted, atol=1e-5)
    np.testing.assert_allclose(model(x, training=False), predicted, atol=1e-5)
    call = tf.function(model)
    for _ in range(CALLS):
        call(x[:2])
    for weight, was in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, was)
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-5)
    assert all(layer.name[0].isalpha() for layer in model._flatten_layers()), "as exports demand"
    model.export(tmp_path / "exported", verbose=False)
    exported = saved_model.read(tmp_path / "exported")  # its operations are ones that strangers' models may have too
    np.testing.assert_allclose(exported.predict_on_batch(x), predicted, atol=1e-5)


FAMILIES: list[tuple[str, dict[str, Value]]] = [
    ("question", {}),
    ("cnn", {"normalization": "batch", "dropout": 0.3}),
    ("frozen", {"head": "dense", "dropout": 0.3, "flip_average": False}),
    ("fine-tune", {"epochs": 1, "stages": "last", "unfreeze": "last"}),
]


@needs_weights
@pytest.mark.parametrize(
    ("family", "changes"),
    [pytest.param(*of, marks=[pytest.mark.slow] if of[0] == "fine-tune" else [], id=of[0]) for of in FAMILIES],
)
def test_each_family(small: Study, tmp_path: Path, family: str, changes: dict[str, Value]) -> None:
    prepared, worker = small
    path = saved(worker, prepared, point(prepared, family, **changes), tmp_path / "model.keras")
    assert_right_in_plain_keras(path, prepared.images.pixels, tmp_path)


@needs_weights
@pytest.mark.slow
def test_an_ensemble_of_families_whose_pictures_are_shrunk(large: Study, tmp_path: Path) -> None:
    prepared, worker = large
    points = [point(prepared, "frozen", head="svm", flip_average=False), point(prepared, "cnn")]
    parts = [saved(worker, prepared, params, tmp_path / f"{n}.keras") for n, params in enumerate(points)]
    weighted = tuple(zip(parts, (0.75, 0.25), strict=True))
    outcome = worker.do(
        ComposeJob(weighted, tmp_path / "both.keras", {"classes": ["a", "b"]}, np.arange(4, dtype=np.int32))
    )
    assert isinstance(outcome, SavedModel), outcome
    assert_right_in_plain_keras(tmp_path / "both.keras", prepared.images.pixels, tmp_path)


OWN = """
import keras

def build(hp):
    model = keras.Sequential([
        keras.Input((8, 8, 1)),
        keras.layers.RandomFlip("horizontal"),
        keras.layers.Resizing(10, 10),
        keras.layers.Conv2D(4, 3, activation="relu"),
        keras.layers.BatchNormalization(),
        keras.layers.Flatten(),
        keras.layers.Dropout(0.5),
        keras.layers.Dense(2, activation="softmax"),
    ])
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, default=1e-2)), "categorical_crossentropy")
    return model
"""
FUNCTIONAL = """
import keras

def build(hp):
    inputs = keras.Input((8, 8, 1))
    x = keras.layers.RandomRotation(0.2)(inputs)
    x = keras.layers.Resizing(10, 10)(x)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="_conv")(x)
    x = keras.layers.BatchNormalization(name="layer_conv")(x)
    x = keras.layers.Dropout(0.5)(keras.layers.Flatten()(x), training=True)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(x))
    model.compile(keras.optimizers.Adam(hp.Float("rate", 1e-3, 1e-1, default=1e-2)), "categorical_crossentropy")
    return model
"""


@pytest.mark.first(1)
@pytest.mark.parametrize("source", [FUNCTIONAL, OWN], ids=["functional", "sequential"])
def test_a_model_of_ones_own_with_layers_that_are_made_for_training(
    context: WorkerContext, prepared: Prepared, tmp_path: Path, source: str
) -> None:
    """Keras's image layers are stored with `training: true`, a dropout may be always on, a name may begin with "_"."""
    net = tmp_path / "net.py"
    net.write_text(source)
    file = ModelFile(str(net), "build", hashlib.sha256(net.read_bytes()).hexdigest())
    path = saved(Worker(replace(context, model=file)), prepared, {"rate": 0.01}, tmp_path / "model.keras")
    assert_right_in_plain_keras(path, prepared.images.pixels, tmp_path)
