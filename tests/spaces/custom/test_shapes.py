"""Whether a custom model's input fits the images: what is said names what differs, and no other remedy."""

from __future__ import annotations

import pytest

from spaces.custom.shapes import wrong_input
from spaces.facts import Facts

GREY, COLOUR = (Facts(height=32, width=48, channels=channels, classes=2, images=9) for channels in (1, 3))


@pytest.mark.parametrize(
    ("shape", "facts"),
    [
        ((None, 32, 48, 1), GREY),
        ((None, 32, 48, 3), GREY),
        ((None, None, None, 3), COLOUR),
        ((None, None, None, None), COLOUR),
    ],
)
def test_what_fits(shape: tuple[int | None, ...], facts: Facts) -> None:
    assert wrong_input(shape, facts) == ""


@pytest.mark.parametrize(
    ("shape", "facts", "sentence"),
    [
        (
            (None, 32, 48, 1),
            COLOUR,
            "takes grey (1 channel), but the images are colour (3 channels), since at least one of them has colour: "
            "Input((32, 48, 3))",
        ),
        (
            (None, 32, 48, 4),
            COLOUR,
            "takes colour with alpha (4 channels), but the images are colour (3 channels), since transparency is not "
            "kept: Input((32, 48, 3))",
        ),
        (
            (None, None, None, 4),
            GREY,
            "takes colour with alpha (4 channels), but the images are grey (1 channel), since transparency is not "
            "kept: Input((None, None, 1))",
        ),
        (
            (None, 32, 48, 2),
            GREY,
            "takes images of 2 channels, but the images are grey (1 channel), since none of them has colour: "
            "Input((32, 48, 1))",
        ),
        (
            (None, 3, 32, 48),
            COLOUR,
            "takes 3 x 32 x 48, but the images are 32 x 48 x 3: channels come last here, Input((32, 48, 3))",
        ),
        (
            (None, 28, 28, 3),
            COLOUR,
            "takes 28 x 28 x 3, but the images are 32 x 48 x 3; `search init IMAGES`, then set image_size = [28, 28] "
            "in its study.toml, or change its Input",
        ),
        (
            (None, 28, 28, 1),
            COLOUR,
            "takes 28 x 28 x 1, but the images are 32 x 48 x 3; `search init IMAGES`, then set image_size = [28, 28] "
            "in its study.toml, or change its Input, and their channels are 3: Input((28, 28, 3))",
        ),
        ((None, 64), COLOUR, "takes 64, but the images are 32 x 48 x 3; it must take height x width x channels"),
        (
            [(None, 8), (None, 9)],
            COLOUR,
            "takes several inputs, but the images are 32 x 48 x 3; it must take height x width x channels",
        ),
    ],
)
def test_what_differs_is_named(shape: object, facts: Facts, sentence: str) -> None:
    assert wrong_input(shape, facts) == sentence
