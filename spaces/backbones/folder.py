"""Networks in a folder as Hugging Face's `transformers` writes one: config.json and model.safetensors.

Read are the types of TYPES. A folder is looked through without loading it: the numbers of its configuration have
bounds, and the file of weights must hold exactly the shapes that follow from them. No code in a folder is run.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from spaces.backbones import Backbone, BackboneError
from spaces.backbones.convnext import STRIDE, ConvNext
from spaces.backbones.h5_file import digest
from spaces.backbones.safetensors_file import Tensor, header, read
from spaces.backbones.vision_transformer import VisionTransformer
from spaces.layers import Layer
from spaces.resizing import resized

if TYPE_CHECKING:
    import keras

CONFIG, WEIGHTS, PREPROCESSOR = "config.json", "model.safetensors", "preprocessor_config.json"
MAX_JSON = 1_000_000  # bytes
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""What a folder's network may be called in `[weights]`."""

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))  # mean and deviation of pixels 0..1; red, green, blue
HALVES = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))

Shape: TypeAlias = VisionTransformer | ConvNext
Scaling: TypeAlias = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True)
class FolderBackbone(Backbone):
    """A network in a folder. `sha256` is that of its files' own, `bytes` those of its weights."""

    path: Path  # absolute
    shape: Shape
    scaling: Scaling  # mean and deviation of pixels 0..1

    @property
    def source(self) -> str:
        """As of any backbone."""
        return str(self.path)

    @property
    def licence(self) -> str:
        """As of any backbone."""
        return "see its folder"

    @property
    def below_last(self) -> int:
        """As of any backbone."""
        return self.shape.below_last

    @property
    def kept(self) -> int:
        """As of any backbone."""
        return self.shape.kept

    @property
    def any_side(self) -> bool:
        """As of any backbone."""
        return self.shape.any_side

    def network(self, side: int | None = None) -> keras.Model:
        """As of any backbone; `side` is needed where `any_side` is not true. The folder is looked at again."""
        import keras  # heavy, and only workers build models

        sha256, _ = _digest(self.path)
        if sha256 != self.sha256:
            raise BackboneError(f"{self.path} has changed: its SHA-256 begins with {sha256[:8]}, not {self.sha256[:8]}")
        inputs = keras.Input((side, side, 3))
        x = inputs if side is None else resized(inputs, self.shape.side(side))
        mean, deviation = self.scaling
        x = keras.layers.Rescaling(1 / 255)(x)
        x = keras.layers.Normalization(mean=mean, variance=[d**2 for d in deviation])(x)
        model = keras.Model(inputs, self.shape.maps(x), name=self.name)
        tensors = _fitting(self.path / WEIGHTS, self.shape, self.title)
        self.shape.fill(model, read(self.path / WEIGHTS, tensors))
        return model

    def layers(self, side: int) -> tuple[Layer, ...]:
        """A plate for the scaling, and one a map."""
        own = self.shape.side(side)
        return (
            Layer("scaling", "Rescaling", (own, own, 3), 0, "from 0..255, as it was trained"),
            *self.shape.plates(side),
        )


def is_folder(path: Path) -> bool:
    """Whether a path is that of a folder with a configuration in it."""
    return (path / CONFIG).is_file()


def name_of(path: Path, taken: Collection[str]) -> str:
    """A name for the network of a folder, made from the folder's, other than those that are taken."""
    plain = re.sub(r"[^a-z0-9]+", "_", path.name.lower()).strip("_")[:30]
    name = plain if plain[:1].isalpha() else f"folder_{plain}".rstrip("_")
    return f"{name}_folder" if name in taken else name


def opened(name: str, path: Path) -> FolderBackbone:
    """The network of a folder, under a name. Raises BackboneError where a file is missing, or is not what it says."""
    path = path.absolute()
    config = _json(path / CONFIG)
    kind = str(config.get("model_type"))
    if kind not in TYPES:
        raise BackboneError(f"{path / CONFIG} is of type {kind[:40]!r}; read are {', '.join(TYPES)}")
    known = TYPES[kind]
    shape = known.shape(Numbers(path / CONFIG, config))
    title = f"{known.title} of {path.name}"
    _fitting(path / WEIGHTS, shape, title)
    sha256, size = _digest(path)
    scaling = _scaling(path / PREPROCESSOR, known.scaling)
    return FolderBackbone(name, title, shape.widths, sha256, size, path, shape, scaling)


