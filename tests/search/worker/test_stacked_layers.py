"""Layers that compute for several networks: each gets what its own layers would give it, and its own gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from search.study.prepared import Prepared
from search.worker.stacked_layers import Stack, as_stack, stackable
from spaces import Value
from spaces.presets import FAMILIES

pytestmark = pytest.mark.slow  # no command trains so yet

NETWORKS, IMAGES = 2, 3
POINTS: list[tuple[str, dict[str, Value]]] = [
    ("cnn", {"normalization": "batch", "pooling": "max", "head": "flatten", "dense_depth": 1}),
    ("cnn", {"block": "separable", "normalization": "group", "kernel": 5, "pooling": "stride", "dense_depth": 0}),
    ("cnn", {"block": "residual", "normalization": "none", "pooling": "average", "output": "sigmoid"}),
    ("question", {}),
]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("family", "changes"), POINTS, ids=str)
def test_a_stack_of_networks_computes_what_each_does(
    prepared: Prepared, family: str, changes: dict[str, Value], training: bool
) -> None:
    preset = FAMILIES[family]
    params = preset.space(prepared.facts).defaults(**changes, dropout=0.0)
    models = [preset.network(params, prepared.facts) for _ in range(NETWORKS)]
    for model in models:
        for variable in model.variables:  # biases and what normalisation keeps begin alike
            variable.assign(variable + np.random.default_rng(len(variable.shape)).uniform(0, 0.1, variable.shape))
    x = np.random.default_rng(0).uniform(0, 255, (NETWORKS * IMAGES, 8, 8, 1)).astype(np.float32)
    template = preset.network(params, prepared.facts)
    assert stackable(template)
    stacked = [tf.Variable(np.stack(values)) for values in zip(*(values_of(model) for model in models), strict=True)]
    of = {id(variable): kept for variable, kept in zip(template.variables, stacked, strict=True)}
    trained = [of[id(variable)] for variable in template.trainable_variables]
    with tf.GradientTape() as tape:
        with as_stack(template, Stack(NETWORKS, lambda variable: of[id(variable)])):
            found = template(tf.constant(x), training=training)
        gradients = tape.gradient(tf.reduce_sum(found[:, 0]), trained)
    for number, model in enumerate(models):
        rows = slice(number * IMAGES, (number + 1) * IMAGES)
        with tf.GradientTape() as own_tape:
            expected = model(tf.constant(x[rows]), training=training)
            own = own_tape.gradient(tf.reduce_sum(expected[:, 0]), [v.value for v in model.trainable_variables])
        np.testing.assert_allclose(found[rows], expected, rtol=1e-4, atol=1e-6)
        for one, of_all in zip(own, gradients, strict=True):
            np.testing.assert_allclose(
                of_all[number], one, rtol=1e-3, atol=max(1e-30, 1e-5 * float(tf.reduce_max(tf.abs(one))))
            )
        for kept, now in zip(stacked, values_of(model), strict=True):
            np.testing.assert_allclose(kept[number], now, rtol=1e-4, atol=1e-5)


def values_of(model: keras.Model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.variables]


def test_a_layer_that_is_not_known_makes_a_network_one_of_its_own() -> None:
    inputs = keras.Input((8, 8, 1))
    usual = keras.layers.Conv2D(4, 3)(inputs)
    assert stackable(keras.Model(inputs, keras.layers.Flatten()(usual)))
    assert not stackable(keras.Model(inputs, keras.layers.LayerNormalization()(usual)))
    assert not stackable(keras.Model(inputs, keras.layers.Conv2D(4, 3, dilation_rate=2)(inputs)))
