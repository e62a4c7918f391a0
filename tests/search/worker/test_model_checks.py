"""Static checks: what they say of models that people build, before the first step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from search.study.prepared import Prepared
from search.worker.model_checks import fatal, findings
from search.worker.outputs import output_activation
from spaces.compiling import loss_name
from spaces.presets import FAMILIES
from tests.bench.faults import network

if TYPE_CHECKING:
    import keras


def said(model: keras.Model, images: int = 100, batch_size: int = 16) -> dict[str, bool]:
    """Name of each finding -> whether it is fatal."""
    return {cause.name: cause.fatal for cause in findings(model, model.loss, images=images, batch_size=batch_size)}


def test_a_sound_model_has_no_findings() -> None:
    assert said(network(2)) == {}
    assert fatal(findings(network(3), None, images=100, batch_size=16)) is None


@pytest.mark.parametrize(
    ("changes", "finding"),
    [
        ({"units": 1, "output": "softmax"}, "softmax on one unit"),
        ({"units": 1, "output": "sigmoid", "loss": "categorical_crossentropy"}, "loss does not fit the labels"),
        ({"output": "linear", "loss": "categorical_crossentropy"}, "loss does not fit the output"),
        ({"output": "relu", "loss": "sparse_categorical_crossentropy"}, "loss does not fit the output"),
    ],
)
def test_a_loss_that_does_not_fit_makes_training_meaningless(changes: dict[str, Any], finding: str) -> None:
    model = network(2, **changes)
    assert said(model) == {finding: True}
    told = fatal(findings(model, model.loss, images=100, batch_size=16))
    assert told is not None and told.startswith(f"{finding}: ")


def test_logits_are_fine_where_the_loss_takes_them() -> None:
    import keras

    assert said(network(2, output="linear", loss=keras.losses.CategoricalCrossentropy(from_logits=True))) == {}
    twice = network(2, loss=keras.losses.CategoricalCrossentropy(from_logits=True))
    assert said(twice) == {"from_logits with probabilities": False}


def test_a_sigmoid_over_classes_is_worth_a_word() -> None:
    assert said(network(2, output="sigmoid", loss="categorical_crossentropy")) == {
        "loss does not fit the output": False
    }


def test_nothing_to_train_is_fatal() -> None:
    import keras

    frozen = network(2)
    frozen.trainable = False
    assert said(frozen) == {"nothing is trainable": True}
    inputs = keras.Input((2,))
    weightless = keras.Model(inputs, keras.layers.Softmax()(inputs))
    assert said(weightless) == {"nothing is trainable": True}


def test_scaling_twice_is_said_but_not_once_nor_to_another_range() -> None:
    import keras

    def scaled(*scales: float) -> keras.Model:
        layers = [keras.layers.Rescaling(scale) for scale in scales]
        return keras.Sequential(
            [keras.Input((8, 8, 1)), *layers, keras.layers.Flatten(), keras.layers.Dense(2, activation="softmax")]
        )

    assert said(scaled(1 / 255)) == {}
    assert said(scaled(1 / 255, 2.0)) == {}
    assert said(scaled(1 / 255, 1 / 255)) == {"inputs scaled twice": False}


def test_a_last_batch_of_one_matters_with_batch_normalisation() -> None:
    import keras

    layers = [keras.layers.Flatten(), keras.layers.BatchNormalization(), keras.layers.Dense(2, activation="softmax")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *layers])
    assert said(model, images=97) == {"a batch of one": False}
    assert said(model, images=98) == {}
    assert said(network(2), images=97) == {}


def test_far_more_parameters_than_images_are_worth_a_word() -> None:
    model = network(2)
    assert said(model, images=model.count_params() // 1000 - 1) == {"parameters many times the images": False}


def test_pooling_is_advised_only_where_a_flatten_is_to_give_way_to_it() -> None:
    import keras

    def advised(reduced: keras.layers.Layer, *, nested: bool = False) -> str:
        body = [keras.layers.Conv2D(64, 3), reduced]
        layers = [keras.Sequential([keras.Input((8, 8, 1)), *body])] if nested else body
        model = keras.Sequential([keras.Input((8, 8, 1)), *layers, keras.layers.Dense(2, activation="softmax")])
        (cause,) = findings(model, model.loss, images=0, batch_size=4)
        return cause.change

    pooled = "GlobalAveragePooling2D instead of Flatten, or fewer units or filters"
    assert advised(keras.layers.Flatten()) == advised(keras.layers.Flatten(), nested=True) == pooled
    assert advised(keras.layers.GlobalAveragePooling2D()) == "fewer units or filters"


def test_output_and_loss_are_named_however_they_were_given() -> None:
    import keras

    assert output_activation(network(2)) == "softmax"
    inputs = keras.Input((2,))
    assert output_activation(keras.Model(inputs, keras.layers.Softmax()(keras.layers.Dense(2)(inputs)))) == "softmax"
    assert output_activation(keras.Model(inputs, keras.layers.Dense(2)(inputs))) == "linear"
    assert output_activation(keras.Model(inputs, inputs[:, :1])) == ""
    assert loss_name(None) == ""
    assert loss_name("MSE") == "mse"
    assert loss_name(keras.losses.BinaryCrossentropy()) == "binary_crossentropy"


@pytest.mark.parametrize("family", ["cnn", "question"])
def test_no_point_of_a_preset_is_refused_by_them(prepared: Prepared, family: str) -> None:
    space = FAMILIES[family].space(prepared.facts)
    for seed in range(5):
        model = _built(family, space.sample(np.random.default_rng(seed)), prepared)
        assert model is None or fatal(findings(model, model.loss, images=15, batch_size=4)) is None


def _built(family: str, params: Any, prepared: Prepared) -> keras.Model | None:
    try:
        return FAMILIES[family].build(params, prepared.facts)
    except ValueError:  # a point that gives no model
        return None


def scaled_names(scaled: Any) -> list[str]:
    """What is found of a network behind `scaled`, a tensor or a function of the input, about its pixels."""
    import keras

    inputs = keras.Input((32, 32, 3))
    x = scaled(inputs)
    x = keras.layers.GlobalAveragePooling2D()(x) if len(x.shape) == 4 else x
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(x))
    return [cause.name for cause in findings(model, None, images=20, batch_size=4) if "scaled" in cause.name]


def test_pixels_divided_again_inside_of_a_nested_backbone_are_found() -> None:
    import keras

    layers = keras.layers

    def backbone() -> keras.Model:
        inner = keras.Input((32, 32, 3))
        return keras.Model(inner, layers.Conv2D(4, 3)(layers.Rescaling(1 / 255)(inner)))

    assert scaled_names(lambda x: backbone()(layers.Rescaling(1 / 255)(x))) == ["inputs scaled twice"]
    assert scaled_names(backbone()) == []
    assert scaled_names(lambda x: layers.Concatenate()([backbone()(x), backbone()(x)])) == []
    efficient = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(32, 32, 3))
    assert scaled_names(lambda x: efficient(layers.Rescaling(1 / 255)(x))) == ["inputs scaled twice"]
    assert scaled_names(efficient) == []
