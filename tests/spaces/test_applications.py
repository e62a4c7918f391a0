"""Backbones of keras.applications: tables are networks, inputs are scaled as trained, and only weights are read."""

from __future__ import annotations

import math
import os
import pickle
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

from spaces.backbones import BackboneError
from spaces.backbones.applications import (
    ARCHITECTURES,
    Application,
    cached,
    download,
    fingerprint,
    opened,
    untrained,
    with_depthwise,
)
from spaces.backbones.h5_file import SIGNATURE, shapes

by_name = pytest.mark.parametrize("name", ARCHITECTURES)


@pytest.fixture(scope="module")
def keras() -> Any:
    """Keras, imported once and when it is needed: it takes seconds."""
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    return keras


@cache
def described(name: str) -> tuple[Any, Any]:
    """The network without memory for its weights, which would take seconds to draw."""
    import keras

    with keras.StatelessScope(initialize_variables=False):
        return untrained(name, 64)


# The networks


@by_name
def test_the_table_is_the_network_that_keras_builds(keras: Any, name: str) -> None:
    whole, maps = described(name)
    architecture = ARCHITECTURES[name]
    assert whole.count_params() == maps.count_params() == architecture.parameters
    assert fingerprint(sorted(tuple(weight.shape) for weight in whole.weights)) == architecture.shapes
    assert [found.shape[-1] for found in maps.outputs] == [stage.width for stage in architecture.stages]
    assert maps.outputs[-1] is whole.outputs[0], "the top map is what Keras gives without classes"
    assert all(layer.trainable for layer in maps.layers)
    assert keras.backend.backend() == "tensorflow"


@by_name
def test_the_drawing_has_a_plate_for_each_map(keras: Any, name: str) -> None:
    _, maps = described(name)
    drawn = Application(name, "", (), "", 0, Path()).layers(64)
    assert [layer.shape for layer in drawn[1:]] == [tuple(found.shape[1:]) for found in maps.outputs]
    assert sum(layer.parameters for layer in drawn) == ARCHITECTURES[name].parameters
    assert keras.backend.backend() == "tensorflow"


def published(keras: Any, name: str) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """How the network's own documentation says that its input is scaled."""
    mean, deviation = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    return {
        "convnext_tiny": lambda x: (x / 255 - mean) / deviation,
        "convnext_base": lambda x: (x / 255 - mean) / deviation,
        "efficientnetv2_b0": lambda x: (x / 255 - mean) / deviation,
        "efficientnetv2_s": lambda x: x / 128 - 1,
        "mobilenetv3_large": lambda x: x / 127.5 - 1,
        "densenet121": lambda x: keras.applications.densenet.preprocess_input(x.copy()),
        "resnet50v2": lambda x: keras.applications.resnet_v2.preprocess_input(x.copy()),
        "vgg16": lambda x: keras.applications.vgg16.preprocess_input(x.copy()),
    }[name]


@by_name
def test_pixels_are_scaled_as_the_network_was_trained(keras: Any, name: str) -> None:
    whole, _ = described(name)
    scaling = (keras.layers.InputLayer, keras.layers.Rescaling, keras.layers.Normalization)
    scaled = None
    for operation in whole.operations:
        if not isinstance(operation, scaling) and type(operation).__name__ != "Flip":
            break
        scaled = operation.output
    pixels = np.random.default_rng(2).integers(0, 256, (2, 64, 64, 3)).astype(np.float32)
    found = np.asarray(keras.Model(whole.inputs[0], scaled)(pixels))
    np.testing.assert_allclose(found, published(keras, name)(pixels), rtol=1e-4, atol=1e-4)


# Weights from a file


