"""The presets: spaces that need no code. A name, a space for the data at hand, and a builder of Keras models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from spaces.backbones import Backbone
from spaces.facts import Facts
from spaces.layers import Layer
from spaces.parameters import SpaceError, Value, nearest
from spaces.presets import cnn, frozen, question
from spaces.space import Space

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Frozen:
    """What a family has whose heads learn on features of a backbone that stays as it is."""

    backbone: Callable[[Mapping[str, Value], Facts], Backbone]
    """The backbone of a point, of those at hand."""
    views: Callable[[Mapping[str, Value], Facts], tuple[frozen.View, ...]]
    """The views of the images whose features a point averages; a view's are the same for all points."""
    columns: Callable[[Mapping[str, Value], Facts], slice]
    """The columns of those features that a point uses."""
    trains: Callable[[Mapping[str, Value]], bool]
    """Whether a point's head is the preset's network, trained in epochs; else `fit` is its fold run."""
    fit: Callable[
        [Mapping[str, Value], NDArray[np.float32], NDArray[np.int16], NDArray[np.float32], int, int], frozen.Said
    ]
    """(parameters, training features, their labels, validation features, classes, seed) -> probabilities of both."""
    layers: Callable[[Mapping[str, Value], Facts], tuple[Layer, ...]]
    """The whole model for the report's drawing, from shapes alone."""


@dataclass(frozen=True)
class Preset:
    """One ready-made space. Its default point is the baseline, trial 0."""

    name: str
    summary: str
    space: Callable[[Facts], Space]
    network: Callable[[Mapping[str, Value], Facts], keras.Model]
    """(parameters, facts) -> model, not compiled; takes float32 pixels 0..255 [batch, height, width, channels];
    for a family with `frozen` features, standardised ones [batch, width]."""
    optimizer: Callable[[Mapping[str, Value]], keras.optimizers.Optimizer]
    epochs: int  # the most epochs of a fold run, unless the study says otherwise
    starts: tuple[Mapping[str, Value], ...] = ()
    """Known-good points, as changes to the defaults, tried after the baseline and before the sampler."""
    frozen: Frozen | None = None
    """What the family does with frozen features; None: it learns from pixels."""

    def build(self, params: Mapping[str, Value], facts: Facts) -> keras.Model:
        """The compiled model of one point: the loss that fits its output, and a confusion matrix as its metric."""
        from spaces.presets.parts import compiled  # imports Keras

        return compiled(self.network(params, facts), facts.classes, self.optimizer(params))


PRESETS: dict[str, Preset] = {
    "cnn": Preset("cnn", cnn.SUMMARY, cnn.space, cnn.network, cnn.optimizer, 40, cnn.STARTS),
    "question": Preset(
        "question",
        question.SUMMARY,
        question.space,
        question.network,
        question.optimizer,
        25,
        question.STARTS,
    ),
    "frozen": Preset(
        "frozen",
        frozen.SUMMARY,
        frozen.space,
        frozen.network,
        frozen.optimizer,
        100,
        frozen.STARTS,
        Frozen(frozen.backbone, frozen.views, frozen.columns, frozen.trains, frozen.fit, frozen.layers),
    ),
}


def preset(name: str) -> Preset:
    """The preset of this name. Raises SpaceError, naming the nearest, where there is none."""
    if name not in PRESETS:
        raise SpaceError(f"preset: there is no '{name}'; {nearest(name, list(PRESETS))}")
    return PRESETS[name]
