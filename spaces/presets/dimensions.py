"""Parameters that several presets share: names that `recipe_of` reads, with ranges and where those come from."""

from __future__ import annotations

from spaces.facts import Facts
from spaces.parameters import Parameter, When, boolean, choice, real
from spaces.recipe import AUGMENTATIONS

_AUGMENTED = tuple(name for name in AUGMENTATIONS if name != "none")


def backbone(facts: Facts, help_: str) -> tuple[Parameter, ...]:
    """Which pre-trained network, the first by default; a single one is no parameter."""
    names = [found.name for found in facts.backbones]
    if len(names) < 2:
        return ()
    source = "those whose weights are at hand (the extra `backbone`, [weights] of study.toml, Keras's cache), the "
    source += "first by default; a parameter where there are two or more"
    return (choice("backbone", *names, help=help_, source=source),)


def sides(facts: Facts) -> tuple[int, ...]:
    """Sides in pixels of what a pre-trained network is shown, up to 384 where the images have that much to show."""
    return (64, 96, 128, 160, 192, 224, *((288, 384) if facts.side > 224 else ()))


def augmentation(default: str) -> tuple[Parameter, ...]:
    """How training images are changed at random; all but 'none' are in Keras's own layers."""
    return (
        choice(
            "augmentation",
            *AUGMENTATIONS,
            default=default,
            help="of training images: a flip (unless --no-flip) and a shift of 10 %; more: rotation, zoom, shear "
            "(geometric), RandAugment, MixUp or CutMix; or the question's shear, zoom and flip",
            source="flip and shift as in ResNet on CIFAR-10 (arXiv 1512.03385); RandAugment: arXiv 1909.13719; "
            "MixUp: arXiv 1710.09412; CutMix: arXiv 1905.04899",
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
            source="off by default: most pictures have a top",
        ),
    )


def label_smoothing(when: tuple[When, ...] = ()) -> tuple[Parameter, ...]:
    """Labels that are not quite certain, off by default."""
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
            source="0.1 in Szegedy et al. 2016 (arXiv 1512.00567), twice that at most; off by default, as in Keras",
        ),
    )


def class_weights(facts: Facts) -> tuple[Parameter, ...]:
    """Only where some class has much more images than another: else there is nothing to weigh."""
    if not facts.uneven:
        return ()
    return (
        choice(
            "class_weights",
            "none",
            "balanced",
            help="whether images of rare classes count more, to be even",
            source="balanced as in scikit-learn; off by default, as there",
        ),
    )


def ema() -> tuple[Parameter, ...]:
    """Judged with averaged weights."""
    return (
        boolean(
            "ema",
            default=False,
            help="judged by an average over the weights of about 5 epochs",
            source="averages of weights: Polyak and Juditsky 1992; 5 epochs are a guess; off by default, as in Keras",
        ),
    )


def weight_decay(
    default: float, source: str, when: tuple[When, ...] = (), *, name: str = "weight_decay", most: float = 0.3
) -> tuple[Parameter, ...]:
    """Of AdamW and SGD as Keras does it, decoupled from the gradient (arXiv 1711.05101)."""
    return (
        real(
            name,
            1e-4,
            most,
            default,
            log=True,
            limits=(0.0, 1.0),
            when=when,
            help="share of each weight that is taken off, times the learning rate, at every step",
            source=source,
        ),
    )
