"""Asking a model's file: what it answers are probabilities, or it is an error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from search.errors import UsageError
from search.export.predict import list_inputs, predict
from tests.pictures import make_pictures

ABOUT = {"classes": ["a", "b"], "image_shape": [8, 8, 1], "packaging": 2}


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[str, float], Path]:
    """A file as `search export` writes it: a dense layer with this activation, its weights all this number."""

    def make(activation: str, weight: float) -> Path:
        import keras

        from search.worker.packaging import save

        inputs = keras.Input((8, 8, 1))
        layer = keras.layers.Dense(2, activation)
        model = keras.Model(inputs, layer(keras.layers.Flatten()(inputs)))
        layer.set_weights([np.full_like(values, weight) for values in layer.get_weights()])
        save(model, tmp_path / "model.keras", ABOUT)
        return tmp_path / "model.keras"

    return make


def answers(model: Path, tmp_path: Path) -> list[Any]:
    pictures = make_pictures(tmp_path / "pictures", {"a": 3}, size=8)
    return [answer.probabilities for answer in predict(model, list_inputs([pictures]))]


def test_rows_add_up_to_1(saved: Callable[[str, float], Path], tmp_path: Path) -> None:
    assert answers(saved("softmax", 0.0), tmp_path) == [(0.5, 0.5)] * 3


def test_nan_is_never_an_answer(saved: Callable[[str, float], Path], tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"model\.keras answers NaN: 2 of its 2 arrays of weights hold NaN or infinity; `search export"
    ):
        answers(saved("softmax", float("nan")), tmp_path)
    with pytest.raises(UsageError, match=r"answers NaN: it overflows"):
        answers(saved("softmax", 3e38), tmp_path / "other")


@pytest.mark.parametrize(("activation", "weight"), [("linear", 1.0), ("sigmoid", 1.0), ("tanh", -1.0)])
def test_numbers_that_are_no_probabilities_are_never_an_answer(
    saved: Callable[[str, float], Path], tmp_path: Path, activation: str, weight: float
) -> None:
    with pytest.raises(UsageError, match=r"add up to .*, not probabilities: it is of an earlier release, or damaged"):
        answers(saved(activation, weight), tmp_path)
