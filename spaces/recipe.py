"""How a point is trained, apart from its network: read from parameters with fixed names, of a preset or a user."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from spaces.facts import Facts
from spaces.parameters import Value, nearest

USUAL_BATCH = 32  # Keras's default, for a custom model that does not declare batch_size
WARM_UP = 0.05  # of all steps, under 'cosine'
PLATEAU_EPOCHS = 3  # without a smaller validation log loss, after which 'plateau' lowers the learning rate
PLATEAU_FACTOR = 0.3
EMA_EPOCHS = 5  # horizon of the average over weights

SCHEDULES = ("constant", "cosine", "plateau")
AUGMENTATIONS = ("none", "shift", "geometric", "randaugment", "mixup", "cutmix", "question")
"""Each with a flip where flips are allowed; from 'geometric' on, each but the last is added to 'shift'.

'question' is shear 0.2, zoom 0.2 and a horizontal flip, as in the ImageDataGenerator of the preset `question`.
"""


@dataclass(frozen=True)
class Recipe:
    """How a fold run trains a compiled model."""

    batch_size: int = USUAL_BATCH
    steps: int | None = None  # batches an epoch; None: one pass over the training images
    schedule: str = "constant"  # of the learning rate, one of SCHEDULES
    augmentation: str = "none"  # one of AUGMENTATIONS
    flip: bool = True  # whether augmentation may turn an image left to right
    vertical_flip: bool = False
    balanced: bool = False  # classes weighted by the inverse of their frequency
    averaged: bool = False  # judged with an exponential moving average of the weights
    flip_average: bool = False  # predictions averaged over the image and its mirror image

    @property
    def judged_at_the_end(self) -> bool:
        """Whether all epochs are trained and the last one counts: a cosine makes sense only as a whole."""
        return self.schedule == "cosine"

    @property
    def mixes(self) -> bool:
        """Whether augmentation makes one image out of several of a batch."""
        return self.augmentation in ("mixup", "cutmix")

    def rate(self, step: int, steps: int) -> float:
        """The learning rate of a 0-based step of all `steps`, as a factor in 0..1, but for plateaus.

        'cosine': linear warm-up over WARM_UP of the steps, then half a cosine to 0 (SGDR, arXiv 1608.03983).
        """
        if self.schedule != "cosine":
            return 1.0
        return min(1.0, (step + 1) / max(1.0, WARM_UP * steps)) * (1 + math.cos(math.pi * step / steps)) / 2


def plateau_factor(epochs: int) -> float:
    """Of the learning rate under 'plateau', this many epochs after the best one."""
    return PLATEAU_FACTOR ** (epochs // PLATEAU_EPOCHS)


def recipe_of(params: Mapping[str, Value], facts: Facts) -> Recipe:
    """The recipe that these parameters declare; for the others, the defaults of Recipe.

    Read are batch_size, epoch ('50 steps' or 'one pass'), schedule, augmentation, vertical_flip,
    class_weights ('none', 'balanced'), ema and flip_average. Raises ValueError for an unknown schedule
    or augmentation.
    """
    epoch, schedule, augmentation = (
        str(params.get(name, default))
        for name, default in (("epoch", "one pass"), ("schedule", "constant"), ("augmentation", "none"))
    )
    for name, value, known in (("schedule", schedule, SCHEDULES), ("augmentation", augmentation, AUGMENTATIONS)):
        if value not in known:
            raise ValueError(f"{name}: there is no '{value}'; {nearest(value, known)}")
    return Recipe(
        batch_size=int(params.get("batch_size", USUAL_BATCH)),
        steps=int(epoch.split()[0]) if epoch.endswith(" steps") else None,
        schedule=schedule,
        augmentation=augmentation,
        flip=facts.flip,
        vertical_flip=facts.flip and params.get("vertical_flip") is True,
        balanced=params.get("class_weights") == "balanced",
        averaged=params.get("ema") is True,
        flip_average=facts.flip and params.get("flip_average") is True,
    )


def own_recipe(params: Mapping[str, Value], facts: Facts) -> Recipe:
    """The recipe of a user's builder, which may declare batch_size, epochs and augmentation.

    `epochs` is only checked here: the fold run's job has the number. All other names belong to the builder, as does an
    `augmentation` with other values than AUGMENTATIONS: existing builders use that name for something else.
    Raises ValueError for a batch size or epochs below 1.
    """
    named = {name: params[name] for name in ("batch_size", "epochs") if name in params}
    for name, value in named.items():
        if int(value) < 1:
            raise ValueError(f"{name}: must be at least 1, got {value}; declare it with hp from 1 on")
    if params.get("augmentation") in AUGMENTATIONS:
        named["augmentation"] = params["augmentation"]
    return recipe_of(named, facts)
