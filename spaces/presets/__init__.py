"""The presets: spaces that need no code. A name, a space for the data at hand, and a builder of Keras models."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spaces.facts import Facts
from spaces.parameters import SpaceError, Value, nearest
from spaces.presets import cnn, question
from spaces.space import Space

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Preset:
    """One ready-made space. Its default point is the baseline, trial 0."""

    name: str
    summary: str
    space: Callable[[Facts], Space]
    network: Callable[[Mapping[str, Value], Facts], keras.Model]
    """(parameters, facts) -> model, not compiled; takes float32 pixels 0..255 [batch, height, width, channels]."""
    optimizer: Callable[[Mapping[str, Value]], keras.optimizers.Optimizer]
    epochs: int  # the most epochs of a fold run, unless the study says otherwise
    starts: tuple[Mapping[str, Value], ...] = ()
    """Known-good points, as changes to the defaults, tried after the baseline and before the sampler."""

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
}


def preset(name: str) -> Preset:
    """The preset of this name. Raises SpaceError, naming the nearest, where there is none."""
    if name not in PRESETS:
        raise SpaceError(f"preset: there is no '{name}'; {nearest(name, list(PRESETS))}")
    return PRESETS[name]
