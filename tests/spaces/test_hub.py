"""Presets of keras-hub: folders are read without it, by name it downloads them, and they compute what it computes."""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from spaces.backbones import BackboneError, h5_file
from spaces.backbones.folder import FolderBackbone, opened
from spaces.backbones.hub import CLASSES, WEIGHTS
from spaces.backbones.hub_download import cached, download
from tests.spaces.hub import PRESETS, make_preset, scaled_images

INSTALLED = importlib.util.find_spec("keras_hub") is not None
by_kind = pytest.mark.parametrize("kind", PRESETS)


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    return keras


def pooled(backbone: FolderBackbone, scaled: NDArray[np.float32]) -> NDArray[np.float32]:
    """What the last map gives of scaled images, [images, width]."""
    mean, deviation = (np.array(values, np.float32) for values in backbone.scaling)
    pixels = (scaled * deviation + mean) * 255
    last = backbone.network(scaled.shape[1])(pixels, training=False)[-1]
    return np.asarray(np.asarray(last).mean(axis=(1, 2)))


# Folders


def test_there_is_a_preset_of_every_class_that_is_read() -> None:
    assert {kind.partition(",")[0] for kind in PRESETS} == {*CLASSES}


@by_kind
def test_a_preset_computes_what_keras_hub_computes(kind: str, keras: Any, tmp_path: Path) -> None:
    """The numbers are those of keras-hub 0.32, for the same arrays and images."""
    preset = make_preset(tmp_path / "net", kind)
    found = pooled(opened("net", tmp_path / "net"), scaled_images(preset["side"]))
    np.testing.assert_allclose(found, preset["pooled"], atol=1e-5)
    assert keras.backend.backend() == "tensorflow"


