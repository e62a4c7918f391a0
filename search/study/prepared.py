"""Everything that a search needs, checked, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from search.data.check import Checked
from search.data.holdout import KEY as LOCK_BOX
from search.data.images import ImageSet
from search.study.config import Config, Try
from search.study.size_probe import KEY as SIZE_PROBE
from search.study.size_probe import SizeProbe
from spaces import Space, Value
from spaces.backbones.lite import LITE0
from spaces.custom.file import ModelFile
from spaces.custom.model import DISCOVERY_SECONDS
from spaces.facts import Facts
from spaces.presets import Auto, Preset

BY_ITSELF = (LITE0,)  # its only file has a fixed checksum, so a study does not store it


@dataclass(frozen=True)
class CustomModel:
    """The user's model: its file, and the parameters that its builder asks for."""

    file: ModelFile
    space: Space
    whole: bool = True  # whether there was time to call the builder at every value of its parameters

    @property
    def found(self) -> str:
        """The number of parameters, in words."""
        count = f"{self.file.name} asks for {len(self.space.parameters)} parameters"
        if self.whole:
            return count
        limit = f"{DISCOVERY_SECONDS:.0f} s were too few to ask it everywhere"
        return f"{count}; {limit}, so some may be searched where they do nothing"


@dataclass(frozen=True)
class Prepared:
    """Everything a search needs, checked, before anything is written."""

    config: Config
    images: ImageSet
    checked: Checked
    facts: Facts
    preset: Preset | Auto
    own: CustomModel | None  # used instead of the preset
    space: Space
    folds: int
    max_epochs: int
    tries: tuple[dict[str, Value], ...]  # points of [[try]], then those of a warm start
    warm: tuple[Try, ...]  # points that a warm start adds to study.toml
    remarks: tuple[str, ...]  # decisions made for the user, one sentence each
    locked: int = 0  # number of images held out for testing without a testing folder
    begun: bool = False  # whether the study has trials, which decided the size of its images
    size_probe: SizeProbe | None = None  # why the images have their size; None: they were not compared at two

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that decide results, with defaults filled in."""
        identity = self.config.identity()
        training = {**identity["training"], "max_epochs": self.max_epochs}
        size = list(self.images.pixels.shape[1:3])
        filled = {**identity, "folds": self.folds, "image_size": size, "training": training}
        if self.locked:
            filled[LOCK_BOX] = self.locked
        if self.size_probe:
            filled[SIZE_PROBE] = self.size_probe.plain
        if not self.images.scale.is_full:
            filled |= self.images.scale.plain
        if self.checked.named:
            filled["groups"] = self.checked.named.identity
        if self.facts.backbones not in ((), BY_ITSELF) or (isinstance(self.preset, Auto) and not self.facts.backbones):
            filled["weights"] = {backbone.name: backbone.sha256 for backbone in self.facts.backbones}
        if self.own is None:
            return filled
        model = {"sha256": self.own.file.sha256, "space": self.own.space.to_json()}
        return {**filled, "preset": self.own.file.name, "model": model}
