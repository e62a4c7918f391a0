"""What is known of a network that may not learn: evidence, symptoms, causes, as values."""

from __future__ import annotations

import math
from dataclasses import dataclass

STUCK, BROKEN, ONE_CLASS, BY_HEART = "stuck at chance", "not finite", "one class only", "learned by heart"
UNSURE = "no surer than a guess"


@dataclass(frozen=True)
class OutputStats:
    """What a network says of some training images, in inference mode."""

    log_loss: float  # nats, without penalties
    spread: float  # standard deviation over images of a class's probability, the largest of all classes
    predicted: int  # classes that are predicted for some image
    auroc: float  # one class against the rest, macro; NaN where it cannot be said


@dataclass(frozen=True)
class EpochSnapshot:
    """What training itself shows at an epoch, at no cost."""

    epoch: int
    ended: bool  # whether this is the last epoch
    losses: tuple[float, ...]  # training loss of every epoch, penalties included
    accuracy: float  # balanced, over the training images as this epoch saw them
    validation: float  # balanced accuracy on the validation images, now
    best: float  # the same at the epoch with the least validation loss so far
    least: float  # nats, without penalties: that loss
    floor: float  # nats: entropy of the class shares, the loss of a guess that never looks at an image
    classes: int  # that occur among the training images
    images: int  # for training
    validated: int  # images for validation


@dataclass(frozen=True)
class LayerEvidence:
    """One layer of a network, in the order in which images pass through."""

    name: str
    kind: str  # Keras class name
    spread: float  # standard deviation over images of its output, root mean square over units
    spread_at_start: float | None  # the same with initial weights; None where those were not kept
    dead: float | None = None  # share of units that are 0 for every image; None but for ReLU
    dead_at_start: float | None = None
    gradient: float | None = None  # L2 norm of the loss's gradient, without penalties; None without trained weights
    moved: float | None = None  # L2 norm of its kernel's change since the start, over that of the kernel then
    size: float | None = None  # L2 norm of its kernel now, over that at the start
    zero_at_start: bool = False  # whether its initial kernel is 0 everywhere
    dropout: float = 0.0  # share of units that it drops
    untrained: bool = False  # frozen, with weights as initializers make them


@dataclass(frozen=True)
class Cause:
    """What may be wrong, how strongly the evidence speaks for it, and the line to change."""

    name: str  # short and countable
    evidence: str  # in words, with numbers
    change: str  # what to change, as a line of code or of study.toml where there is one
    strength: float  # 0..1
    fatal: bool = False  # found before training, and makes that meaningless
    lasting: bool = False  # waiting does not cure it


@dataclass(frozen=True)
class Evidence:
    """What a closer look at a network found."""

    layers: tuple[LayerEvidence, ...]
    floor: float  # nats, as in Glance
    loss: float  # nats, without penalties
    penalty: float = 0.0  # of regularisers, in the loss now
    penalty_at_start: float = 0.0
    input_size: float = 0.5  # root mean square of what the first layer with weights is given; NaN: normalised there
    input_spread: float = 0.25  # standard deviation over images of that, root mean square over its places
    image_spread: float = 0.25  # the same of the images, as the model is given them
    learning_rate: float = math.nan  # NaN: not known
    steps: int = 0  # of the optimizer, so far
    found: tuple[Cause, ...] = ()  # by the static checks


@dataclass(frozen=True)
class Symptom:
    """That something is wrong, and by what one sees it."""

    name: str  # STUCK, BROKEN, ONE_CLASS, BY_HEART or UNSURE
    signs: tuple[str, ...]  # in words


@dataclass(frozen=True)
class Diagnosis:
    """A symptom with its suspected causes, likeliest first; never none."""

    symptom: Symptom
    causes: tuple[Cause, ...]
    collapsed: bool  # whether training on is in vain
    evidence: Evidence | None = None  # the numbers, layer by layer; None where there was nothing to look at

    @property
    def name(self) -> str:
        """Symptom and likeliest cause: short and countable."""
        return f"{self.symptom.name}: {self.causes[0].name}"

    @property
    def sentences(self) -> tuple[str, ...]:
        """The signs, and what speaks for each cause."""
        return (*self.symptom.signs, *(f"{cause.name}: {cause.evidence}" for cause in self.causes))
