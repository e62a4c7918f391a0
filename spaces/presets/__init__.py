"""The presets: spaces that need no code. A name, a space for a data set, and a builder of Keras models."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from spaces.backbones import Backbone
from spaces.backbones.applications import ARCHITECTURES, without_weights
from spaces.backbones.lite import PACKAGED
from spaces.facts import Facts
from spaces.layers import Layer
from spaces.parameters import SpaceError, Value, nearest
from spaces.presets import auto, cnn, fine_tune, frozen, portfolio, question
from spaces.presets.portfolio import KnownGood
from spaces.recipe import Recipe, recipe_of
from spaces.space import Space

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class FrozenFeatures:
    """What a family has that begins from features of a backbone as it is."""

    backbone: Callable[[Mapping[str, Value], Facts], Backbone]
    """The backbone of a point, one of those available."""
    views: Callable[[Mapping[str, Value], Facts], tuple[frozen.View, ...]]
    """The views of the images whose features a point averages; a view's are the same for all points."""
    columns: Callable[[Mapping[str, Value], Facts], slice]
    """The columns of those features that a point uses."""
    layers: Callable[[Mapping[str, Value], Facts], tuple[Layer, ...]]
    """The whole model for the report's drawing, from shapes alone."""
    heads: Heads | None = None
    """What learns on the features instead of pixels; None: the network learns from pixels."""
    tuned: Tuned | None = None
    """What is trained on pixels; None: nothing is."""


@dataclass(frozen=True)
class Tuned:
    """A family whose network is the backbone and a head, trained on from the backbone's weights and a fitted head."""

    layers: Callable[[Mapping[str, Value], Facts], tuple[Layer, ...]]
    """Those of the family's layers that are trained."""
    shape: Callable[[Mapping[str, Value], Facts], Hashable]
    """What decides the network of a point but for its `head`."""
    head: Callable[[Mapping[str, Value], Facts], keras.Model]
    """The head of a point's network alone, not compiled, on features [batch, width]."""
    start: Callable[[keras.Model, Mapping[str, Value], NDArray[np.float32], NDArray[np.int16]], None]
    """(network, parameters, training features, their labels): gives the network's head its first weights."""
    cut: Callable[[keras.Model, Mapping[str, Value], Facts], tuple[keras.Model, keras.Model] | None]
    """(network, parameters, facts) -> what of it is not trained, and what is, on rows of numbers between; or None."""


@dataclass(frozen=True)
class Heads:
    """The heads of a family that learns on features."""

    trains: Callable[[Mapping[str, Value]], bool]
    """Whether a point's head is the preset's network, trained in epochs; else `fit` is its fold run."""
    fit: Callable[[Mapping[str, Value], NDArray[np.float32], NDArray[np.int16], int], Any]
    """(parameters, training features, their labels, seed) -> a head, fitted at once."""
    predict_proba: Callable[[Any, NDArray[np.float32], int], NDArray[np.float32]]
    """(fitted head, features, classes) -> probabilities."""


@dataclass(frozen=True)
class Preset:
    """One ready-made space. Its default point is the baseline, trial 0."""

    name: str
    summary: str
    space: Callable[[Facts], Space]
    network: Callable[[Mapping[str, Value], Facts], keras.Model]
    """(parameters, facts) -> model, not compiled; takes float32 pixels 0..255 [batch, height, width, channels];
    for a family with heads on features, standardised ones [batch, width]."""
    optimizer: Callable[[Mapping[str, Value]], keras.optimizers.Optimizer]
    epochs: int  # the most epochs of a fold run, unless the study says otherwise
    starts: tuple[KnownGood, ...] = ()
    """Tried after the baseline and before the sampler's points."""
    frozen: FrozenFeatures | None = None
    """What the family does with features of a backbone; None: it has none."""
    recipe: Callable[[Mapping[str, Value], Facts], Recipe] = recipe_of

    def build(self, params: Mapping[str, Value], facts: Facts) -> keras.Model:
        """The compiled model of one point: the loss that fits its output, and a confusion matrix as its metric."""
        return self.compiled(self.network(params, facts), params, facts)

    def compiled(self, network: keras.Model, params: Mapping[str, Value], facts: Facts) -> keras.Model:
        """`network` of one point, or a part of it that ends like it, compiled as `build` says."""
        from spaces import compiling
        from spaces.presets import parts  # imports Keras

        loss = parts.cross_entropy(network.output_shape[-1], float(params.get("label_smoothing", 0.0)))
        return compiling.compiled(network, facts.classes, self.optimizer(params), loss)


