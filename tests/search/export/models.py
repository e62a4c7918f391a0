"""A small model of the study's kind, and images that it was trained for; which runtimes are installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.export.formats import FORMATS, Format
from search.export.images import StudyImages

CLASSES = ["dark", "bright"]
BY_NAME = {one.name: one for one in FORMATS}


def lacking(format_: Format) -> bool:
    return any(importlib.util.find_spec(module) is None for module in format_.modules)


def needs(name: str) -> pytest.MarkDecorator:
    """Skips a test where the packages of a format are not installed."""
    modules = ", ".join(BY_NAME[name].modules)
    return pytest.mark.skipif(lacking(BY_NAME[name]), reason=f"{modules} not installed (extra export)")


EVERY = [pytest.param(one, marks=needs(one.name), id=one.name) for one in FORMATS]


def saved(path: Path, **about: Any) -> Path:
    """A small network with what such networks have, of grey pictures of 8 x 8; its weights are random."""
    import keras

    from search.worker.packaging import save

    keras.utils.set_random_seed(3)
    x = inputs = keras.Input((8, 8, 1))
    x = keras.layers.Rescaling(1 / 255)(x)
    x = keras.layers.Normalization(mean=[0.5], variance=[0.25])(x)  # keeps constants that lie outside of its graph
    x = keras.layers.Conv2D(4, 3, padding="same")(x)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.Activation("gelu")(x)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.Dropout(0.2)(keras.layers.Flatten()(x))
    model = keras.Model(inputs, keras.layers.Dense(2, "softmax")(x))
    said = {"classes": CLASSES, "image_shape": [8, 8, 1], "packaging": 2, "temperature": 1.5, **about}
    save(model, path, said)
    return path


def images(count: int = 70) -> StudyImages:
    """Noise, the last 20 for testing; the labels are what they happen to be."""
    draw = np.random.default_rng(1)
    return StudyImages(
        pixels=draw.integers(0, 256, (count, 8, 8, 1)).astype(np.uint8),
        labels=draw.integers(0, 2, count).astype(np.int16),
        testing=np.arange(count) >= count - 20,
    )


def nothing(_done: int, _all: int) -> None:
    """Progress that nobody looks at."""