def test_a_file_that_keras_wrote_gives_what_keras_sees(keras: Any, weights: Path) -> None:
    backbone = opened("mobilenetv3_large", weights)
    assert backbone.widths == (16, 24, 40, 80, 112, 160, 960)
    pixels = np.random.default_rng(3).integers(0, 256, (2, 64, 64, 3), dtype=np.uint8)
    found = backbone.features(pixels, 64)
    means = sum(backbone.widths)
    assert found.shape == (2, means + 40)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, backbone.features(pixels, 64))
    whole = keras.applications.MobileNetV3Large(include_top=False, weights=str(weights), input_shape=(64, 64, 3))
    expected = np.asarray(whole(pixels.astype(np.float32), training=False)).mean(axis=(1, 2))
    np.testing.assert_allclose(found[:, means - 960 : means], expected, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(
        backbone.features(pixels, 64, mirrored=True), backbone.features(pixels[:, :, ::-1], 64), rtol=1e-3, atol=1e-6
    )
    grey = backbone.features(pixels[:, :9, :9, :1], 64)
    np.testing.assert_array_equal(grey, backbone.features(np.repeat(pixels[:, :9, :9, :1], 3, axis=-1), 64))


def test_a_file_fits_where_the_scaling_stands_in_front(keras: Any, tmp_path: Path) -> None:
    path = tmp_path / "vgg.weights.h5"
    whole = keras.applications.VGG16(include_top=False, weights=None, input_shape=(32, 32, 3))
    whole.save_weights(path)
    pixels = np.random.default_rng(3).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    expected = np.asarray(whole(published(keras, "vgg16")(pixels)))
    network = opened("vgg16", path).network(32)
    np.testing.assert_allclose(np.asarray(network(pixels)[-1]), expected, rtol=1e-4, atol=1e-4)


def test_the_older_format_fits_too_and_its_configuration_is_not_looked_at(
    keras: Any, weights: Path, tmp_path: Path
) -> None:
    """As Keras's own downloads are."""
    path = tmp_path / "old.h5"
    whole = keras.applications.MobileNetV3Large(include_top=False, weights=str(weights), input_shape=(64, 64, 3))
    whole.save(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = '{"class_name": "Lambda", "config": {"function": "no"}}'
    network = opened("mobilenetv3_large", path).network(64)
    for variable, expected in zip(network.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(variable), np.asarray(expected))
    renamed = shutil.copy(path, tmp_path / "old.weights.h5")
    with pytest.raises(BackboneError, match=r"is in the older format, so its name must end in \.h5 but not in"):
        opened("mobilenetv3_large", Path(renamed))


def test_a_file_that_changes_afterwards_is_not_loaded(weights: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(weights, tmp_path / "x.weights.h5"))
    backbone = opened("mobilenetv3_large", path)
    with h5py.File(path, "r+") as file:
        file["layers/conv2d/vars/0"][...] += 1
    with pytest.raises(BackboneError, match="has changed: its SHA-256 begins with "):
        backbone.network(32)


def test_another_network_is_told_by_its_weights(weights: Path) -> None:
    with pytest.raises(
        BackboneError,
        match=r"has 2,996,352 weights, and VGG16 without its classes \(include_top=False\) has 14,714,688$",
    ):
        opened("vgg16", weights)


def test_the_same_number_of_weights_in_other_arrays_is_another_network(tmp_path: Path) -> None:
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/dense/vars/0", (ARCHITECTURES["mobilenetv3_large"].parameters,), "f4", chunks=True)
    with pytest.raises(BackboneError, match="has arrays of other shapes than MobileNetV3-Large"):
        opened("mobilenetv3_large", path)


def test_convolutions_of_one_channel_each_become_depthwise_ones_that_say_the_same(keras: Any) -> None:
    inputs = keras.Input((9, 9, 4))
    x = keras.layers.Conv2D(4, 3, strides=2, padding="same", groups=4, activation="relu", name="grouped")(inputs)
    x = x + keras.layers.Conv2D(4, 1, name="plain")(x)
    network = keras.Model(inputs, [x, keras.layers.LayerNormalization()(x)], name="small")
    for variable in network.weights:
        variable.assign(np.random.default_rng(len(variable.path)).normal(size=variable.shape))
    quick = with_depthwise(network)
    assert type(quick.get_layer("grouped")).__name__ == "DepthwiseConv2D"
    assert quick.count_params() == network.count_params()
    pixels = np.random.default_rng(5).normal(size=(2, 9, 9, 4)).astype(np.float32)
    for found, expected in zip(quick(pixels), network(pixels), strict=True):
        np.testing.assert_allclose(np.asarray(found), np.asarray(expected), rtol=1e-4, atol=1e-5)
    assert with_depthwise(quick) is quick, "nothing is left to change"


# Files that are something else


@pytest.mark.parametrize("name", ["model.keras", "weights.pth", "weights.pkl", "weights.npz", "weights"])
def test_no_other_kind_of_file_is_read(tmp_path: Path, name: str) -> None:
    marker = tmp_path / "ran"
    (tmp_path / name).write_bytes(pickle.dumps(_Bomb(f"touch {marker}")))
    with pytest.raises(BackboneError, match=r"must be a file of weights, named \.weights\.h5 or \.h5; nothing else"):
        opened("vgg16", tmp_path / name)
    (tmp_path / "it.weights.h5").write_bytes((tmp_path / name).read_bytes())
    with pytest.raises(BackboneError, match="is not an HDF5 file, whatever its name says"):
        opened("vgg16", tmp_path / "it.weights.h5")
    assert not marker.exists()


class _Bomb:
    """Runs a command in whoever unpickles it."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (self.command,)


def _link(file: Any) -> None:
    file["layers"] = h5py.ExternalLink("elsewhere.h5", "/layers")


def _soft(file: Any) -> None:
    file["layers"] = h5py.SoftLink("/other")


def _external(file: Any) -> None:
    file.create_dataset("w", (4,), "f4", external=[("passwords", 0, 16)])


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "w", (4,))
    file.create_virtual_dataset("w", layout)


def _text(file: Any) -> None:
    file["w"] = "text"


def _circle(file: Any) -> None:
    file.create_group("a")["again"] = file


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (_link, "leads elsewhere (a link at 'layers'); it is not read"),
        (_soft, "leads elsewhere (a link at 'layers'); it is not read"),
        (_external, "leads elsewhere (an array in another file); it is not read"),
        (_virtual, "leads elsewhere (an array in another file); it is not read"),
        (_text, "holds something other than numbers ('w'); it is not read"),
        (_circle, "holds more groups and arrays than any file of weights"),
    ],
)
def test_a_file_that_leads_elsewhere_or_holds_something_else_is_refused(
    tmp_path: Path, made: Callable[[Any], None], words: str
) -> None:
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        made(file)
    with pytest.raises(BackboneError) as refused:
        opened("vgg16", path)
    assert str(refused.value) == f"{path} {words}"


def test_arrays_larger_than_any_memory_are_counted_and_not_read(tmp_path: Path) -> None:
    path = tmp_path / "x.weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("w", (2**40, 2**10), "f4", chunks=(1024, 1024))
    assert [math.log2(math.prod(shape)) for shape in shapes(path)] == [50]
    with pytest.raises(BackboneError, match="has 1,125,899,906,842,624 weights, and VGG16"):
        opened("vgg16", path)


def test_a_damaged_file_is_refused_in_a_sentence(weights: Path, tmp_path: Path) -> None:
    whole = weights.read_bytes()
    for number, content in enumerate((SIGNATURE, whole[: len(whole) // 2], SIGNATURE + os.urandom(4000))):
        path = tmp_path / f"{number}.weights.h5"
        path.write_bytes(content)
        with pytest.raises(BackboneError) as refused:
            opened("mobilenetv3_large", path)
        assert str(refused.value).startswith(f"{path} is damaged: ")
        assert "\n" not in str(refused.value)


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.h5")
    (tmp_path / "folder.h5").mkdir()
    for name in ("pipe.h5", "folder.h5"):
        with pytest.raises(BackboneError, match=f"{name} is not a file$"):
            opened("vgg16", tmp_path / name)
    with pytest.raises(BackboneError, match=r"gone\.h5 cannot be read: No such file"):
        opened("vgg16", tmp_path / "gone.h5")


def test_what_keras_has_downloaded_is_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    assert cached("convnext_tiny") == tmp_path / "models" / "convnext_tiny_notop.h5"
    cached("convnext_tiny").parent.mkdir()
    cached("convnext_tiny").touch()
    assert download("convnext_tiny") == cached("convnext_tiny")