@dataclass(frozen=True)
class Auto:
    """The preset of all families."""

    name: str
    summary: str
    families: tuple[Preset, ...]
    epochs: int
    starts: tuple[KnownGood, ...]

    def space(self, facts: Facts) -> Space:
        """The spaces of those families that can be searched here: those with a backbone only where one is available."""
        usable = [family for family in self.families if facts.backbones or not family.frozen]
        return auto.space(facts, {family.name: family.space for family in usable})


def family_of(chosen: Preset | Auto, params: Mapping[str, Value]) -> tuple[Preset, Mapping[str, Value]]:
    """The family that builds a point, and the point as that family knows it."""
    if isinstance(chosen, Preset):
        return chosen, params
    return next(f for f in chosen.families if f.name == params[auto.FAMILY]), auto.within(params)


def shared_views(chosen: Preset | Auto, params: Mapping[str, Value], facts: Facts) -> frozenset[frozen.View]:
    """The views that a point's model shows to a backbone as it is: members of an ensemble share these passes."""
    family, params = family_of(chosen, params)
    if family.frozen is None or family.frozen.heads is None:  # all of it is a network of its own
        return frozenset()
    return frozenset(family.frozen.views(params, facts))


def probes(chosen: Preset | Auto, facts: Facts) -> dict[str, dict[str, Value]]:
    """Backbone -> changes to the default point that make it the frozen probe with that backbone; first the default's.

    They differ in the backbone alone. Empty where there are fewer than two, or where the preset has no frozen features.
    """
    names = [backbone.name for backbone in facts.backbones]
    if len(names) < 2:
        return {}
    if isinstance(chosen, Auto):
        return {name: {auto.FAMILY: "frozen", f"{auto.prefix('frozen')}backbone": name} for name in names}
    return {name: {"backbone": name} for name in names} if chosen.frozen and chosen.frozen.heads else {}


def known_good(chosen: Preset | Auto, facts: Facts) -> tuple[KnownGood, ...]:
    """Points to try after the baseline and before the sampler's.

    The probes of all backbones come first: in minutes they say which networks see what matters in these images.
    """
    of_backbones = [
        KnownGood(changes, "a simple search over backbones beats any advice (arXiv 2410.08592)")
        for changes in probes(chosen, facts).values()
    ]
    return (*of_backbones, *chosen.starts)


_CNN = Preset("cnn", cnn.SUMMARY, cnn.space, cnn.network, cnn.optimizer, 40)
_QUESTION = Preset(
    "question",
    question.SUMMARY,
    question.space,
    question.network,
    question.optimizer,
    25,
    portfolio.QUESTION,
)
_FROZEN = Preset(
    "frozen",
    frozen.SUMMARY,
    frozen.space,
    frozen.network,
    frozen.optimizer,
    100,
    portfolio.FROZEN,
    FrozenFeatures(
        frozen.backbone,
        frozen.views,
        frozen.columns,
        frozen.layers,
        Heads(frozen.trains, frozen.fit, frozen.predict_proba),
    ),
    frozen.recipe,
)
_FINE_TUNE = Preset(
    "fine-tune",
    fine_tune.SUMMARY,
    fine_tune.space,
    fine_tune.network,
    fine_tune.optimizer,
    16,
    (),
    FrozenFeatures(
        frozen.backbone,
        frozen.views,
        frozen.columns,
        fine_tune.layers,
        tuned=Tuned(fine_tune.trained, fine_tune.shape, fine_tune.head, fine_tune.start, fine_tune.cut),
    ),
    fine_tune.recipe,
)
FAMILIES: dict[str, Preset] = {family.name: family for family in (_FROZEN, _FINE_TUNE, _CNN, _QUESTION)}
PRESETS: dict[str, Preset | Auto] = {
    "auto": Auto("auto", auto.SUMMARY, tuple(FAMILIES.values()), 40, portfolio.AUTO),
    **FAMILIES,
}


EXAMPLE = Facts(64, 64, 3, 2, 1000, (*PACKAGED, *map(without_weights, ARCHITECTURES)), uneven=True)
"""Facts by which a space is shown without a data set: it has everything that can be searched, available here or not."""


def preset(name: str) -> Preset | Auto:
    """The preset of this name. Raises SpaceError, naming the nearest, where there is none."""
    if name not in PRESETS:
        raise SpaceError(f"preset: there is no '{name}'; {nearest(name, list(PRESETS))}")
    return PRESETS[name]
