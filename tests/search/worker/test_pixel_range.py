"""Which range of pixels a custom model is given: the one that its own operations make sensible numbers of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from search.jobs import FoldJob, WorkerContext
from search.study.prepared import Prepared
from search.worker.worker import Worker
from tests.search.worker.conftest import shipped, worker_for
from tests.search.worker.test_trainer import fold_job, trained

APPLICATIONS = {
    "mobilenet": 255,
    "mobilenet_v2": 255,
    "inception_v3": 255,
    "xception": 255,
    "resnet_v2": 255,
    "nasnet": 255,
    "resnet50": 255,
    "vgg16": 255,
    "vgg19": 255,
    "densenet": 255,
    "efficientnet": 1,  # these leave scaling to a layer of their network, which is not there
    "mobilenet_v3": 1,
    "convnext": 1,
}

OPERATIONS = {
    "x": 1,
    "x / 255.0": 255,
    "x / 127.5 - 1": 255,
    "(x - 127.5) / 127.5": 255,
    "x - 128": 255,
    "ops.clip(x, 0, 255) / 256": 255,
    "1 - x / 255": 255,
    "x * 2 - 1": 1,
    "x - 0.5": 1,
    "(x - 0.449) / 0.226": 1,
    "1 - x": 1,
    "keras.applications.resnet50.preprocess_input(x * 255)": 1,
    "layers.Lambda(lambda p: p / 255)(x)": 255,
    "layers.Lambda(lambda p: (p - 0.5) / 0.5)(x)": 1,
    "layers.AveragePooling2D(2)(x) / 255": 255,
    "layers.ZeroPadding2D(1)(layers.RandomRotation(0.1)(x)) / 127.5 - 1": 255,
    "layers.RandomContrast(0.5)(x, training=True) / 255": 255,
    "keras.Sequential([keras.Input((16, 16, 3)), layers.RandomFlip(), layers.Lambda(lambda p: p / 255)])(x)": 255,
    "keras.Model(i, i / 127.5 - 1)(layers.RandomZoom(0.2)(x))": 255,
    "layers.Rescaling(1 / 255)(x)": 255,
    "layers.Normalization(mean=0.4, variance=0.1)(x)": 1,
    "layers.Normalization(mean=[0.485, 0.456, 0.406], variance=[0.0524, 0.0502, 0.0506])(x)": 1,
    "layers.Normalization(mean=[123.7, 116.3, 103.5], variance=[3409.0, 3264.0, 3291.0])(x)": 255,
    "layers.Normalization(mean=0.4, variance=0.1)(layers.Rescaling(1 / 255)(x))": 255,
    "layers.Normalization()(x)": 255,
    "layers.Rescaling(2.0, -1)(x / 255)": 255,
    "layers.Add()([x, layers.Rescaling(0.1)(layers.Conv2D(3, 1)(x))])": 1,  # of a residual, not of pixels
    "layers.BatchNormalization()(x)": 1,
    "layers.BatchNormalization()(x / 255)": 255,
}


def range_of(scaling: str) -> int:
    """Of a small network behind these operations."""
    import keras
    from keras import layers, ops

    from search.worker.pixel_range import pixel_range

    i = keras.Input((16, 16, 3))
    scaled = eval(scaling, {"keras": keras, "layers": layers, "ops": ops, "x": i, "i": i})  # noqa: S307 - texts above
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(scaled))
    return pixel_range(keras.Model(i, layers.Dense(2, "softmax")(x))).largest


@pytest.mark.parametrize("module", APPLICATIONS)
def test_the_scaling_of_each_network_of_keras_applications_is_recognized(module: str) -> None:
    assert range_of(f"keras.applications.{module}.preprocess_input(x)") == APPLICATIONS[module]


@pytest.mark.parametrize("scaling", OPERATIONS)
def test_arithmetic_lambdas_and_nested_models_are_recognized(scaling: str) -> None:
    assert range_of(scaling) == OPERATIONS[scaling]


def test_the_scaling_inside_of_a_nested_backbone_is_found_and_its_own_rescaling_too() -> None:
    import keras
    from keras import layers

    from search.worker.pixel_range import pixel_range

    def behind(backbone: keras.Model) -> keras.Model:
        i = keras.Input((32, 32, 3))
        return keras.Model(i, layers.Dense(2, "softmax")(layers.GlobalAveragePooling2D()(backbone(i))))

    inner = keras.Input((32, 32, 3))
    scaled = keras.applications.mobilenet_v2.preprocess_input(inner)
    own = keras.Model(inner, layers.Conv2D(4, 3)(scaled))
    efficient = keras.applications.EfficientNetB0(weights=None, include_top=False, input_shape=(32, 32, 3))
    assert pixel_range(behind(own)).largest == 255
    assert pixel_range(behind(efficient)).largest == 255
    assert pixel_range(behind(efficient)).note is None


def test_looking_changes_no_random_state_of_the_model() -> None:
    import keras
    from keras import layers

    from search.worker.pixel_range import pixel_range

    i = keras.Input((8, 8, 3))
    turned = layers.RandomRotation(0.1, seed=1)(i, training=True)
    model = keras.Model(i, layers.Dense(2, "softmax")(layers.Flatten()(layers.GaussianNoise(0.1, seed=2)(turned))))
    before = [variable.numpy().tolist() for variable in model.variables]
    pixel_range(model)
    assert [variable.numpy().tolist() for variable in model.variables] == before


BUILD = """
import keras
from keras import layers


