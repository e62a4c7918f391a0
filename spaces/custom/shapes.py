"""Whether a custom model's input fits the images, and its output the classes. Each problem is a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from spaces.facts import Facts

Shape: TypeAlias = "Sequence[int | None]"  # without the batch axis

_COLOURS = {1: "grey (1 channel)", 3: "colour (3 channels)", 4: "colour with alpha (4 channels)"}


def wrong_output(shape: Any, facts: Facts) -> str:
    """What is wrong with `model.output_shape`, as a predicate such as 'has several outputs'; '' if nothing is."""
    if not isinstance(shape, tuple) or len(shape) != 2:
        single = isinstance(shape, tuple) and all(side is None or isinstance(side, int) for side in shape)
        many = f"has an output of {_by(shape[1:])}" if single else "has several outputs"
        return f"{many}; it must have one, a number for each class: Flatten or GlobalAveragePooling2D, then Dense"
    units = int(shape[-1])
    if units == facts.classes or (units == 1 and facts.classes == 2):
        return ""
    or_one = " (or 1, for two classes)" if facts.classes == 2 else ""
    return (
        f"has {units} output units, but there are {facts.classes} classes: the last layer needs {facts.classes}{or_one}"
    )


def wrong_input(shape: Any, facts: Facts) -> str:
    """What is wrong with `model.input_shape`, as a predicate such as 'takes 64'; '' if nothing is.

    Grey images fit a model for colour: they are given to it with three equal channels.
    """
    wanted: Shape = tuple(shape[1:]) if isinstance(shape, tuple) else ()
    sizes = f"but the images are {_by(facts.shape)}"
    if len(wanted) != 3:
        return f"takes {_by(wanted) or 'several inputs'}, {sizes}; it must take height x width x channels"
    height, width, channels = wanted
    fits = height in (None, facts.height) and width in (None, facts.width)
    fits_channels = channels in (None, facts.channels) or (facts.channels == 1 and channels == 3)
    if fits and fits_channels:
        return ""
    if wanted[0] in (1, 3) and wanted[1:] == (facts.height, facts.width):
        return f"takes {_by(wanted)}, {sizes}: channels come last here, Input({_numbers(facts.shape)})"
    step = f"Input(({height}, {width}, {facts.channels}))"
    if fits:
        taken = _COLOURS.get(int(channels or 0), f"images of {channels} channels")
        return f"takes {taken}, but the images are {_COLOURS[facts.channels]}{_read_as(channels, facts)}: {step}"
    size = f"image_size = [{height}, {width}]"
    advice = f"`search init IMAGES`, then set {size} in its study.toml, or change its Input"
    both = "" if fits_channels else f", and their channels are {facts.channels}: {step}"
    return f"takes {_by(wanted)}, {sizes}; {advice}{both}"


def _read_as(channels: int | None, facts: Facts) -> str:
    if channels == 4:
        return ", since transparency is not kept"
    return ", since at least one of them has colour" if facts.channels == 3 else ", since none of them has colour"


def _by(shape: Shape) -> str:
    return " x ".join("any" if side is None else str(side) for side in shape)


def _numbers(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"
