"""Presets of keras-hub, as its `save_to_preset` writes one: config.json and model.weights.h5.

Their networks are those of `transformers`, so the same shapes build them here; only what things are called is
different. keras-hub itself is not needed, and a model with such a network in it loads in Keras alone. The names are
those of keras-hub 0.32, which cannot change them without losing the presets that it offers.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spaces.backbones import BackboneError, h5_file
from spaces.backbones.hugging_face import (
    HALVES,
    IMAGENET,
    LEAST_PATCH,
    Kind,
    Numbers,
    Scaling,
    Shape,
    heads_of,
    json_file,
    swin_of,
)
from spaces.backbones.swin import EPSILON, Swin
from spaces.backbones.vision_transformer import PARTS, Array, VisionTransformer

WEIGHTS, BESIDE = "model.weights.h5", "image_converter.json"


# What a configuration says


def _vit(numbers: Numbers) -> VisionTransformer:
    for key in ("use_class_token", "use_patch_bias"):
        numbers.only(key, wanted=True)
    width = numbers.count("hidden_dim", 4096, 768)
    patch = numbers.square("patch_size", 64, 16, LEAST_PATCH)
    parts = () if numbers.flag("use_mha_bias", default=True) else PARTS
    return VisionTransformer(
        kind="vit",
        width=width,
        blocks=numbers.count("num_layers", 64, 12),
        heads=heads_of(numbers, "hidden_dim", width, "num_heads", 12),
        inner=numbers.count("mlp_dim", 16384, 3072),
        patch=patch,
        grid=max(1, numbers.square("image_shape", 2048, 224) // patch),
        epsilon=numbers.real("layer_norm_epsilon", 1e-6),
        without_bias=parts if numbers.flag("use_mlp_bias", default=True) else (*parts, "dense"),
    )


def _dinov2(numbers: Numbers) -> VisionTransformer:
    width, patch = numbers.count("hidden_dim", 4096, 768), numbers.count("patch_size", 64, 14, LEAST_PATCH)
    inner, gated = numbers.count("intermediate_dim", 16384, 3072), numbers.flag("use_swiglu_ffn", default=False)
    smooth = numbers.flag("antialias_in_interpolation", default=False)
    return VisionTransformer(
        kind="dinov2_with_registers" if smooth else "dinov2",
        width=width,
        blocks=numbers.count("num_layers", 64, 12),
        heads=heads_of(numbers, "hidden_dim", width, "num_heads", 12),
        inner=(inner * 2 // 3 + 7) // 8 * 8 if gated else inner,
        patch=patch,
        grid=max(1, numbers.square("position_embedding_shape", 2048, 518) // patch),
        epsilon=1e-6,
        registers=numbers.count("num_register_tokens", 64, 0),
        activation="silu" if gated else "gelu",
        gated=gated,
    )


def _dinov3(numbers: Numbers) -> VisionTransformer:
    width = numbers.count("hidden_dim", 4096, 384)
    keys = [f"use_{part}_bias" for part in ("query", "key", "value", "proj", "mlp")]
    biased = dict(zip((*PARTS, "dense"), [numbers.flag(key, default=True) for key in keys], strict=True))
    return VisionTransformer(
        kind="dinov3_vit",
        width=width,
        blocks=numbers.count("num_layers", 64, 12),
        heads=heads_of(numbers, "hidden_dim", width, "num_heads", 6, pairs=True),
        inner=numbers.count("intermediate_dim", 16384, 1536),
        patch=numbers.count("patch_size", 64, 16, LEAST_PATCH),
        grid=1,  # it has no positions
        epsilon=numbers.real("layer_norm_eps", 1e-5),
        registers=numbers.count("num_register_tokens", 64, 0),
        without_bias=tuple(part for part, has in biased.items() if not has),
        activation=numbers.one_of("hidden_activation", {"gelu": "gelu", "silu": "silu"}, "gelu"),
        gated=numbers.flag("use_gated_mlp", default=False),
        theta=numbers.real("rope_theta", 100.0, 1e6),
    )


def _siglip(numbers: Numbers) -> VisionTransformer:
    width, patch = numbers.count("hidden_dim", 4096, 768), numbers.count("patch_size", 64, 16, LEAST_PATCH)
    known = {"gelu_approximate": "gelu_tanh", "gelu": "gelu"}
    return VisionTransformer(
        kind="siglip",
        width=width,
        blocks=numbers.count("num_layers", 64, 12),
        heads=heads_of(numbers, "hidden_dim", width, "num_heads", 12),
        inner=numbers.count("intermediate_dim", 16384, 3072),
        patch=patch,
        grid=max(1, numbers.square("image_shape", 2048, 224) // patch),
        epsilon=numbers.real("layer_norm_epsilon", 1e-6),
        activation=numbers.one_of("intermediate_activation", known, "gelu_approximate"),
    )


def _swin(numbers: Numbers) -> Swin:
    numbers.only("patch_norm", wanted=True)
    return swin_of(numbers, EPSILON)


# What its tensors are called: a layer has its weight in vars/0 and its bias in vars/1. '#' is a number, left out for 0.


def _names(outside: Mapping[str, str], block: str, where: str, inside: Mapping[str, str]) -> dict[str, str]:
    return {**outside, **{f"{block}.{name}": f"{where}/{place}" for name, place in inside.items()}}


def _attention(names: Sequence[str], where: str) -> dict[str, str]:
    return {name: f"{where}/{part}_dense" for name, part in zip(names, PARTS, strict=True)}


_SELF = (*(f"attention.attention.{part}" for part in PARTS[:3]), "attention.output.dense")
_SCALED = {f"layer_scale{n}.lambda1": f"layer_scale{n}/vars/0" for n in (1, 2)} | {
    f"norm{n}": f"norm{n}" for n in (1, 2)
}
_MLP = {f"mlp.fc{n}": f"mlp/fc{n}" for n in (1, 2)}
_POOLING = "sig_lip_multi_head_attention_pooling"

VIT = _names(
    {
        "embeddings.cls_token": "vi_t_patching_and_embedding/vars/0",
        "embeddings.patch_embeddings.projection": "vi_t_patching_and_embedding/patch_embedding",
        "embeddings.position_embeddings": "vi_t_patching_and_embedding/position_embedding/vars/0",
        "layernorm": "vi_t_encoder/layer_norm",
    },
    "encoder.layer.#",
    "vi_t_encoder/encoder_layers/vi_t_encoder_block#",
    {
        "layernorm_before": "layer_norm_1",
        "layernorm_after": "layer_norm_2",
        "intermediate.dense": "mlp/dense_1",
        "output.dense": "mlp/dense_2",
        **_attention(_SELF, "mha"),
    },
)
DINOV2 = _names(  # its tokens have numbers that depend on which there are: see `_dino`
    {
        "embeddings.patch_embeddings.projection": "dinov2_embedding/patch_embeddings/projection",
        "layernorm": "layer_normalization",
    },
    "encoder.layer.#",
    "dinov2_encoder/layers/dinov2_layer#",
    {
        **_SCALED,
        **_MLP,
        **{f"mlp.weights_{end}": f"mlp/weights_{end}" for end in ("in", "out")},
        **_attention(_SELF, "attention/attention"),
    },
)
DINOV3 = _names(
    {
        "embeddings.patch_embeddings": "dinov3_embedding/patch_embeddings/projection",
        "norm": "layer_normalization",
    },
    "layer.#",
    "dinov3_encoder/layers/dinov3_layer#",
    {
        **_SCALED,
        **{f"mlp.{name}_proj": f"mlp/{name}_proj" for name in ("gate", "up", "down")},
        **_attention([f"attention.{part}_proj" for part in "qkvo"], "attention"),
    },
)
SIGLIP = _names(
    {
        "embeddings.patch_embedding": "sig_lip_vision_embedding/patch_embedding",
        "embeddings.position_embedding.weight": "sig_lip_vision_embedding/position_embedding/vars/0",
        "post_layernorm": "layer_normalization",
        "head.probe": f"{_POOLING}/vars/0",
        **{
            f"head.attention.in_proj_{what}": " + ".join(
                f"{_POOLING}/attention/{part}_dense/vars/{number}" for part in PARTS[:3]
            )
            for number, what in enumerate(("weight", "bias"))
        },
        "head.attention.out_proj": f"{_POOLING}/attention/output_dense",
        "head.layernorm": f"{_POOLING}/layer_norm",
        **{f"head.{name}": f"{_POOLING}/{place}" for name, place in _MLP.items()},
    },
    "encoder.layers.#",
    "sig_lip_encoder_layer#",
    {
        "layer_norm1": "layer_norm1",
        "layer_norm2": "layer_norm2",
        **_MLP,
        **_attention([f"self_attn.{part}_proj" for part in ("q", "k", "v", "out")], "self_attn"),
    },
)
SWIN = _names(
    {
        "embeddings.patch_embeddings.projection": "patch_embedding/proj",
        "embeddings.norm": "patch_embedding/norm",
        "layernorm": "layer_normalization",
        "encoder.layers.#.downsample.norm": "swin_transformer_stage#/downsample/norm",
        "encoder.layers.#.downsample.reduction": "swin_transformer_stage#/downsample/reduction",
    },
    "encoder.layers.#.blocks.#",
    "swin_transformer_stage#/blocks/swin_transformer_block#",
    {
        "layernorm_before": "norm1",
        "layernorm_after": "norm2",
        **{f"attention.self.{part}": f"attn/qkv of {part}" for part in PARTS[:3]},
        "attention.self.relative_position_bias_table": "attn/vars/0",
        "attention.output.dense": "attn/proj",
        "intermediate.dense": "mlp/fc1",
        "output.dense": "mlp/fc2",
    },
)


def _dino(numbers: Numbers, names: Mapping[str, str], embedding: str) -> dict[str, str]:
    """`names`, and those of tokens and positions, which are numbered as they were made; some networks lack some."""
    made = ["embeddings.cls_token"]
    made += ["mask"] if numbers.flag("use_mask_token", default=True) else []
    made += ["embeddings.register_tokens"] if numbers.count("num_register_tokens", 64, 0) else []
    made += ["positions for the size of its images", "embeddings.position_embeddings"]
    return {**names, **{name: f"{embedding}/vars/{number}" for number, name in enumerate(made)}}


@dataclass(frozen=True)
class Class(Kind):
    """A class of keras-hub."""

    names: Callable[[Numbers], Mapping[str, str]]  # name as of `transformers` -> where it is in the file
    within: str = ""  # key of the configuration that is that of what sees images, and its layers


CLASSES: Mapping[str, Class] = {
    "ViTBackbone": Class("ViT", _vit, HALVES, lambda _: VIT),
    "DINOV2Backbone": Class("DINOv2", _dinov2, IMAGENET, lambda numbers: _dino(numbers, DINOV2, "dinov2_embedding")),
    "DINOV3Backbone": Class("DINOv3", _dinov3, IMAGENET, lambda numbers: _dino(numbers, DINOV3, "dinov3_embedding")),
    "SigLIPVisionEncoder": Class("SigLIP", _siglip, HALVES, lambda _: SIGLIP),
    "SigLIPBackbone": Class("SigLIP", _siglip, HALVES, lambda _: SIGLIP, within="vision_encoder"),
    "SwinTransformerBackbone": Class("Swin", _swin, IMAGENET, lambda _: SWIN),
}
"""By name. Of a network for images and text, only what sees images is used."""


# A folder


@dataclass(frozen=True)
class Stored:
    """Where a tensor of `transformers` is in the file, and how it gets its shape."""

    arrays: tuple[str, ...]  # one after another
    third: int | None  # which third of the array it is
    shape: tuple[int, ...]

    @property
    def _matrix(self) -> bool:
        """Whether it turns numbers into others: then keras-hub has it the other way round, heads perhaps apart."""
        return len(self.shape) == 2 and "position_embedding" not in self.arrays[0] and "attn/vars" not in self.arrays[0]

    def fits(self, found: Sequence[tuple[int, ...]]) -> bool:
        """Whether arrays of these shapes give it."""
        first, *rest = self.shape
        first = first * 3 if self.third is not None else first // len(self.arrays)
        if len(self.shape) == 4:
            return [*found] == [(*rest[1:], rest[0], first)]
        if self._matrix:
            ends = [(one[:1], one[-1:]) for one in found]
            joined = all(one == (rest[0],) or other == (first,) for one, other in ends)
            return joined and all(math.prod(one) == first * rest[0] for one in found)
        return all(math.prod(one) == first * math.prod(rest) for one in found)

    def of(self, arrays: Mapping[str, Array]) -> Array:
        """The tensor."""
        parts = [arrays[name] for name in self.arrays]
        if len(self.shape) == 4:
            return parts[0].transpose(3, 2, 0, 1)
        if self._matrix:
            parts = [part.reshape(self.shape[1], -1).T for part in parts]
        whole = np.concatenate(parts) if len(parts) > 1 else parts[0]
        return (whole if self.third is None else np.split(whole, 3)[self.third]).reshape(self.shape)


def is_preset(config: Mapping[str, Any]) -> bool:
    """Whether a config.json is one of keras-hub's."""
    return isinstance(config.get("class_name"), str) and isinstance(config.get("config"), dict)