@pytest.mark.first(3)
@by_kind
def test_the_drawing_is_the_network_and_it_loads_in_keras_alone(kind: str, keras: Any, tmp_path: Path) -> None:
    make_preset(tmp_path / "net", kind)
    backbone = opened("net", tmp_path / "net")
    side = backbone.shape.side(32)
    network = backbone.network(side)
    assert sum(plate.parameters for plate in backbone.layers(side)) == network.count_params()
    network.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras", safe_mode=True)
    pixels = np.random.default_rng(2).uniform(0, 255, (1, side, side, 3)).astype(np.float32)
    for one, other in zip(network(pixels), again(pixels), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@pytest.mark.skipif(not INSTALLED, reason="keras-hub is not installed (extra hub)")
@by_kind
def test_what_keras_hub_writes_today_is_read(kind: str, keras: Any, tmp_path: Path) -> None:
    import keras_hub

    make_preset(tmp_path / "kept", kind)
    name = kind.partition(",")[0]
    if name == "SigLIPBackbone":
        pytest.skip("what is kept of it has no texts")
    network = getattr(keras_hub.models, name).from_config(dict(PRESETS[kind]["config"]["config"]))
    network.save_to_preset(str(tmp_path / "net"))
    images = scaled_images(PRESETS[kind]["side"])
    given = dict.fromkeys(network.input, images) if isinstance(network.input, dict) else images
    expected = np.asarray(network(given))
    if expected.ndim == 3:  # tokens, of which the first is the class token where there is one
        expected = expected.mean(axis=1) if name.startswith("Swin") else expected[:, 0]
    np.testing.assert_allclose(pooled(opened("net", tmp_path / "net"), images), expected, atol=1e-4)
    assert keras.backend.backend() == "tensorflow"


def test_pixels_are_scaled_as_the_converter_says_else_as_is_usual(tmp_path: Path) -> None:
    def scaling(name: str, scale: Any = None, offset: Any = None) -> Any:
        make_preset(tmp_path / name, "ViTBackbone", scale=scale, offset=offset)
        return opened("net", tmp_path / name).scaling

    assert scaling("a") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    np.testing.assert_allclose(scaling("b", 1 / 127.5, -1), [[0.5] * 3, [0.5] * 3])
    np.testing.assert_allclose(scaling("c", [1 / 255, 2 / 255, 4 / 255], [0, -1, -2]), [[0, 0.5, 0.5], [1, 0.5, 0.25]])
    np.testing.assert_allclose(scaling("d", 1 / 255), [[0] * 3, [1] * 3])
    for number, wrong in enumerate(([1, 2], "1", [1, 2, 1e9], True)):
        with pytest.raises(BackboneError, match="scale must be a number or three"):
            scaling(f"e{number}", wrong)
    with pytest.raises(BackboneError, match="scale must be above 0"):
        scaling("f", [1, 0, 1])


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("ViTBackbone", {"hidden_dim": 10**9}, "hidden_dim must be a whole number from 1 to 4096"),
        (
            "ViTBackbone",
            {"hidden_dim": 16},
            r"vi_t_patching_and_embedding/vars/0 has shape \(1, 1, 8\), and ViT of net",
        ),
        ("ViTBackbone", {"num_layers": 3}, "has no layers/vi_t_encoder/encoder_layers/vi_t_encoder_block_2/"),
        ("ViTBackbone", {"num_heads": 3}, "hidden_dim 8 is no multiple of num_heads 3"),
        ("ViTBackbone", {"patch_size": [16, 8]}, "patch_size must be as high as wide, got 16 and 8"),
        ("ViTBackbone", {"patch_size": "16"}, "patch_size must be a whole number from 4 to 64, got '16'"),
        ("ViTBackbone", {"image_shape": [32, 64, 3]}, "image_shape must be as high as wide, got 32 and 64"),
        ("ViTBackbone", {"image_shape": [64, 64, 3]}, r"position_embedding/vars/0 has shape \(5, 8\)"),
        ("ViTBackbone", {"use_class_token": False}, "use_class_token must be True, got False"),
        ("DINOV3Backbone", {"num_heads": 4}, "hidden_dim 8 by num_heads 4 must be a multiple of 4"),
        ("DINOV3Backbone", {"hidden_activation": "relu"}, "hidden_activation must be 'gelu' or 'silu', got 'relu'"),
        ("SigLIPBackbone", {"vision_encoder": 3}, "vision_encoder must be a configuration, got 3"),
        ("SwinTransformerBackbone", {"patch_norm": False}, "patch_norm must be True, got False"),
        ("SwinTransformerBackbone", {"window_size": 32, "patch_size": 32}, "need more than is built here"),
    ],
)
def test_what_a_preset_cannot_be_is_refused(kind: str, changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    make_preset(tmp_path / "net", kind)
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    config["config"] |= changes
    (tmp_path / "net" / "config.json").write_text(json.dumps(config))
    with pytest.raises(BackboneError, match=words):
        opened("net", tmp_path / "net")


def test_other_classes_and_folders_without_weights_are_refused(tmp_path: Path) -> None:
    make_preset(tmp_path / "net", "ViTBackbone")
    (tmp_path / "net" / WEIGHTS).rename(tmp_path / "net" / "other.weights.h5")
    with pytest.raises(BackboneError, match=r"model.weights.h5 is missing; a preset of keras-hub"):
        opened("net", tmp_path / "net")
    (tmp_path / "net" / "config.json").write_text('{"class_name": "BertBackbone", "config": {}}')
    with pytest.raises(BackboneError, match="is a BertBackbone of keras-hub; read are ViTBackbone, DINOV2Backbone, "):
        opened("net", tmp_path / "net")


def test_whatever_decides_features_decides_the_checksum(tmp_path: Path) -> None:
    make_preset(tmp_path / "net", "ViTBackbone")
    first = opened("net", tmp_path / "net")
    (tmp_path / "net" / "image_converter.json").write_text('{"config": {"scale": 1.0}}')
    assert opened("net", tmp_path / "net").sha256 != first.sha256
    with pytest.raises(BackboneError, match="has changed: its SHA-256 begins with"):
        first.network(32)


def test_arrays_that_are_packed_or_elsewhere_are_not_read(tmp_path: Path) -> None:
    """What is packed could need far more memory than the file has bytes."""
    import h5py

    make_preset(tmp_path / "net", "ViTBackbone")
    name = "layers/vi_t_encoder/layer_norm/vars/0"
    with h5py.File(tmp_path / "net" / WEIGHTS, "r+") as file:
        del file[name]
        file.create_dataset(name, data=np.zeros(8, np.float32), compression="gzip", chunks=(8,))
    backbone = opened("net", tmp_path / "net")
    with pytest.raises(BackboneError, match=f"{name} is packed"):
        backbone.network(32)
    with pytest.raises(BackboneError, match="counter/vars/0 is packed, or is of whole numbers"):
        h5_file.read(tmp_path / "net" / WEIGHTS, ["layers/counter/vars/0"])
    with h5py.File(tmp_path / "net" / WEIGHTS, "r+") as file:
        file["elsewhere"] = h5py.ExternalLink("other.h5", "/")
    with pytest.raises(BackboneError, match="leads elsewhere"):
        opened("net", tmp_path / "net")


# By name


def test_a_preset_that_is_there_is_not_downloaded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    make_preset(tmp_path / "models" / "hub" / "vit_tiny", "ViTBackbone")
    assert download("hub:vit_tiny") == cached("vit_tiny") == tmp_path / "models" / "hub" / "vit_tiny"
    assert opened("vit_tiny", download("hub:vit_tiny")).title == "ViT of vit_tiny"


@pytest.mark.skipif(INSTALLED, reason="keras-hub is installed, and would look for the preset in the network")
def test_without_keras_hub_it_is_said_how_to_get_it() -> None:
    with pytest.raises(
        BackboneError, match=r"hub:vit_tiny is downloaded by keras-hub, .* pip install 'keras-hub>=0.32'"
    ):
        download("hub:vit_tiny")


@pytest.mark.parametrize("given", ["hub:", "hub:../vit", "hub:ViT", "hub:-c", "hub:kaggle://x", f"hub:{'x' * 81}"])
def test_names_of_presets_are_plain(given: str) -> None:
    with pytest.raises(BackboneError, match="is no preset of keras-hub; it is written hub:NAME"):
        download(given)
