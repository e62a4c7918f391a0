"""The features of a network within a saved model: means of its maps, whatever wraps the network, read by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers, ops

from search.worker.inner_features import feature_maps, with_features
from search.worker.packaging import load, save

SIDE = 8


def convolutional(name: str = "network") -> keras.Model:
    inputs = keras.Input((SIDE, SIDE, 1))
    x = layers.Conv2D(3, 3, padding="same", activation="relu", name="first")(inputs)
    x = layers.MaxPooling2D(2)(x)
    x = layers.Conv2D(5, 3, padding="same", activation="relu", name="second")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(2, "softmax")(x), name=name)


def wrapped(network: keras.Model, *, mirrored: bool) -> keras.Model:
    """As a saved model calls it."""
    inputs = keras.Input((SIDE, SIDE, 1))
    x = layers.Rescaling(1 / 255)(inputs)
    output = network(x, training=False)
    if mirrored:
        output = layers.Average()([output, network(ops.flip(x, axis=2), training=False)])
    return keras.Model(inputs, output)


def images(count: int = 4) -> Any:
    return np.random.default_rng(0).integers(0, 255, (count, SIDE, SIDE, 1)).astype(np.float32)


def means(network: keras.Model, x: Any) -> Any:
    maps = keras.Model(network.inputs, [network.get_layer(name).output for name in ("first", "second")])(x)
    return np.concatenate([np.asarray(one).mean(axis=(1, 2)) for one in maps], axis=1)


def test_the_features_are_the_last_map_of_each_size() -> None:
    assert feature_maps(convolutional()) == ("first", "second")


@pytest.mark.parametrize("mirrored", [False, True])
def test_they_are_means_over_places_and_over_the_mirror_image(tmp_path: Path, mirrored: bool) -> None:
    network = convolutional()
    model = wrapped(network, mirrored=mirrored)
    save(model, tmp_path / "model.keras")
    x = images()
    probabilities, features = with_features(load(tmp_path / "model.keras"), "network", ("first", "second"))(x)
    expected = means(network, x / 255)
    if mirrored:
        expected = (expected + means(network, x[:, :, ::-1] / 255)) / 2
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(probabilities, model(x), rtol=1e-4, atol=1e-6)


def test_a_network_within_the_network_gives_all_its_maps() -> None:
    inputs = keras.Input((SIDE, SIDE, 1))
    x = layers.Conv2D(3, 3, padding="same")(inputs)
    body = keras.Model(inputs, [x, layers.AveragePooling2D(2)(x)], name="body")
    outer = keras.Input((SIDE, SIDE, 1))
    pooled = [layers.GlobalAveragePooling2D()(one) for one in body(outer)]
    network = keras.Model(outer, layers.Dense(2, "softmax")(layers.Concatenate()(pooled)), name="network")
    assert feature_maps(network) == ("body",)
    _, features = with_features(wrapped(network, mirrored=False), "network", ("body",))(images())
    assert features.shape == (4, 6)


def test_a_network_of_dense_layers_has_none() -> None:
    inputs = keras.Input((SIDE, SIDE, 1))
    x = layers.Dense(4, "relu")(layers.Flatten()(inputs))
    assert feature_maps(keras.Model(inputs, layers.Dense(2, "softmax")(x))) == ()


@pytest.mark.parametrize(
    ("network", "maps"),
    [("network", ("nobody",)), ("network", ()), ("nobody", ("first",)), ("rescaling", ("first",)), ("", ("first",))],
)
def test_names_that_the_model_does_not_have_are_refused(network: str, maps: tuple[str, ...]) -> None:
    model = wrapped(convolutional(), mirrored=False)
    with pytest.raises((ValueError, AttributeError, TypeError)):
        with_features(model, network, maps)
