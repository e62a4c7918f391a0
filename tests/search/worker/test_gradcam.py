"""Where a saved network looks: by hand on a tiny network, and where the truth was planted."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from search.jobs import LOOK_SIDE, Looked, LookJob, RefitJob, SavedModel, WorkerContext
from search.study.prepared import Prepared
from search.worker.worker import Worker
from spaces import Value
from spaces.backbones.lite import LITE0
from spaces.facts import Facts
from spaces.presets import FAMILIES
from tests.search.worker.test_frozen import needs_weights
from tests.search.worker.test_trainer import fold_job

SIDE = 16


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras, imported when a test needs it."""
    import keras

    keras.utils.set_random_seed(3)
    return keras


def maps_of(model: Any, pixels: NDArray[np.uint8], classes: list[int], folder: Path) -> Any:
    """What a job says of all these pixels; the model is saved first."""
    from search.worker.gradcam import look

    model.save(folder / "model.keras")
    rows = np.arange(len(pixels), dtype=np.int32)
    looked = look(LookJob(folder / "model.keras", rows, np.array(classes, np.int32)), pixels)
    assert isinstance(looked, Looked)
    return looked.maps


def noise(images: int, side: int = SIDE, channels: int = 1) -> NDArray[np.uint8]:
    return np.random.default_rng(images).integers(0, 255, (images, side, side, channels), np.uint8)


def network(keras: Any, *layers: Any, side: int = SIDE, channels: int = 1) -> Any:
    return keras.Sequential([keras.Input((side, side, channels)), keras.layers.Rescaling(1 / 255), *layers])


def test_it_is_the_formula_computed_by_hand(keras: Any, tmp_path: Path) -> None:
    """One convolution, the mean over places, a softmax: every derivative is known."""
    kl = keras.layers
    model = network(
        keras, kl.Conv2D(4, 3, activation="relu"), kl.GlobalAveragePooling2D(), kl.Dense(3, activation="softmax")
    )
    random = np.random.default_rng(6)
    model.set_weights([random.normal(0, 1, weight.shape) for weight in model.get_weights()])
    pixels, classes = np.repeat(noise(3), 3, axis=0), [0, 1, 2] * 3
    kernel, bias, dense, _ = (weight.astype(np.float64) for weight in model.get_weights())
    windows = np.lib.stride_tricks.sliding_window_view(pixels[..., 0] / 255, (3, 3), axis=(1, 2))
    activations = np.maximum(np.einsum("nyxij,ijk->nyxk", windows, kernel[:, :, 0]) + bias, 0)
    of_logits = np.eye(3)[classes] - 1 / 3  # derivatives of the score of the class less the mean score
    weights = of_logits @ dense.T / activations[0, ..., 0].size
    expected = np.maximum(np.einsum("nk,nyxk->nyx", weights, activations), 0)
    most = expected.max(axis=(1, 2), keepdims=True)
    assert (most > 0).any() and not (most > 0).all(), "there may be nothing that speaks for a class"
    found = maps_of(model, pixels, classes, tmp_path)
    np.testing.assert_allclose(found, 255 * expected / np.where(most > 0, most, 1), atol=0.6)


CORNERS = [(0, 0), (0, 10), (10, 0), (10, 10)]  # row and column of a square of 6 pixels


