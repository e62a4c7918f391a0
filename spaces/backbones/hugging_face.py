"""Folders as `transformers` writes one: config.json, safetensors, and perhaps preprocessor_config.json.

Read are the types of TYPES, each by the numbers of its configuration. Every number has bounds, and what decides
something that is not built here is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from spaces.backbones import BackboneError
from spaces.backbones.convnext import STRIDE, ConvNext
from spaces.backbones.safetensors_file import BYTES, files, read, tensors
from spaces.backbones.swin import Swin
from spaces.backbones.vision_transformer import PARTS, Array, VisionTransformer

Shape: TypeAlias = VisionTransformer | Swin | ConvNext
Scaling: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]
"""Mean and deviation of pixels 0..1; red, green, blue."""

BESIDE = "preprocessor_config.json"
MAX_JSON = 1_000_000  # bytes
LEAST_PATCH = 4  # pixels; attention needs the fourth power of how many fit along a side
MAX_SWIN_SIDE = 1024  # pixels of the smallest image with whole windows in every stage; the largest known needs 384
MAX_SWIN_NUMBERS = 500_000_000  # weights and biases then: what windows need is not in the file

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


class Numbers:
    """Values of a configuration, each within its bounds."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self._path, self._values = path, values

    def count(self, key: str, most: int, default: int | None = None, least: int = 1) -> int:
        """A whole number from `least` to `most`; 0 too where that is the default."""
        return self._counted(key, self._values.get(key, default), most, 0 if default == 0 else least)

    def counts(self, key: str, most: int, default: list[int]) -> tuple[int, ...]:
        """A list of such numbers."""
        values = self._values.get(key, default)
        if not isinstance(values, list) or not 1 <= len(values) <= len(default):
            raise BackboneError(f"{self._path}: {key} must be a list of {len(default)} numbers")
        return tuple(self._counted(key, value, most, 1) for value in values)

    def _counted(self, key: str, value: object, most: int, least: int) -> int:
        if type(value) is not int or not least <= value <= most:
            raise BackboneError(f"{self._path}: {key} must be a whole number from {least} to {most}, got {value!r:.40}")
        return value

    def real(self, key: str, default: float, most: float = 1) -> float:
        """A number from 0 to `most`."""
        value = self._values.get(key, default)
        if not isinstance(value, int | float) or not 0 <= value <= most:
            raise BackboneError(f"{self._path}: {key} must be a number from 0 to {most:g}, got {value!r:.40}")
        return float(value)

    def ratio(self, key: str, most: int, default: int) -> int:
        """A whole number from 1 to `most`, whichever way it is written."""
        value = self.real(key, default, most)
        if value != round(value) or value < 1:
            raise BackboneError(f"{self._path}: {key} must be a whole number, got {value}")
        return round(value)

    def square(self, key: str, most: int, default: int, least: int = 1) -> int:
        """The side of a square: one number, or height and width, which must be the same, and perhaps channels."""
        value = self._values.get(key, default)
        sides = value if isinstance(value, list) and len(value) in (2, 3) else [value, value]
        height, width = (self._counted(key, side, most, least) for side in sides[:2])
        if height != width:
            raise BackboneError(f"{self._path}: {key} must be as high as wide, got {height} and {width}")
        return height

    def one_of(self, key: str, known: Mapping[str, str], default: str) -> str:
        """What one of the known words stands for."""
        value = self._values.get(key, default)
        if not isinstance(value, str) or value not in known:
            words = " or ".join(map(repr, known))
            raise BackboneError(f"{self._path}: {key} must be {words}, got {value!r:.40}; others are not built here")
        return known[value]

    def within(self, key: str) -> Numbers:
        """Those of a configuration inside this one; an empty one if there is none."""
        inner = self._values.get(key, {})
        if not isinstance(inner, dict):
            raise BackboneError(f"{self._path}: {key} must be a configuration, got {inner!r:.40}")
        return Numbers(self._path, inner)

    def only(self, key: str, wanted: object) -> None:
        """Raises BackboneError for another value, of which no network is built here."""
        value = self._values.get(key, wanted)
        if value != wanted:
            raise BackboneError(f"{self._path}: {key} must be {wanted!r}, got {value!r:.40}; others are not built here")

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        return self._values.get(key, default) is True


def heads_of(numbers: Numbers, of_width: str, width: int, key: str, default: int, *, pairs: bool = False) -> int:
    """The heads that share `width` numbers evenly; `pairs`: each gets pairs for rows and as many for columns."""
    heads = numbers.count(key, 64, default)
    if width % heads:
        raise BackboneError(f"{of_width} {width} is no multiple of {key} {heads}")
    if pairs and width // heads % 4:
        raise BackboneError(f"{of_width} {width} by {key} {heads} must be a multiple of 4")
    return heads


