"""Parameters that several presets share: names that `recipe_of` reads, with ranges and where those come from."""

from __future__ import annotations

from spaces.facts import Facts
from spaces.parameters import Parameter, When, boolean, choice, real
from spaces.recipe import AUGMENTATIONS

_AUGMENTED = tuple(name for name in AUGMENTATIONS if name != "none")


def augmentation(default: str) -> tuple[Parameter, ...]:
    """How training images are changed at random; all but 'none' are in Keras's own layers."""
    return (
        choice(
            "augmentation",
            *AUGMENTATIONS,
            default=default,
            help="of training images: a flip (unless --no-flip) and a shift of 10 %; more: rotation, zoom, shear "
            "(geometric), RandAugment, MixUp or CutMix; or the question's shear, zoom and flip",
        ),
    )


def vertical_flip(facts: Facts) -> tuple[Parameter, ...]:
    """Upside down as well: for pictures from above or through a microscope."""
    if not facts.flip:
        return ()
    return (
        boolean(
            "vertical_flip",
            default=False,
            when=(When("augmentation", _AUGMENTED),),
            help="augmentation also turns images upside down",
        ),
    )


def label_smoothing(when: tuple[When, ...] = ()) -> tuple[Parameter, ...]:
    """0 to 0.2: METHOD's table; 0.1 is the value of its paper (arXiv 1512.00567)."""
    return (
        real(
            "label_smoothing",
            0.0,
            0.2,
            0.0,
            step=0.05,
            limits=(0.0, 0.9),
            when=when,
            help="share of each label given to all classes alike",
        ),
    )


def class_weights(facts: Facts) -> tuple[Parameter, ...]:
    """Only where some class has much more images than another: else there is nothing to weigh."""
    if not facts.uneven:
        return ()
    return (choice("class_weights", "none", "balanced", help="whether images of rare classes count more, to be even"),)


def ema() -> tuple[Parameter, ...]:
    """Judged with averaged weights."""
    return (boolean("ema", default=False, help="judged by an average over the weights of about 5 epochs"),)