def described(path: Path, config: Mapping[str, Any]) -> tuple[Class, Numbers]:
    """The class of a preset, and the configuration of what sees images. Raises BackboneError for another class."""
    name, numbers = config["class_name"], Numbers(path, config["config"])
    if name not in CLASSES:
        raise BackboneError(f"{path} is a {name[:60]} of keras-hub; read are {', '.join(CLASSES)}")
    kind = CLASSES[name]
    return kind, numbers.within(kind.within).within("config") if kind.within else numbers


def files(folder: Path) -> tuple[Path, ...]:
    """The file of the weights."""
    return (folder / WEIGHTS,)


def reader(path: Path, config: Mapping[str, Any], shape: Shape, title: str) -> Callable[[], dict[str, Array]]:
    """What reads the tensors that the network needs, as `transformers` has them, by name.

    Raises BackboneError for a folder that does not have them.
    """
    file = path / WEIGHTS
    if not file.is_file():
        raise BackboneError(f"{file} is missing; a preset of keras-hub is read with its weights in this one file")
    kind, numbers = described(path, config)
    found, names = h5_file.arrays(file), kind.names(numbers)
    begin = "layers/sig_lip_vision_encoder/layers/" if kind.within else "layers/"
    wanted = {name: _stored(name, sides, names, begin) for name, sides in shape.expected().items()}
    for stored in wanted.values():
        lacking = [array for array in stored.arrays if array not in found]
        if lacking:
            raise BackboneError(f"{file} has no {lacking[0]}, which {title} needs")
        shapes = [found[array] for array in stored.arrays]
        if not stored.fits(shapes):
            raise BackboneError(f"{file}: {stored.arrays[0]} has shape {shapes[0]}, and {title} needs {stored.shape}")

    def arrays() -> dict[str, Array]:
        stored = h5_file.read(file, {array for one in wanted.values() for array in one.arrays})
        return {name: one.of(stored) for name, one in wanted.items()}

    return arrays