def _vit(numbers: Numbers, kind: str) -> VisionTransformer:
    dino, registers = kind != "vit", kind == "dinov2_with_registers"
    width = numbers.count("hidden_size", 4096, 768)
    gated = dino and numbers.flag("use_swiglu_ffn", default=False)
    if not gated:
        numbers.only("hidden_act", "gelu")
    numbers.only("num_channels", 3)
    patch = numbers.count("patch_size", 64, 14 if dino else 16, LEAST_PATCH)
    inner = width * numbers.count("mlp_ratio", 8, 4) if dino else numbers.count("intermediate_size", 16384, 3072)
    return VisionTransformer(
        kind=kind,
        width=width,
        blocks=numbers.count("num_hidden_layers", 64, 12),
        heads=heads_of(numbers, "hidden_size", width, "num_attention_heads", 12),
        inner=(inner * 2 // 3 + 7) // 8 * 8 if gated else inner,
        patch=patch,
        grid=max(1, numbers.count("image_size", 2048, 224) // patch),
        registers=numbers.count("num_register_tokens", 64, 4) if registers else 0,
        epsilon=numbers.real("layer_norm_eps", 1e-6 if dino else 1e-12),
        without_bias=() if numbers.flag("qkv_bias", default=True) else PARTS[:3],
        activation="silu" if gated else "gelu",
        gated=gated,
    )


def _dinov3(numbers: Numbers) -> VisionTransformer:
    width = numbers.count("hidden_size", 4096, 384)
    numbers.only("num_channels", 3)
    usual = {"query_bias": True, "key_bias": False, "value_bias": True, "proj_bias": True, "mlp_bias": True}
    biased = [numbers.flag(key, default=default) for key, default in usual.items()]
    return VisionTransformer(
        kind="dinov3_vit",
        width=width,
        blocks=numbers.count("num_hidden_layers", 64, 12),
        heads=heads_of(numbers, "hidden_size", width, "num_attention_heads", 6, pairs=True),
        inner=numbers.count("intermediate_size", 16384, 1536),
        patch=numbers.count("patch_size", 64, 16, LEAST_PATCH),
        grid=1,  # it has no positions
        registers=numbers.count("num_register_tokens", 64, 0),
        epsilon=numbers.real("layer_norm_eps", 1e-5),
        without_bias=tuple(part for part, has in zip((*PARTS, "dense"), biased, strict=True) if not has),
        activation=numbers.one_of("hidden_act", {"gelu": "gelu", "silu": "silu"}, "gelu"),
        gated=numbers.flag("use_gated_mlp", default=False),
        theta=numbers.real("rope_theta", 100.0, 1e6),
    )


def _siglip(numbers: Numbers, kind: str) -> VisionTransformer:
    width, patch = numbers.count("hidden_size", 4096, 768), numbers.count("patch_size", 64, 16, LEAST_PATCH)
    numbers.only("num_channels", 3)
    numbers.only("vision_use_head", wanted=True)
    grid = max(1, numbers.count("image_size", 2048, 224) // patch)
    if kind == "siglip2":
        places = numbers.count("num_patches", 128**2, 256)
        grid = math.isqrt(places)
        if grid**2 != places:
            raise BackboneError(f"num_patches must be a square, got {places}")
    return VisionTransformer(
        kind=kind,
        width=width,
        blocks=numbers.count("num_hidden_layers", 64, 12),
        heads=heads_of(numbers, "hidden_size", width, "num_attention_heads", 12),
        inner=numbers.count("intermediate_size", 16384, 3072),
        patch=patch,
        grid=grid,
        epsilon=numbers.real("layer_norm_eps", 1e-6),
        activation=numbers.one_of(
            "hidden_act", {"gelu_pytorch_tanh": "gelu_tanh", "gelu": "gelu"}, "gelu_pytorch_tanh"
        ),
    )


def _swin(numbers: Numbers) -> Swin:
    numbers.only("hidden_act", "gelu")
    numbers.only("num_channels", 3)
    numbers.only("use_absolute_embeddings", wanted=False)
    return swin_of(numbers, numbers.real("layer_norm_eps", 1e-5))


def swin_of(numbers: Numbers, epsilon: float) -> Swin:
    """The network by the names that both libraries have. Raises BackboneError where it is too large."""
    return not_too_large(
        Swin(
            width=numbers.count("embed_dim", 512, 96),
            depths=numbers.counts("depths", 64, [2, 2, 6, 2]),
            heads=numbers.counts("num_heads", 128, [3, 6, 12, 24]),
            window=numbers.count("window_size", 32, 7),
            ratio=numbers.ratio("mlp_ratio", 8, 4),
            patch=numbers.count("patch_size", 32, 4),
            epsilon=epsilon,
            biased=numbers.flag("qkv_bias", default=True),
        )
    )


def not_too_large(shape: Swin) -> Swin:
    """The same shape. Raises BackboneError for one that contradicts itself, or needs more than its file shows."""
    counts = shape.depths, shape.heads
    if len({*map(len, counts)}) > 1 or any(c % heads for c, heads in zip(shape.widths, shape.heads, strict=True)):
        raise BackboneError(
            "depths and num_heads must have as many numbers, and heads must divide embed_dim * 2**stage"
        )
    side = shape.side(1)
    if side > MAX_SWIN_SIDE or sum(plate.parameters for plate in shape.plates(side)) > MAX_SWIN_NUMBERS:
        raise BackboneError(
            f"windows of {shape.window} with patches of {shape.patch} pixels need more than is built here"
        )
    return shape


def _convnext(numbers: Numbers) -> ConvNext:
    numbers.only("hidden_act", "gelu")
    numbers.only("num_channels", 3)
    numbers.only("num_stages", 4)
    filters = numbers.counts("hidden_sizes", 4096, [96, 192, 384, 768])
    depths = numbers.counts("depths", 64, [3, 3, 9, 3])
    numbers.only("patch_size", STRIDE // 8)
    if len(filters) != len(depths):
        raise BackboneError("hidden_sizes and depths must have four numbers each")
    scaled = numbers.real("layer_scale_init_value", 1e-6) > 0
    return ConvNext(filters, depths, STRIDE // 8, numbers.real("layer_norm_eps", 1e-12), scaled)


@dataclass(frozen=True)
class Kind:
    """A `model_type` of config.json."""

    title: str
    shape: Callable[[Numbers], Shape]
    scaling: Scaling  # where the folder does not say


TYPES: Mapping[str, Kind] = {
    "vit": Kind("ViT", lambda numbers: _vit(numbers, "vit"), HALVES),
    "dinov2": Kind("DINOv2", lambda numbers: _vit(numbers, "dinov2"), IMAGENET),
    "dinov2_with_registers": Kind("DINOv2", lambda numbers: _vit(numbers, "dinov2_with_registers"), IMAGENET),
    "dinov3_vit": Kind("DINOv3", _dinov3, IMAGENET),
    "siglip": Kind("SigLIP", lambda numbers: _siglip(numbers.within("vision_config"), "siglip"), HALVES),
    "siglip_vision_model": Kind("SigLIP", lambda numbers: _siglip(numbers, "siglip"), HALVES),
    "siglip2": Kind("SigLIP 2", lambda numbers: _siglip(numbers.within("vision_config"), "siglip2"), HALVES),
    "siglip2_vision_model": Kind("SigLIP 2", lambda numbers: _siglip(numbers, "siglip2"), HALVES),
    "swin": Kind("Swin", _swin, IMAGENET),
    "convnext": Kind("ConvNeXt", _convnext, IMAGENET),
}
"""What a folder may say that it is. Of a network for images and text, only what sees images is used."""


# A folder


def described(path: Path, config: Mapping[str, Any]) -> tuple[Kind, Numbers]:
    """The type that a config.json says, and its numbers. Raises BackboneError for a type that is not read."""
    name = str(config.get("model_type"))
    if name not in TYPES:
        raise BackboneError(f"{path} is of type {name[:40]!r}; read are {', '.join(TYPES)}, and presets of keras-hub")
    return TYPES[name], Numbers(path, config)


def reader(path: Path, _config: Mapping[str, Any], shape: Shape, title: str) -> Callable[[], dict[str, Array]]:
    """What reads the tensors that the network needs, by name; in a file all may have a prefix.

    Raises BackboneError for a folder that does not have them.
    """
    first, *_ = files(path)
    if not first.is_file():
        raise BackboneError(f"{first} is missing; only weights in the format safetensors are read")
    found, expected = tensors(path), shape.expected()
    sample = next(iter(expected))
    prefix = min((name for name in found if name.endswith(sample)), key=len, default=sample).removesuffix(sample)
    for name, sides in expected.items():
        tensor = found.get(prefix + name)
        if tensor is None:
            raise BackboneError(f"{path} has no {name}, which {title} needs")
        if tensor.shape != sides:
            raise BackboneError(f"{path}: {name} has shape {tensor.shape}, and {title} needs {sides}")
        if tensor.kind not in BYTES:
            raise BackboneError(f"{path}: {name} has numbers of type {tensor.kind}; read are {', '.join(BYTES)}")
    return lambda: read({name: found[prefix + name] for name in expected})


def scaling(folder: Path, usual: Scaling) -> Scaling:
    """The mean and deviation by which pixels are scaled: of preprocessor_config.json, else the type's usual."""
    path = folder / BESIDE
    if not path.is_file():
        return usual
    values = json_file(path)
    if values.get("do_normalize") is False:
        return (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    mean, deviation = (
        _three(path, key, values.get(key, usual[n])) for n, key in enumerate(("image_mean", "image_std"))
    )
    if min(deviation) <= 0:
        raise BackboneError(f"{path}: image_std must be above 0")
    return mean, deviation


def _three(path: Path, key: str, value: Any) -> tuple[float, ...]:
    numbers = tuple(value) if isinstance(value, list | tuple) else ()
    if len(numbers) != 3 or not all(type(n) in (int, float) and -10 <= n <= 10 for n in numbers):
        raise BackboneError(f"{path}: {key} must be three numbers, got {value!r:.60}")
    return tuple(map(float, numbers))


def json_file(path: Path) -> dict[str, Any]:
    """The values of a small file of JSON, by key. Raises BackboneError for another file."""
    try:
        with path.open("rb") as stream:
            values = json.loads(stream.read(MAX_JSON))
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise BackboneError(f"{path} is no JSON, or is larger than a configuration") from None
    if not isinstance(values, dict):
        raise BackboneError(f"{path} is no configuration: it has no keys")
    return values
