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
from spaces.backbones.swin import Swin
from spaces.backbones.vision_transformer import VisionTransformer, resampling
from tests.spaces.hugging_face import CONFIGS, computed, make_folder, packed

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
    config, prefix = CONFIGS[kind], {"convnext": "backbone.", "siglip": "vision_model."}.get(kind, "")
    arrays = make_folder(tmp_path / "net", config, prefix=prefix)
    backbone, side = opened("net", tmp_path / "net"), config.get("image_size", 64)
    pixels = np.random.default_rng(1).integers(0, 256, (2, side, side, 3)).astype(np.float32)
    maps = [np.asarray(found) for found in backbone.network(side)(pixels, training=False)]
    mean, deviation = backbone.scaling
    for number, expected in computed((pixels / 255 - mean) / deviation, arrays, config).items():
        np.testing.assert_allclose(maps[number].reshape(expected.shape), expected, atol=1e-3, err_msg=f"map {number}")
    assert keras.backend.backend() == "tensorflow"


@pytest.mark.first(6)
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


@pytest.mark.first(3)
@by_kind
def test_images_of_every_size_have_features(kind: str, tmp_path: Path) -> None:
    make_folder(tmp_path / "net", CONFIGS[kind])
    backbone = opened("net", tmp_path / "net")
    pixels = np.random.default_rng(3).integers(0, 256, (3, 9, 20, 1), dtype=np.uint8)
    for side in (64, 96):
        found = backbone.features(pixels, side)
        assert found.shape == (3, sum(backbone.widths) + backbone.widths[1])
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found, backbone.features(pixels, side))


def test_positions_between_patches_are_those_of_interpolation() -> None:
    """By hand: halfway between two of eight, -0.75 gives -3/32, 19/32, 19/32, -3/32; what is even stays even.

    A triangle over two places to each side has 1/4, 3/4, 3/4, 1/4 there, and half of that once they add up to one.
    """
    np.testing.assert_array_equal(resampling(5, 5, how=""), np.eye(5))
    np.testing.assert_allclose(
        resampling(8, 4, how="")[1], [0, -3 / 32, 19 / 32, 19 / 32, -3 / 32, 0, 0, 0], atol=1e-12
    )
    np.testing.assert_allclose(resampling(8, 4, how="linear")[1], [0, 1 / 8, 3 / 8, 3 / 8, 1 / 8, 0, 0, 0], atol=1e-12)
    for how in ("", "cubic", "linear"):
        for side in (3, 7, 20):
            np.testing.assert_allclose(resampling(8, side, how=how).sum(axis=1), 1)
    assert (resampling(16, 4, how="cubic")[2] != 0).sum() > 4, "antialiased: further ones count"


def test_a_transformer_resizes_to_the_nearest_multiple_of_its_patches(tmp_path: Path) -> None:
    make_folder(tmp_path / "net", CONFIGS["dinov2"])
    shape = opened("net", tmp_path / "net").shape
    assert isinstance(shape, VisionTransformer)
    assert [shape.side(side) for side in (64, 96, 128, 160, 192, 224)] == [70, 98, 126, 154, 196, 224]


def test_swin_resizes_to_whole_windows_in_every_stage(tmp_path: Path) -> None:
    make_folder(tmp_path / "net", CONFIGS["swin"])
    shape = opened("net", tmp_path / "net").shape
    assert isinstance(shape, Swin)
    assert [shape.side(side) for side in (8, 32, 64, 96)] == [24, 24, 72, 96]


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
        ("vit", {"model_type": "bert"}, "is of type 'bert'; read are vit, dinov2, dinov2_with_registers, dinov3_vit, "),
        ("vit", {"hidden_size": 10**9}, "hidden_size must be a whole number from 1 to 4096, got 1000000000"),
        ("vit", {"num_hidden_layers": True}, "num_hidden_layers must be a whole number from 1 to 64, got True"),
        ("vit", {"num_attention_heads": 5}, "hidden_size 24 is no multiple of num_attention_heads 5"),
        ("vit", {"hidden_act": "quick_gelu"}, "hidden_act must be 'gelu', got 'quick_gelu'; others are not built"),
        ("vit", {"patch_size": 1}, "patch_size must be a whole number from 4 to 64, got 1"),
        ("vit", {"num_channels": 1}, "num_channels must be 3, got 1"),
        ("vit", {"layer_norm_eps": "1"}, "layer_norm_eps must be a number from 0 to 1, got '1'"),
        ("dinov2", {"use_swiglu_ffn": True}, "has no encoder.layer.0.mlp.weights_in.weight, which DINOv2 of net needs"),
        ("dinov3", {"num_attention_heads": 4}, "hidden_size 24 by num_attention_heads 4 must be a multiple of 4"),
        (
            "dinov3",
            {"hidden_act": "relu"},
            "hidden_act must be 'gelu' or 'silu', got 'relu'; others are not built here",
        ),
        ("dinov3", {"rope_theta": -1}, "rope_theta must be a number from 0 to 1e.06, got -1"),
        ("siglip", {"vision_config": 3}, "vision_config must be a configuration, got 3"),
        ("siglip", {"vision_config": {"vision_use_head": False}}, "vision_use_head must be True, got False"),
        ("siglip2", {"num_patches": 15}, "num_patches must be a square, got 15"),
        ("swin", {"num_heads": [3, 4]}, "heads must divide embed_dim"),
        (
            "swin",
            {"window_size": 32, "patch_size": 32},
            "windows of 32 with patches of 32 pixels need more than is built",
        ),
        ("swin", {"num_heads": [2]}, "must have as many numbers"),
        ("swin", {"mlp_ratio": 2.5}, "mlp_ratio must be a whole number, got 2.5"),
        ("swin", {"use_absolute_embeddings": True}, "use_absolute_embeddings must be False, got True"),
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
        "x" * 60: "x" * 33,
    }
    assert {folder: name_of(tmp_path / folder, ("vgg16",)) for folder in names} == names