def planted(images: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Noise, and a bright square in the corner that is the class."""
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 90, (images, SIDE, SIDE, 1), np.uint8)
    labels = random.integers(0, len(CORNERS), images)
    for image, label in zip(pixels, labels, strict=True):
        y, x = (start + random.integers(0, 3) - (start > 0) * 1 for start in CORNERS[label])
        image[y : y + 4, x : x + 4] = random.integers(170, 255)
    return pixels, labels


def share_at_the_square(maps: Any, labels: NDArray[np.int64]) -> float:
    """The share of images whose map has its maximum in the quarter with the square."""
    right = []
    for found, label in zip(maps, labels, strict=True):
        y, x = np.unravel_index(np.argmax(found), found.shape)
        quarter = 2 * (2 * y >= found.shape[0]) + (2 * x >= found.shape[1])
        right.append(quarter == label)
    return float(np.mean(right))


@pytest.fixture(scope="module")
def trained(keras: Any) -> Any:
    """A small network that knows the corners, and ends with a layer that sees where something is."""
    kl = keras.layers
    model = network(
        keras,
        kl.Conv2D(8, 3, padding="same", activation="relu"),
        kl.MaxPooling2D(),
        kl.Conv2D(8, 3, padding="same", activation="relu"),
        kl.MaxPooling2D(),
        kl.Flatten(),
        kl.Dense(len(CORNERS), activation="softmax"),
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    pixels, labels = planted(240, seed=0)
    model.fit(pixels.astype(np.float32), labels, epochs=8, batch_size=16, verbose=0)
    return model


def test_it_looks_at_what_decides_the_class(trained: Any, tmp_path: Path) -> None:
    pixels, labels = planted(100, seed=1)
    answers = trained.predict(pixels.astype(np.float32), verbose=0).argmax(axis=1)
    assert (answers == labels).mean() > 0.95
    maps = maps_of(trained, pixels, labels.tolist(), tmp_path)
    assert maps.shape == (100, SIDE // 2, SIDE // 2), "the map before it is pooled"
    assert share_at_the_square(maps, labels) > 0.9


@pytest.mark.parametrize("at_last", [True, False], ids=["of probabilities", "of features"])
def test_of_a_mean_with_the_mirror_image_it_is_where_the_image_itself_is_looked_at(
    keras: Any, trained: Any, tmp_path: Path, at_last: bool
) -> None:
    """The mean of both is taken where presets take it: of probabilities, or of features before a head."""
    from search.worker.outputs import Meaning
    from search.worker.packaging import pixels_model
    from search.worker.pixel_range import PixelRange

    pixels, labels = planted(60, seed=2)
    if at_last:
        facts = Facts(SIDE, SIDE, 1, len(CORNERS), 240)
        copy = keras.models.clone_model(trained)
        copy.set_weights(trained.get_weights())
        model = pixels_model(copy, facts, PixelRange(255), Meaning.PROBABILITIES, flip_average=True)
    else:
        body = keras.Model(trained.inputs, trained.layers[-2].output)
        x = keras.Input((SIDE, SIDE, 1))
        views = [body(x, training=False), body(keras.ops.flip(x, axis=2), training=False)]
        views = [keras.layers.Identity()(view) for view in views]
        model = keras.Model(x, trained.layers[-1](keras.layers.Average()(views)))
    maps = maps_of(model, pixels, labels.tolist(), tmp_path)
    assert share_at_the_square(maps, labels) > 0.8


def test_a_network_without_convolutions_has_no_maps(keras: Any, tmp_path: Path) -> None:
    kl = keras.layers
    model = network(keras, kl.Reshape((4, 4, 16)), kl.Flatten(), kl.Dense(2, activation="softmax"))
    assert maps_of(model, noise(2), [0, 1], tmp_path) is None


def test_a_map_that_the_answer_does_not_depend_on_shows_nothing(keras: Any, tmp_path: Path) -> None:
    kl = keras.layers
    x = keras.Input((SIDE, SIDE, 1))
    beside = kl.GlobalAveragePooling2D()(kl.Conv2D(2, 3)(x)) * 0.0
    model = keras.Model(x, kl.Dense(2, activation="softmax")(kl.Concatenate()([kl.Flatten()(x / 255), beside])))
    maps = maps_of(model, noise(2), [0, 1], tmp_path)
    assert maps is not None and not maps.any()


def test_fine_maps_are_made_smaller(keras: Any, tmp_path: Path) -> None:
    kl = keras.layers
    model = network(
        keras, kl.Conv2D(2, 3, padding="same"), kl.GlobalMaxPooling2D(), kl.Dense(2, activation="softmax"), side=80
    )
    maps = maps_of(model, noise(2, side=80), [0, 1], tmp_path)
    assert maps.shape == (2, LOOK_SIDE, LOOK_SIDE)


def test_a_worker_does_it_and_a_file_that_is_gone_is_a_failure(keras: Any, worker: Worker, tmp_path: Path) -> None:
    job = LookJob(tmp_path / "gone.keras", np.array([0, 1], np.int32), np.array([0, 1], np.int32))
    assert "gone.keras" in str(getattr(worker.do(job), "detail", ""))
    kl = keras.layers
    small = network(keras, kl.Conv2D(2, 3), kl.GlobalAveragePooling2D(), kl.Dense(2, activation="softmax"), side=8)
    small.save(tmp_path / "small.keras")
    looked = worker.do(LookJob(tmp_path / "small.keras", job.rows, job.classes))
    assert isinstance(looked, Looked) and looked.maps is not None
    assert looked.maps.shape == (2, 6, 6)


@needs_weights
@pytest.mark.parametrize(
    ("preset", "changes"),
    [
        ("frozen", {}),
        ("frozen", {"head": "svm", "stages": "last"}),
        ("fine-tune", {"epochs": 1, "batch_size": 8}),
        ("fine-tune", {"epochs": 1, "batch_size": 8, "flip_average": False}),
    ],
    ids=str,
)
@pytest.mark.slow
def test_what_a_pre_trained_network_is_saved_with_looks_too(
    prepared: Prepared, context: WorkerContext, tmp_path: Path, preset: str, changes: dict[str, Value]
) -> None:
    """The last map of 64 pixels is 2 x 2."""
    facts = Facts(8, 8, 1, 2, 27, (LITE0,))
    worker = Worker(replace(context, preset=preset, facts=facts))
    params = FAMILIES[preset].space(facts).defaults(**{"input_size": 64, **changes})
    job = fold_job(prepared, params, use_last_epoch=True, max_epochs=1)
    assert isinstance(worker.do(RefitJob(job, tmp_path / "model.keras")), SavedModel)
    labels = prepared.images.labels[job.validate].astype(np.int32)
    looked = worker.do(LookJob(tmp_path / "model.keras", job.validate, labels))
    assert isinstance(looked, Looked) and looked.maps is not None
    assert looked.maps.shape == (len(labels), 2, 2)
    assert looked.maps.any(axis=(1, 2)).mean() > 0.5
