"""Models merged into one graph say what they said alone, and what they have alike is there once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spaces.facts import Facts

if TYPE_CHECKING:
    import keras

FACTS = Facts(8, 8, 1, 2, 10)
X = np.random.default_rng(0).uniform(0, 255, (4, 8, 8, 1)).astype(np.float32)

Body = Callable[[], "keras.Model"]


def network(start: float = 1.0, filters: int = 3, activation: str = "relu") -> keras.Model:
    """One that stays as it is: the same weights for the same `start`."""
    import keras

    from search.worker.keras_internals import reset_names

    reset_names()
    inputs = keras.Input((None, None, 1))
    x = keras.layers.Conv2D(filters, 3, activation=activation)(inputs)
    model = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(x), name="body")
    values = np.random.default_rng(0)
    model.set_weights([start * values.normal(size=weight.shape) for weight in model.get_weights()])
    return model


def member(body: keras.Model, seed: int, *, side: int = 8, mirrored: bool = False) -> keras.Model:
    """A head of its own on a network, from pixels."""
    import keras

    inputs = keras.Input((8, 8, 1), name="pixels")
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.ops.image.resize(x, (side, side)) if side != 8 else x
    x = body(keras.ops.flip(x, axis=2) if mirrored else x, training=False)
    head = keras.layers.Dense(2, "softmax", kernel_initializer=keras.initializers.RandomNormal(seed=seed))
    return keras.Model(inputs, head(x))


def convolutions(model: keras.Model) -> int:
    """How many there are in the graph of one call: the passes."""
    import tensorflow as tf

    graph = tf.function(model).get_concrete_function(tf.TensorSpec([4, 8, 8, 1], tf.float32)).graph
    return sum(operation.type == "Conv2D" for operation in graph.get_operations())


def merged(members: Sequence[keras.Model], path: Path) -> keras.Model:
    """Their mean, compared with theirs, saved and loaded again."""
    from search.worker.packaging import load, save, weighted_ensemble

    weight = 1 / len(members)
    said = weight * sum(np.asarray(model(X)) for model in members)
    save(weighted_ensemble([(model, weight) for model in members], FACTS), path)
    model = load(path)
    np.testing.assert_allclose(model(X), said, atol=1e-6)
    np.testing.assert_allclose(model.predict(X, verbose=0), said, atol=1e-6)
    return model


def test_equal_networks_on_equal_views_are_one_pass(tmp_path: Path) -> None:
    model = merged([member(network(), seed) for seed in range(3)], tmp_path / "m.keras")
    assert convolutions(model) == 1
    assert model.count_params() == network().count_params() + 3 * (3 * 2 + 2)


def test_another_view_is_a_pass_of_its_own_with_the_same_weights(tmp_path: Path) -> None:
    views: list[dict[str, Any]] = [{}, {"mirrored": True}, {"side": 16}, {}, {"side": 16}]
    members = [member(network(), seed, **view) for seed, view in enumerate(views)]
    model = merged(members, tmp_path / "m.keras")
    assert convolutions(model) == 3
    assert model.count_params() == network().count_params() + 5 * (3 * 2 + 2)


@pytest.mark.parametrize(
    "other", [{"start": 1.0001}, {"activation": "tanh"}, {"filters": 4}], ids=["weights", "function", "size"]
)
def test_networks_that_differ_stay_apart(tmp_path: Path, other: dict[str, Any]) -> None:
    model = merged([member(network(), 0), member(network(**other), 1)], tmp_path / "m.keras")
    assert convolutions(model) == 2


def test_names_that_several_members_have_are_made_different(tmp_path: Path) -> None:
    members = [member(network(start), seed=number) for number, start in enumerate((1.0, 2.0, 3.0))]
    for model in members:
        model.layers[-1].name = "add"  # as the sum of the members is called
    names = [layer.name for layer in merged(members, tmp_path / "m.keras").layers]
    assert len(set(names)) == len(names)


def test_members_that_are_the_same_throughout_are_one(tmp_path: Path) -> None:
    model = merged([member(network(), seed=0) for _ in range(2)], tmp_path / "m.keras")
    assert model.count_params() == member(network(), seed=0).count_params()
