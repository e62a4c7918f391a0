"""Values that describe a network which may not learn: evidence, symptoms, causes."""

from __future__ import annotations

import math
from dataclasses import dataclass

STUCK, BROKEN, ONE_CLASS, BY_HEART = "stuck at chance", "not finite", "one class only", "learned by heart"
UNSURE = "no surer than a guess"


@dataclass(frozen=True)
class OutputStats:
    """Statistics of a network's predictions for some training images, in inference mode."""

    log_loss: float  # nats, without penalties
    spread: float  # standard deviation over images of a class's probability, for the class where it is largest
    predicted: int  # number of classes that are predicted for at least one image
    auroc: float  # one class against the rest, macro; NaN if it is undefined


@dataclass(frozen=True)
class EpochSnapshot:
    """What is known after an epoch without extra work."""

    epoch: int
    ended: bool  # whether this is the last epoch
    losses: tuple[float, ...]  # training loss of every epoch, penalties included
    accuracy: float  # balanced, over the training images during this epoch
    validation: float  # balanced accuracy on the validation images after this epoch
    best: float  # the same after the epoch with the lowest validation loss so far
    least: float  # that lowest validation loss; nats, without penalties
    floor: float  # nats: entropy of the class shares, the loss of a guess that ignores the images
    classes: int  # number of classes among the training images
    images: int  # number of training images
    validated: int  # number of validation images


@dataclass(frozen=True)
class LayerEvidence:
    """One layer of a network. Layers are in the order of the forward pass."""

    name: str
    kind: str  # Keras class name
    spread: float  # standard deviation over images of its output, root mean square over units
    spread_at_start: float | None  # the same with initial weights; None if those are not known
    dead: float | None = None  # share of units that are 0 for every image; None if it is no ReLU
    dead_at_start: float | None = None
    gradient: float | None = None  # L2 norm of the loss's gradient, without penalties; None without trained weights
    moved: float | None = None  # L2 norm of the change of its kernel since the start / norm of the initial kernel
    size: float | None = None  # L2 norm of its kernel / norm of the initial kernel
    zero_at_start: bool = False  # whether its initial kernel is all 0
    dropout: float = 0.0  # share of units that it drops
    untrained: bool = False  # whether it is frozen and has the weights of its initializers


@dataclass(frozen=True)
class Cause:
    """A suspected cause: the evidence, how strong it is, and the line to change."""

    name: str  # short, always the same for the same cause
    evidence: str  # a sentence with numbers
    change: str  # what to change: a line of code or of study.toml if possible
    strength: float  # of the evidence, 0..1
    fatal: bool = False  # whether it is known before training, and makes training pointless
    lasting: bool = False  # whether more epochs do not help


@dataclass(frozen=True)
class Evidence:
    """The result of the inspection of a network."""

    layers: tuple[LayerEvidence, ...]
    floor: float  # nats, as in EpochSnapshot
    loss: float  # nats, without penalties
    penalty: float = 0.0  # sum of the regularisers' terms in the loss now
    penalty_at_start: float = 0.0
    input_size: float = 0.5  # root mean square of the input of the first layer with weights; NaN: it normalises
    input_spread: float = 0.25  # standard deviation over images of that input, root mean square over its elements
    image_spread: float = 0.25  # the same for the images that the model receives
    learning_rate: float = math.nan  # NaN: not known
    steps: int = 0  # of the optimizer, so far
    found: tuple[Cause, ...] = ()  # by the static checks


@dataclass(frozen=True)
class Symptom:
    """What is wrong, and the signs of it."""

    name: str  # STUCK, BROKEN, ONE_CLASS, BY_HEART or UNSURE
    signs: tuple[str, ...]  # sentences


@dataclass(frozen=True)
class Diagnosis:
    """A symptom with its suspected causes, the likeliest first; there is at least one."""

    symptom: Symptom
    causes: tuple[Cause, ...]
    collapsed: bool  # whether more training is useless
    evidence: Evidence | None = None  # None if the network could not be inspected

    @property
    def name(self) -> str:
        """Symptom and likeliest cause, for counting."""
        return f"{self.symptom.name}: {self.causes[0].name}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """The signs, and the evidence of each cause."""
        return (*self.symptom.signs, *(f"{cause.name}: {cause.evidence}" for cause in self.causes))