class Numbers:
    """Values of a configuration, each within its bounds."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        self._path, self._values = path, values

    def count(self, key: str, most: int, default: int | None = None) -> int:
        """A whole number from 1 to `most`; 0 too where that is the default."""
        return self._counted(key, self._values.get(key, default), most, 0 if default == 0 else 1)

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

    def real(self, key: str, default: float) -> float:
        """A number from 0 to 1."""
        value = self._values.get(key, default)
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise BackboneError(f"{self._path}: {key} must be a number from 0 to 1, got {value!r:.40}")
        return float(value)

    def only(self, key: str, wanted: object) -> None:
        """Raises BackboneError for another value, of which no network is built here."""
        value = self._values.get(key, wanted)
        if value != wanted:
            raise BackboneError(f"{self._path}: {key} must be {wanted!r}, got {value!r:.40}; others are not built here")

    def flag(self, key: str, *, default: bool) -> bool:
        """True or false."""
        return self._values.get(key, default) is True


def _transformer(numbers: Numbers, *, dino: bool, registers: int) -> VisionTransformer:
    width, heads = numbers.count("hidden_size", 4096, 768), numbers.count("num_attention_heads", 64, 12)
    if width % heads:
        raise BackboneError(f"hidden_size {width} is no multiple of num_attention_heads {heads}")
    numbers.only("hidden_act", "gelu")
    numbers.only("num_channels", 3)
    patch = numbers.count("patch_size", 64, 14 if dino else 16)
    if dino:
        numbers.only("use_swiglu_ffn", wanted=False)
    inner = width * numbers.count("mlp_ratio", 8, 4) if dino else numbers.count("intermediate_size", 16384, 3072)
    return VisionTransformer(
        width=width,
        blocks=numbers.count("num_hidden_layers", 64, 12),
        heads=heads,
        inner=inner,
        patch=patch,
        grid=max(1, numbers.count("image_size", 2048, 224) // patch),
        registers=numbers.count("num_register_tokens", 64, registers) if registers else 0,
        epsilon=numbers.real("layer_norm_eps", 1e-6 if dino else 1e-12),
        biased=numbers.flag("qkv_bias", default=True),
        dino=dino,
    )


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
class _Type:
    """A `model_type` of config.json."""

    title: str
    shape: Callable[[Numbers], Shape]
    scaling: Scaling  # where the folder does not say


TYPES: Mapping[str, _Type] = {
    "vit": _Type("ViT", lambda numbers: _transformer(numbers, dino=False, registers=0), HALVES),
    "dinov2": _Type("DINOv2", lambda numbers: _transformer(numbers, dino=True, registers=0), IMAGENET),
    "dinov2_with_registers": _Type("DINOv2", lambda numbers: _transformer(numbers, dino=True, registers=4), IMAGENET),
    "convnext": _Type("ConvNeXt", _convnext, IMAGENET),
}
"""What a folder may say that it is."""


def _fitting(path: Path, shape: Shape, title: str) -> dict[str, Tensor]:
    """The tensors that the network needs, by name; in a file all may have a prefix. Raises BackboneError."""
    if not path.is_file():
        raise BackboneError(f"{path} is missing; only weights in the format safetensors, in one file, are read")
    found, expected = header(path), shape.expected()
    sample = next(iter(expected))
    prefix = min((name for name in found if name.endswith(sample)), key=len, default=sample).removesuffix(sample)
    for name, sides in expected.items():
        tensor = found.get(prefix + name)
        if tensor is None:
            raise BackboneError(f"{path} has no {name}, which {title} needs")
        if tensor.shape != sides:
            raise BackboneError(f"{path}: {name} has shape {tensor.shape}, and {title} needs {sides}")
    return {name: found[prefix + name] for name in expected}


def _scaling(path: Path, usual: Scaling) -> Scaling:
    """The mean and deviation by which pixels are scaled: of preprocessor_config.json, else the type's usual."""
    if not path.is_file():
        return usual
    values = _json(path)
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
    if len(numbers) != 3 or not all(type(n) in (int, float) and math.isfinite(n) and -10 <= n <= 10 for n in numbers):
        raise BackboneError(f"{path}: {key} must be three numbers, got {value!r:.60}")
    return tuple(map(float, numbers))


def _json(path: Path) -> dict[str, Any]:
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


def _digest(path: Path) -> tuple[str, int]:
    """SHA-256 of the SHA-256 of each file that decides features, and the bytes of the weights."""
    sha256, size = digest(path / WEIGHTS)
    others = [digest(path / name)[0] for name in (CONFIG, PREPROCESSOR) if (path / name).is_file()]
    return hashlib.sha256(" ".join([sha256, *others]).encode()).hexdigest(), size
