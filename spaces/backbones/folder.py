"""Networks in a folder as Hugging Face's `transformers` writes one: config.json and safetensors.

Read are the types of TYPES. A folder is looked through without loading it: the numbers of its configuration have
bounds, and the file of weights must hold exactly the shapes that follow from them. No code in a folder is run.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spaces.backbones import Backbone, BackboneError
from spaces.backbones.h5_file import digest
from spaces.backbones.hugging_face import TYPES, Numbers, Scaling, Shape
from spaces.backbones.safetensors_file import BYTES, Tensor, files, read, tensors
from spaces.layers import Layer
from spaces.resizing import resized

if TYPE_CHECKING:
    import keras

CONFIG, PREPROCESSOR = "config.json", "preprocessor_config.json"
MAX_JSON = 1_000_000  # bytes
NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")
"""What a folder's network may be called in `[weights]`."""


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
        self.shape.fill(model, read(_fitting(self.path, self.shape, self.title)))
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
    _fitting(path, shape, title)
    sha256, size = _digest(path)
    scaling = _scaling(path / PREPROCESSOR, known.scaling)
    return FolderBackbone(name, title, shape.widths, sha256, size, path, shape, scaling)


def _fitting(path: Path, shape: Shape, title: str) -> dict[str, Tensor]:
    """The tensors that the network needs, by name; in a file all may have a prefix. Raises BackboneError."""
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
    weights = [digest(file) for file in files(path)]
    others = [digest(path / name)[0] for name in (CONFIG, PREPROCESSOR) if (path / name).is_file()]
    sha256 = hashlib.sha256(" ".join([*(one for one, _ in weights), *others]).encode()).hexdigest()
    return sha256, sum(size for _, size in weights)