def _stored(name: str, sides: tuple[int, ...], names: Mapping[str, str], begin: str) -> Stored:
    """Where a tensor is: encoder.layer.1.output.dense.bias in …/vi_t_encoder_block_1/mlp/dense_2/vars/1."""
    numbers = re.findall(r"\.(\d+)\.", name.replace(".", ".."))
    plain = re.sub(r"\.\d+(?=\.)", ".#", name)
    layer, _, what = plain.rpartition(".")
    place = names.get(plain)
    if place is None:
        where, _, part = names[layer].partition(" of ")
        place = f"{where}/vars/{0 if what == 'weight' else 1}{f' of {part}' if part else ''}"
    for number in numbers:
        place = place.replace("#", f"_{number}" if number != "0" else "", 1)
    place, _, part = place.partition(" of ")
    arrays = tuple(begin + array for array in place.split(" + "))
    return Stored(arrays, PARTS.index(part) if part else None, sides)


def scaling(folder: Path, usual: Scaling) -> Scaling:
    """The mean and deviation that do what image_converter.json says of pixels 0..255: `scale`, then `offset`."""
    path = folder / BESIDE
    if not path.is_file():
        return usual
    inside = json_file(path).get("config")
    given = inside if isinstance(inside, dict) else {}
    scale, offset = (_three(path, key, given.get(key), usual) for key, usual in (("scale", 1.0), ("offset", 0.0)))
    if min(scale) <= 0:
        raise BackboneError(f"{path}: scale must be above 0")
    deviation = tuple(1 / (255 * one) for one in scale)
    return tuple(-off * one for off, one in zip(offset, deviation, strict=True)), deviation


def _three(path: Path, key: str, value: Any, usual: float) -> tuple[float, ...]:
    """One number, or three."""
    numbers = [usual if value is None else value] * 3 if not isinstance(value, list) else value
    if len(numbers) != 3 or not all(type(n) in (int, float) and abs(n) <= 1000 for n in numbers):
        raise BackboneError(f"{path}: {key} must be a number or three, got {value!r:.60}")
    return tuple(map(float, numbers))