def build(hp):
    i = keras.Input((8, 8, 3))
    x = layers.RandomContrast(0.1, seed=1)(i)
    x = SCALED
    x = layers.Dense(16, "relu")(layers.Flatten()(x))
    model = keras.Model(i, layers.Dense(3, "softmax")(x))
    model.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy")
    return model
"""


@pytest.fixture
def built(three_classes: tuple[Prepared, WorkerContext], tmp_path: Path) -> Callable[[str], tuple[Worker, FoldJob]]:
    prepared, context = three_classes
    job = replace(fold_job(prepared, max_epochs=12, use_last_epoch=True), params={"batch_size": 4})
    return lambda scaled: (worker_for(BUILD.replace("SCALED", scaled), context, tmp_path), job)


@pytest.mark.first(2)
@pytest.mark.parametrize(
    ("scaled", "given", "made"),
    [
        ("keras.applications.mobilenet_v2.preprocess_input(x)", "0..255", "-1..1"),
        ("x / 127.5 - 1", "0..255", "-1..1"),
        ("x / 255", "0..255", "0..1"),
        ("x * 2 - 1", "0..1", "-1..1"),
    ],
)
def test_what_scales_itself_learns_like_its_twin_says_so_and_is_shipped_so(
    built: Callable[[str], tuple[Worker, FoldJob]], tmp_path: Path, scaled: str, given: str, made: str
) -> None:
    worker, job = built(scaled)
    result = trained(worker, job)
    assert result.scores["accuracy"] > 0.9
    assert result.notes == (
        f"before training, net.py:build: pixels are given as {given}: the model scales them itself, to {made} before "
        "its first layer with weights",
    )
    np.testing.assert_allclose(shipped(worker, job, tmp_path), result.probabilities, atol=1e-5)


def test_pixels_less_a_mean_are_not_called_unscaled(built: Callable[[str], tuple[Worker, FoldJob]]) -> None:
    worker, job = built("keras.applications.resnet50.preprocess_input(x)")
    (note,) = trained(worker, job).notes
    assert "pixels are given as 0..255" in note and "-124..151" in note


def test_the_old_rules_hold_where_nothing_is_scaled_or_a_layer_scales(
    built: Callable[[str], tuple[Worker, FoldJob]],
) -> None:
    for scaled in ("x", "layers.Rescaling(1 / 255)(x)"):
        worker, job = built(scaled)
        assert trained(worker, job).notes == ()
