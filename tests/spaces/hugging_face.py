"""Small networks in folders as `transformers` writes them, with random weights, and what they compute, in NumPy."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import erf, softmax

from spaces.backbones.folder import TYPES, Numbers

Arrays: TypeAlias = dict[str, NDArray[np.float32]]

_SMALL = {"hidden_size": 24, "num_hidden_layers": 3, "num_attention_heads": 3, "image_size": 56}
CONFIGS: dict[str, dict[str, Any]] = {
    "vit": {"model_type": "vit", **_SMALL, "patch_size": 16, "intermediate_size": 40, "image_size": 64},
    "dinov2": {"model_type": "dinov2", **_SMALL, "patch_size": 14, "mlp_ratio": 2},
    "dinov2_with_registers": {
        "model_type": "dinov2_with_registers",
        **_SMALL,
        "patch_size": 14,
        "mlp_ratio": 2,
        "num_register_tokens": 2,
    },
    "convnext": {"model_type": "convnext", "hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 2, 1]},
}


def packed(arrays: Mapping[str, NDArray[Any]], **changes: Any) -> bytes:
    """A file of the format safetensors; `changes`: to the header."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    blocks, at = [], 0
    for name, array in arrays.items():
        kind = {"float32": "F32", "float16": "F16", "uint16": "BF16"}[str(array.dtype)]
        header[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": [at, at + array.nbytes]}
        at += array.nbytes
        blocks.append(array.tobytes())
    text = json.dumps({**header, **changes}).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *blocks])


def make_folder(path: Path, config: Mapping[str, Any], *, prefix: str = "", preprocessor: Any = None) -> Arrays:
    """Write a folder with random weights, and give them back by name, without the prefix that they have in the file."""
    rng = np.random.default_rng(7)
    shapes = TYPES[config["model_type"]].shape(Numbers(path, config)).expected()
    arrays = {name: rng.normal(0, 0.3, sides).astype(np.float32) for name, sides in shapes.items()}
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({"architectures": ["Any"], **config}))
    more = {"classifier.weight": np.zeros((2, 3), np.float32)}
    (path / "model.safetensors").write_bytes(packed({prefix + name: array for name, array in arrays.items()} | more))
    if preprocessor is not None:
        (path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return arrays


def _norm(x: NDArray[Any], arrays: Arrays, name: str, epsilon: float) -> NDArray[Any]:
    centred = x - x.mean(axis=-1, keepdims=True)
    spread = np.sqrt((centred**2).mean(axis=-1, keepdims=True) + epsilon)
    return np.asarray(centred / spread * arrays[f"{name}.weight"] + arrays[f"{name}.bias"])


def _dense(x: NDArray[Any], arrays: Arrays, name: str) -> NDArray[Any]:
    return x @ arrays[f"{name}.weight"].T + arrays[f"{name}.bias"]


def _gelu(x: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(x * (1 + erf(x / np.sqrt(2))) / 2)


def transformer(
    x: NDArray[Any], arrays: Arrays, config: Mapping[str, Any]
) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """(class token, patches, patches below the last block) of scaled images, as large as the grid of positions."""
    dino, patch, heads = "mlp_ratio" in config, config["patch_size"], config["num_attention_heads"]
    epsilon = 1e-6 if dino else 1e-12
    images, side = x.shape[0], x.shape[1] // patch
    weight = arrays["embeddings.patch_embeddings.projection.weight"]
    tokens = np.zeros((images, side, side, len(weight)))
    for row in range(side):
        for column in range(side):
            piece = x[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            tokens[:, row, column] = np.einsum("byxc,ocyx->bo", piece, weight)
    patches = tokens.reshape(images, side**2, -1) + arrays["embeddings.patch_embeddings.projection.bias"]
    first = np.broadcast_to(arrays["embeddings.cls_token"], (images, 1, len(weight)))
    x = np.concatenate([first, patches], axis=1) + arrays["embeddings.position_embeddings"]
    registers = config.get("num_register_tokens", 0)
    if registers:
        middle = np.broadcast_to(arrays["embeddings.register_tokens"], (images, registers, len(weight)))
        x = np.concatenate([x[:, :1], middle, x[:, 1:]], axis=1)
    below = x
    for number in range(config["num_hidden_layers"]):
        below = x
        begin = f"encoder.layer.{number}."
        block = {name.removeprefix(begin): array for name, array in arrays.items() if name.startswith(begin)}
        one = np.ones(len(weight))
        scales = [block.get(f"layer_scale{n}.lambda1", one) for n in (1, 2)]
        y = _norm(x, block, "norm1" if dino else "layernorm_before", epsilon)
        parts = [_dense(y, block, f"attention.attention.{part}") for part in ("query", "key", "value")]
        query, key, value = (part.reshape(images, x.shape[1], heads, -1).swapaxes(1, 2) for part in parts)
        weights = softmax(query @ key.swapaxes(2, 3) / np.sqrt(query.shape[-1]), axis=-1)
        y = (weights @ value).swapaxes(1, 2).reshape(x.shape)
        x = x + _dense(y, block, "attention.output.dense") * scales[0]
        y = _norm(x, block, "norm2" if dino else "layernorm_after", epsilon)
        y = _gelu(_dense(y, block, "mlp.fc1" if dino else "intermediate.dense"))
        x = x + _dense(y, block, "mlp.fc2" if dino else "output.dense") * scales[1]
    end = _norm(x, arrays, "layernorm", epsilon)
    return end[:, 0], end[:, 1 + registers :], below[:, 1 + registers :]


def convnext(x: NDArray[Any], arrays: Arrays, depths: list[int]) -> tuple[NDArray[Any], NDArray[Any]]:
    """(what the pooled and normalised end is, the map of the second stage) of scaled images."""
    maps = []
    for stage, depth in enumerate(depths):
        begin = f"encoder.stages.{stage}"
        if stage == 0:
            x = _norm(_strided(x, arrays, "embeddings.patch_embeddings"), arrays, "embeddings.layernorm", 1e-6)
        else:
            x = _norm(x, arrays, f"{begin}.downsampling_layer.0", 1e-6)
            x = _strided(x, arrays, f"{begin}.downsampling_layer.1")
        for number in range(depth):
            name = f"{begin}.layers.{number}"
            wide = np.pad(x, ((0, 0), (3, 3), (3, 3), (0, 0)))
            kernel = arrays[f"{name}.dwconv.weight"][:, 0]
            height, width = x.shape[1:3]
            y = sum(wide[:, i : i + height, j : j + width] * kernel[:, i, j] for i in range(7) for j in range(7))
            y = _norm(y + arrays[f"{name}.dwconv.bias"], arrays, f"{name}.layernorm", 1e-6)
            y = _dense(_gelu(_dense(y, arrays, f"{name}.pwconv1")), arrays, f"{name}.pwconv2")
            x = x + y * arrays[f"{name}.layer_scale_parameter"]
        maps.append(x)
    return _norm(x.mean(axis=(1, 2)), arrays, "layernorm", 1e-12), maps[1]


def _strided(x: NDArray[Any], arrays: Arrays, name: str) -> NDArray[Any]:
    """A convolution whose stride is its size."""
    weight = arrays[f"{name}.weight"]
    size, (images, height, width, _) = weight.shape[2], x.shape
    pieces = x.reshape(images, height // size, size, width // size, size, -1)
    return np.asarray(np.einsum("bhywxc,ocyx->bhwo", pieces, weight) + arrays[f"{name}.bias"])
