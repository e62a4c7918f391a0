"""What scripts have in place of this project's own functions computes the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from search.data.decoding import Picture, decode
from search.worker.batches import balanced_weights
from spaces.presets import fine_tune
from spaces.recipe import Recipe
from tests.pictures import noise, write


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The module, with the classes and the size of a script."""
    from search.export.code import plain

    for name, value in {"CLASSES": ["a", "b", "c"], "HEIGHT": 9, "WIDTH": 7, "CHANNELS": 3}.items():
        monkeypatch.setattr(plain, name, value)
    yield plain


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P"])
def test_pictures_are_read_as_in_the_search(plain: Any, tmp_path: Path, mode: str) -> None:
    pixels = noise(np.random.default_rng(2), 40, 3)
    path = write(tmp_path / "picture.png", Image.fromarray(pixels).convert(mode))
    ours = decode(path, (9, 7))
    assert isinstance(ours, Picture)
    theirs = plain.read_picture(path)
    np.testing.assert_array_equal(theirs, np.broadcast_to(ours.pixels, theirs.shape))


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("balanced", [False, True])
@pytest.mark.parametrize("c", [0.01, 1.0, 30.0])
def test_its_logistic_regression_is_that_of_scikit_learn(
    plain: Any, monkeypatch: pytest.MonkeyPatch, classes: int, balanced: bool, c: float
) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.utils.class_weight import compute_sample_weight

    monkeypatch.setattr(plain, "CLASSES", ["a", "b", "c"][:classes])
    draw = np.random.default_rng(classes)
    y = draw.integers(0, classes, 60)
    x = draw.normal(size=(60, 40)).astype(np.float32) + y[:, None] * 0.3
    weights = compute_sample_weight("balanced", y) if balanced else None
    theirs = LogisticRegression(C=c, max_iter=10_000, tol=1e-8).fit(x, y, sample_weight=weights).predict_proba(x)
    kernel, bias = plain.logistic_regression(x, y, c, balanced=balanced)
    scores = np.exp(x @ kernel + bias)
    np.testing.assert_allclose(scores / scores.sum(axis=1, keepdims=True), theirs, atol=2e-3)


def test_fine_tuning_begins_with_the_same_head(plain: Any) -> None:
    import keras

    draw = np.random.default_rng(4)
    y = np.arange(30) % 3
    features = (draw.normal(size=(30, 12)) + y[:, None]).astype(np.float32)
    heads = []
    for begin in ("ours", "theirs"):
        inputs = keras.Input((12,))
        network = keras.Model(inputs, keras.layers.Dense(3, activation="softmax", name="output")(inputs))
        if begin == "ours":
            fine_tune.start(network, {"c": 0.1}, features, y.astype(np.int16))
        else:
            plain.begin_with_regression(network, features, y, 0.1, balanced=False)
        heads.append(network.predict(features, verbose=0))
    np.testing.assert_allclose(heads[0], heads[1], atol=2e-3)


def test_learning_rates_and_weights_of_classes_are_those_of_the_search(plain: Any) -> None:
    recipe = Recipe(schedule="cosine")
    assert [plain.cosine(step, 40) for step in range(40)] == [recipe.rate(step, 40) for step in range(40)]
    y = np.array([0, 0, 0, 1, 2, 2])
    np.testing.assert_allclose(plain.balanced_weights(y), balanced_weights(y.astype(np.int16), 3))


def test_a_learning_rate_is_set_before_each_step(plain: Any) -> None:
    import keras

    seen: list[float] = []

    class Watching(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras's
            seen.append(float(self.model.optimizer.learning_rate))

    inputs = keras.Input((2,))
    network = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    network.compile(keras.optimizers.SGD(0.5), "categorical_crossentropy")
    factor = plain.LearningRate(lambda epoch, step, steps: (epoch + 1) * (step + 1) / steps, 2, 2)
    x, y = np.ones((4, 2), np.float32), np.eye(3)[[0, 1, 2, 0]]
    network.fit(x, y, batch_size=2, epochs=2, verbose=0, callbacks=[factor, Watching()])
    np.testing.assert_allclose(seen, [0.125, 0.25, 0.75, 1.0])


def test_averages_of_weights_are_what_is_kept_after_training(plain: Any) -> None:
    import keras

    after: list[Any] = []

    class Watching(keras.callbacks.Callback):  # type: ignore[misc]
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:  # noqa: ARG002 - Keras's
            after.append(self.model.get_weights())

    inputs = keras.Input((2,))
    network = keras.Model(inputs, keras.layers.Dense(3, activation="softmax")(inputs))
    network.compile(keras.optimizers.SGD(0.5, use_ema=True, ema_momentum=0.75), "categorical_crossentropy")
    draw = np.random.default_rng(0)
    x, y = draw.normal(size=(8, 2)).astype(np.float32), np.arange(8) % 3
    plain.fit(network, x, y, epochs=3, batch_size=4, callbacks=[Watching()])
    averages = after[0]
    for weights in after[1:]:
        averages = [0.75 * old + 0.25 * new for old, new in zip(averages, weights, strict=True)]
    assert len(after) == 6
    for kept, average, last in zip(network.get_weights(), averages, after[-1], strict=True):
        np.testing.assert_allclose(kept, average, atol=1e-6)
        assert not np.allclose(kept, last, atol=1e-3)