# Weights in several files


INDEX = "model.safetensors.index.json"


def test_weights_in_several_files_are_those_of_one(tmp_path: Path) -> None:
    make_folder(tmp_path / "one", CONFIGS["vit"])
    make_folder(tmp_path / "several", CONFIGS["vit"], parts=3)
    single, parts = opened("net", tmp_path / "one"), opened("net", tmp_path / "several")
    pixels = np.random.default_rng(4).integers(0, 256, (1, 20, 20, 3), dtype=np.uint8)
    np.testing.assert_array_equal(single.features(pixels, 64), parts.features(pixels, 64))
    assert parts.bytes > single.bytes, "the index and the headers count too"
    for name in (INDEX, "model-1-of-3.safetensors"):
        with (tmp_path / "several" / name).open("ab") as file:
            file.write(b" ")
        with pytest.raises(BackboneError, match="has changed: its SHA-256 begins with"):
            parts.network(64)


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ("../model.safetensors", r"must be beside it, named NAME.safetensors, got '../model.safetensors'"),
        ("/model.safetensors", "must be beside it"),
        ("parts/model.safetensors", "must be beside it"),
        ("..safetensors", "must be beside it"),
        ("model.bin", "must be beside it"),
        ("", "must be beside it"),
        (7, "must be beside it"),
        ("none.safetensors", "none.safetensors cannot be read: No such file"),
        ("model-0-of-2.safetensors", "says that 'embeddings.patch_embeddings.projection.weight' is in model-0-of-2"),
    ],
)
def test_an_index_leads_to_nothing_but_the_files_beside_it(part: Any, words: str, tmp_path: Path) -> None:
    make_folder(tmp_path / "net", CONFIGS["vit"], parts=2)
    index = json.loads((tmp_path / "net" / INDEX).read_text())
    index["weight_map"]["embeddings.patch_embeddings.projection.weight"] = part
    (tmp_path / "net" / INDEX).write_text(json.dumps(index))
    with pytest.raises(BackboneError, match=words):
        opened("net", tmp_path / "net")


def test_an_index_that_is_none_is_refused(tmp_path: Path) -> None:
    make_folder(tmp_path / "net", CONFIGS["vit"], parts=2)
    for text in ("{", "[" * 100_000, "[]", '{"weight_map": {}}', '{"weight_map": [1]}'):
        (tmp_path / "net" / INDEX).write_text(text)
        with pytest.raises(BackboneError, match="is no index"):
            opened("net", tmp_path / "net")
    many = {"weight_map": {f"x{number}": f"part{number}.safetensors" for number in range(201)}}
    (tmp_path / "net" / INDEX).write_text(json.dumps(many))
    with pytest.raises(BackboneError, match="names more than 200 files"):
        opened("net", tmp_path / "net")


# The format


SIX = np.arange(6, dtype=np.float32)


def written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_arrays_are_read_in_every_type(tmp_path: Path) -> None:
    halves = (SIX.view("<u4") >> 16).astype(np.uint16)  # these six are exact in BF16
    path = written(tmp_path / "x", packed({"a": SIX.reshape(2, 3), "b": SIX.astype(np.float16), "c": halves}))
    found = read(header(path))
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
        ({"dtype": "C64", "shape": [3], "data_offsets": [0, 24]}, "numbers of type C64; read are F32, F16, BF16"),
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
        written(path, whole[:-4])
        read(tensors)
