"""Networks in a folder as Hugging Face's `transformers` writes one, or keras-hub.

A folder is looked through without loading it: the numbers of its configuration have bounds, and the weights must have
exactly the shapes that follow from them. No code in a folder is run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from spaces.backbones import Backbone, BackboneError, hub, hugging_face
from spaces.backbones.h5_file import digest
from spaces.backbones.hugging_face import Kind, Numbers, Scaling, Shape, json_file
from spaces.backbones.vision_transformer import Arrays
from spaces.layers import Layer
from spaces.resizing import resized

if TYPE_CHECKING:
    import keras

CONFIG = "config.json"
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

        config, written = _written(self.path)
        sha256, _ = _digest(self.path, written)
        if sha256 != self.sha256:
            raise BackboneError(f"{self.path} has changed: its SHA-256 begins with {sha256[:8]}, not {self.sha256[:8]}")
        inputs = keras.Input((side, side, 3))
        x = inputs if side is None else resized(inputs, self.shape.side(side))
        mean, deviation = self.scaling
        x = keras.layers.Rescaling(1 / 255)(x)
        x = keras.layers.Normalization(mean=mean, variance=[d**2 for d in deviation])(x)
        model = keras.Model(inputs, self.shape.maps(x), name=self.name)
        self.shape.fill(model, written.reader(self.path, config, self.shape, self.title)())
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
    plain = re.sub(r"[^a-z0-9]+", "_", path.name.lower()).strip("_")[:33]
    name = plain if plain[:1].isalpha() else f"folder_{plain}".rstrip("_")
    return f"{name}_folder" if name in taken else name


def opened(name: str, path: Path) -> FolderBackbone:
    """The network of a folder, under a name. Raises BackboneError where a file is missing, or is not what it says."""
    path = path.absolute()
    config, written = _written(path)
    kind, numbers = written.described(path / CONFIG, config)
    shape, title = kind.shape(numbers), f"{kind.title} of {path.name}"
    written.reader(path, config, shape, title)
    sha256, size = _digest(path, written)
    return FolderBackbone(name, title, shape.widths, sha256, size, path, shape, written.scaling(path, kind.scaling))


class _Format(Protocol):
    """Who wrote a folder: the module `hugging_face`, or `hub`."""

    BESIDE: str
    """The file beside the weights and config.json that decides features; it may be missing."""

    def described(self, path: Path, config: Mapping[str, Any]) -> tuple[Kind, Numbers]:
        """What a configuration is of, and its numbers. Raises BackboneError for what is not read."""

    def files(self, folder: Path) -> tuple[Path, ...]:
        """The files of the weights."""

    def reader(self, folder: Path, config: Mapping[str, Any], shape: Shape, title: str) -> Callable[[], Arrays]:
        """What reads the weights of a shape, by the names that it expects. Raises BackboneError for other weights."""

    def scaling(self, folder: Path, usual: Scaling) -> Scaling:
        """How pixels are scaled: as the folder says, else as is usual."""


def _written(path: Path) -> tuple[dict[str, Any], _Format]:
    """The configuration of a folder, and who wrote it."""
    config = json_file(path / CONFIG)
    return config, hub if hub.is_preset(config) else hugging_face


def _digest(path: Path, written: _Format) -> tuple[str, int]:
    """SHA-256 of the SHA-256 of each file that decides features, and the bytes of the weights."""
    weights = [digest(file) for file in written.files(path)]
    others = [digest(path / name)[0] for name in (CONFIG, written.BESIDE) if (path / name).is_file()]
    sha256 = hashlib.sha256(" ".join([*(one for one, _ in weights), *others]).encode()).hexdigest()
    return sha256, sum(size for _, size in weights)
