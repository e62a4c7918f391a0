"""Changes to a compiled Keras model from outside: each changes what it says, and the model still trains."""

from __future__ import annotations

import numpy as np
import pytest

from search.diagnosis.experiments import Edit
from search.worker.diagnosis_edits import edited
from tests.bench.faults import SIDE, network

X = np.random.default_rng(0).uniform(0, 1, (8, SIDE, SIDE, 1)).astype(np.float32)


def test_no_edit_leaves_the_model_as_it_is() -> None:
    model = network(2)
    assert edited(model, None, 2, 1) is model


def test_initial_weights_are_drawn_anew_from_the_seed_and_biases_stay() -> None:
    model, same = network(2, kernel_initializer="zeros"), network(2, kernel_initializer="zeros")
    for one in (model, same):
        edited(one, Edit("glorot"), 2, 7)
    for weight, again in zip(model.trainable_variables, same.trainable_variables, strict=True):
        np.testing.assert_array_equal(weight.numpy(), again.numpy())
        assert bool(weight.numpy().any()) == (len(weight.shape) > 1)
    kernels = [weight.numpy() for weight in model.trainable_variables if weight.shape == (32, 32)]
    assert all(0.1 < kernel.std() < 0.25 for kernel in kernels)


def test_dropout_is_off() -> None:
    model = edited(network(2, dropout=0.9), Edit("no dropout"), 2, 1)
    np.testing.assert_array_equal(model(X, training=True), model(X, training=False))


def test_penalties_are_gone_and_so_is_what_the_configuration_says_of_them() -> None:
    model = network(2, kernel_regularizer="l1", activity_regularizer="l2")
    model(X)
    assert model.losses
    edited(model, Edit("no penalty"), 2, 1)
    model(X)
    assert not model.losses
    assert all(layer.get_config().get("kernel_regularizer") is None for layer in model.layers)


def test_the_learning_rate_is_another_but_never_that_of_a_schedule() -> None:
    import keras

    assert float(edited(network(2), Edit("learning rate", 0.5), 2, 1).optimizer.learning_rate) == 0.5
    scheduled = network(2, optimizer=keras.optimizers.SGD(keras.optimizers.schedules.ExponentialDecay(0.1, 9, 0.9)))
    with pytest.raises(ValueError, match="its own schedule"):
        edited(scheduled, Edit("learning rate", 0.5), 2, 1)


def test_relu_becomes_leaky_and_dead_units_come_back() -> None:
    import keras

    model = network(2, bias_initializer=keras.initializers.Constant(-10.0))
    before = np.asarray(model(X))
    assert (before == before[0]).all()
    after = np.asarray(edited(model, Edit("leaky"), 2, 1)(X))
    assert not (after == after[0]).all()
    alive = edited(network(2, bias_initializer=keras.initializers.Constant(-10.0)), Edit("zero biases"), 2, 1)
    assert not (np.asarray(alive(X)) == np.asarray(alive(X))[0]).all()


@pytest.mark.parametrize(("units", "activation", "loss"), [(1, "sigmoid", "binary"), (2, "softmax", "categorical")])
def test_output_and_loss_are_made_to_fit(units: int, activation: str, loss: str) -> None:
    model = edited(network(2, units=units, output="linear", loss="mse"), Edit("fitting output"), 2, 1)
    assert model.layers[-1].activation.__name__ == activation
    assert loss in model.loss.name


def test_everything_is_trained() -> None:
    model = network(2)
    model.trainable = False
    assert len(edited(model, Edit("trainable"), 2, 1).trainable_variables) == len(model.variables)


@pytest.mark.parametrize(("scale", "again", "factor"), [(1.0, 1.0, 1 / 255), (1 / 255, 1 / 255, 255.0)])
def test_pixels_reach_the_first_layer_as_they_should(scale: float, again: float, factor: float) -> None:
    wrong, right = network(2, scale=scale, again=again), network(2, scale=1 / 255)
    right.set_weights(wrong.get_weights())
    mended = edited(wrong, Edit("scale", factor), 2, 1)
    np.testing.assert_allclose(mended(X * 255), right(X * 255), rtol=1e-4)
    assert mended.optimizer is wrong.optimizer


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_the_optimizer_is_another(kind: str) -> None:
    assert type(edited(network(2), Edit(kind), 2, 1).optimizer).__name__.lower() == kind
