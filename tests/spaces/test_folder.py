"""Networks in folders of Hugging Face: read without running anything, and they compute what the originals compute."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spaces.backbones import BackboneError
from spaces.backbones.folder import name_of, opened
from spaces.backbones.safetensors_file import header, read
from spaces.backbones.vision_transformer import VisionTransformer, cubic
from tests.spaces.hugging_face import CONFIGS, convnext, make_folder, packed, transformer

by_kind = pytest.mark.parametrize("kind", CONFIGS)


@pytest.fixture(scope="module")
def keras() -> Any:
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    return keras


# The network


@by_kind
def test_a_network_computes_what_its_weights_say(kind: str, keras: Any, tmp_path: Path) -> None:
    config = CONFIGS[kind]
    arrays = make_folder(tmp_path / "net", config, prefix="backbone." if kind == "convnext" else "")
    backbone, side = opened("net", tmp_path / "net"), config.get("image_size", 64)
    pixels = np.random.default_rng(1).integers(0, 256, (2, side, side, 3)).astype(np.float32)
    maps = [np.asarray(found) for found in backbone.network(side)(pixels, training=False)]
    mean, deviation = backbone.scaling
    scaled = (pixels / 255 - mean) / deviation
    if kind == "convnext":
        end, second = convnext(scaled, arrays, config["depths"])
        np.testing.assert_allclose(maps[-1][:, 0, 0], end, atol=1e-4)
        np.testing.assert_allclose(maps[1], second, atol=1e-3)
    else:
        token, patches, below = transformer(scaled, arrays, config)
        np.testing.assert_allclose(maps[-1][:, 0, 0], token, atol=1e-4)
        np.testing.assert_allclose(maps[-2].reshape(patches.shape), patches, atol=1e-4)
        np.testing.assert_allclose(maps[2].reshape(below.shape), below, atol=1e-3)
    assert keras.backend.backend() == "tensorflow"


@by_kind
@pytest.mark.parametrize("side", [64, 96])
def test_the_drawing_is_the_network_and_it_loads_in_keras_alone(
    kind: str, side: int, keras: Any, tmp_path: Path
) -> None:
    make_folder(tmp_path / "net", CONFIGS[kind])
    backbone = opened("net", tmp_path / "net")
    network, plates = backbone.network(side), backbone.layers(side)
    assert sum(plate.parameters for plate in plates) == network.count_params()
    assert [plate.shape for plate in plates[-len(backbone.widths) :]] == [found.shape[1:] for found in network.outputs]
    assert tuple(found.shape[-1] for found in network.outputs) == backbone.widths
    network.save(tmp_path / "net.keras")
    again = keras.saving.load_model(tmp_path / "net.keras", safe_mode=True)
    pixels = np.random.default_rng(2).uniform(0, 255, (1, side, side, 3)).astype(np.float32)
    for one, other in zip(network(pixels), again(pixels), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


@by_kind
def test_images_of_every_size_have_features(kind: str, tmp_path: Path) -> None:
    make_folder(tmp_path / "net", CONFIGS[kind])
    backbone = opened("net", tmp_path / "net")
    pixels = np.random.default_rng(3).integers(0, 256, (3, 9, 20, 1), dtype=np.uint8)
    for side in (64, 96):
        found = backbone.features(pixels, side)
        assert found.shape == (3, sum(backbone.widths))
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, backbone.features(pixels, side))


def test_positions_between_patches_are_those_of_bicubic_interpolation() -> None:
    """By hand: halfway between two of eight, -0.75 gives -3/32, 19/32, 19/32, -3/32; what is even stays even."""
    np.testing.assert_array_equal(cubic(5, 5, smooth=False), np.eye(5))
    np.testing.assert_allclose(
        cubic(8, 4, smooth=False)[1], [0, -3 / 32, 19 / 32, 19 / 32, -3 / 32, 0, 0, 0], atol=1e-12
    )
    for smooth in (False, True):
        for side in (3, 7, 20):
            np.testing.assert_allclose(cubic(8, side, smooth=smooth).sum(axis=1), 1)
    assert (cubic(16, 4, smooth=True)[2] != 0).sum() > 4, "antialiased: further ones count"


def test_a_transformer_resizes_to_the_nearest_multiple_of_its_patches(tmp_path: Path) -> None:
    make_folder(tmp_path / "net", CONFIGS["dinov2"])
    shape = opened("net", tmp_path / "net").shape
    assert isinstance(shape, VisionTransformer)
    assert [shape.side(side) for side in (64, 96, 128, 160, 192, 224)] == [70, 98, 126, 154, 196, 224]


# What a folder says


def test_pixels_are_scaled_as_the_folder_says_else_as_is_usual(tmp_path: Path) -> None:
    def scaling(name: str, kind: str, preprocessor: Any = None) -> Any:
        make_folder(tmp_path / name, CONFIGS[kind], preprocessor=preprocessor)
        return opened("net", tmp_path / name).scaling

    assert scaling("a", "vit") == ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert scaling("b", "dinov2") == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert scaling("c", "vit", {"image_mean": [0, 0.25, 1], "image_std": [1, 2, 3]}) == ((0, 0.25, 1), (1, 2, 3))
    assert scaling("d", "vit", {"do_normalize": False}) == ((0, 0, 0), (1, 1, 1))
    for number, wrong in enumerate(([1, 2], [1, 2, "3"], [1, 2, 1e9], "123", [1, 2, True])):
        with pytest.raises(BackboneError, match="image_mean must be three numbers"):
            scaling(f"e{number}", "vit", {"image_mean": wrong})
    with pytest.raises(BackboneError, match="image_std must be above 0"):
        scaling("f", "vit", {"image_std": [1, 0, 1]})


def test_whatever_decides_features_decides_the_checksum(tmp_path: Path) -> None:
    make_folder(tmp_path / "net", CONFIGS["vit"])
    first = opened("net", tmp_path / "net")
    assert opened("net", tmp_path / "net") == first
    (tmp_path / "net" / "preprocessor_config.json").write_text('{"image_mean": [0.1, 0.1, 0.1]}')
    changed = opened("net", tmp_path / "net")
    assert changed.sha256 != first.sha256
    with pytest.raises(BackboneError, match="has changed: its SHA-256 begins with"):
        first.network(64)
    assert first.bytes == (tmp_path / "net" / "model.safetensors").stat().st_size


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("vit", {"model_type": "bert"}, "is of type 'bert'; read are vit, dinov2, dinov2_with_registers, convnext"),
        ("vit", {"hidden_size": 10**9}, "hidden_size must be a whole number from 1 to 4096, got 1000000000"),
        ("vit", {"num_hidden_layers": True}, "num_hidden_layers must be a whole number from 1 to 64, got True"),
        ("vit", {"num_attention_heads": 5}, "hidden_size 24 is no multiple of num_attention_heads 5"),
        ("vit", {"hidden_act": "quick_gelu"}, "hidden_act must be 'gelu', got 'quick_gelu'; others are not built"),
        ("vit", {"num_channels": 1}, "num_channels must be 3, got 1"),
        ("vit", {"layer_norm_eps": "1"}, "layer_norm_eps must be a number from 0 to 1, got '1'"),
        ("dinov2", {"use_swiglu_ffn": True}, "use_swiglu_ffn must be False, got True"),
        ("dinov2", {"hidden_size": 48}, r"has shape \(1, 1, 24\), and DINOv2 of net needs \(1, 1, 48\)"),
        ("dinov2", {"num_hidden_layers": 4}, "has no encoder.layer.3."),
        ("convnext", {"depths": [1, 1]}, "hidden_sizes and depths must have four numbers each"),
        ("convnext", {"depths": 3}, "depths must be a list of 4 numbers"),
        ("convnext", {"hidden_sizes": [8, 12, 16, 0]}, "hidden_sizes must be a whole number from 1 to 4096, got 0"),
    ],
)
def test_what_a_folder_cannot_be_is_refused(kind: str, changes: dict[str, Any], words: str, tmp_path: Path) -> None:
    make_folder(tmp_path / "net", CONFIGS[kind])
    (tmp_path / "net" / "config.json").write_text(json.dumps({**CONFIGS[kind], **changes}))
    with pytest.raises(BackboneError, match=words):
        opened("net", tmp_path / "net")


def test_files_that_are_missing_or_no_json_are_named(tmp_path: Path) -> None:
    make_folder(tmp_path / "net", CONFIGS["vit"])
    (tmp_path / "net" / "model.safetensors").rename(tmp_path / "net" / "pytorch_model.bin")
    with pytest.raises(BackboneError, match=r"model.safetensors is missing; only weights in the format safetensors"):
        opened("net", tmp_path / "net")
    for text in ("{", "[" * 100_000, "[]", "3"):
        (tmp_path / "net" / "config.json").write_text(text)
        with pytest.raises(BackboneError, match=r"config.json is no "):
            opened("net", tmp_path / "net")
    with pytest.raises(BackboneError, match="cannot be read: No such file"):
        opened("net", tmp_path / "other")


def test_names_are_made_from_folders(tmp_path: Path) -> None:
    names = {
        "DINOv2-small": "dinov2_small",
        "14": "folder_14",
        "vgg16": "vgg16_folder",
        "ä": "folder",
        "x" * 60: "x" * 30,
    }
    assert {folder: name_of(tmp_path / folder, ("vgg16",)) for folder in names} == names


# The format


SIX = np.arange(6, dtype=np.float32)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_arrays_are_read_in_every_type(tmp_path: Path) -> None:
    halves = (SIX.view("<u4") >> 16).astype(np.uint16)  # these six are exact in BF16
    path = written(tmp_path / "x", packed({"a": SIX.reshape(2, 3), "b": SIX.astype(np.float16), "c": halves}))
    found = read(path, header(path))
    assert {name: array.shape for name, array in found.items()} == {"a": (2, 3), "b": (6,), "c": (6,)}
    for array in found.values():
        assert array.dtype == np.float32
        np.testing.assert_array_equal(array.ravel(), SIX)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"dtype": "F32", "shape": [6], "data_offsets": [0, 20]}, "do not agree"),
        ({"dtype": "F32", "shape": [7], "data_offsets": [0, 28]}, "cannot be right"),
        ({"dtype": "F32", "shape": [10**30], "data_offsets": [0, 24]}, "cannot be right"),
        ({"dtype": "F32", "shape": [-6], "data_offsets": [0, 24]}, "cannot be right"),
        ({"dtype": "F32", "shape": [True, 6], "data_offsets": [0, 24]}, "cannot be right"),
        ({"dtype": "F32", "shape": [6], "data_offsets": [24, 0]}, "do not agree"),
        ({"dtype": "F32", "shape": [5], "data_offsets": [4, 24]}, "overlap, or leave bytes over"),
        ({"dtype": "F32", "shape": [5], "data_offsets": [0, 20]}, "have 20 bytes, and the file has 24"),
        ({"dtype": "I64", "shape": [3], "data_offsets": [0, 24]}, "numbers of type I64; read are F32, F16, BF16"),
        ({"dtype": "F32", "shape": [1] * 9, "data_offsets": [0, 4]}, "cannot be right"),
        ({"dtype": "F32"}, "cannot be right"),
        (3, "cannot be right"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(entry: Any, words: str, tmp_path: Path) -> None:
    path = written(tmp_path / "x", packed({"a": SIX}, a=entry))
    with pytest.raises(BackboneError, match=words):
        header(path)


def test_a_file_that_is_cut_short_or_is_no_such_file_is_refused(tmp_path: Path) -> None:
    whole = packed({"a": SIX})
    for size in range(len(whole)):
        with pytest.raises(BackboneError):
            header(written(tmp_path / "x", whole[:size]))
    for other in (whole + b"x", (10**18).to_bytes(8, "little") + whole, b"\xff" * 8 + whole, b"PK\x03\x04" * 9):
        with pytest.raises(BackboneError):
            header(written(tmp_path / "x", other))
    both = {name: {"dtype": "F32", "shape": [6], "data_offsets": [0, 24]} for name in "ab"}
    with pytest.raises(BackboneError, match="overlap"):
        header(written(tmp_path / "x", packed({"a": SIX}, **both)))
    path = written(tmp_path / "x", whole)
    tensors = header(path)
    with pytest.raises(BackboneError, match="cannot be read"):
        read(written(path, whole[:-4]), tensors)
