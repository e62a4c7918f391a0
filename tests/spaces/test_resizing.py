"""Resizing: what TensorFlow's antialiased one computes, in operations that XLA and the converters have."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spaces.resizing import bilinear, resized

SIZES = ((8, 8, 64), (64, 64, 64), (90, 128, 96), (128, 128, 64), (224, 32, 96), (127, 200, 96))


@pytest.mark.parametrize(("height", "width", "side"), SIZES)
def test_it_equals_tensorflows_antialiased_resizing(height: int, width: int, side: int) -> None:
    import tensorflow as tf

    pixels = np.random.default_rng(1).integers(0, 256, (3, height, width, 3)).astype(np.float32)
    ours = np.asarray(resized(tf.constant(pixels), side))
    theirs = tf.image.resize(pixels, (side, side), antialias=True).numpy()
    if max(height, width) <= side:
        np.testing.assert_array_equal(ours, theirs)
    else:  # of 0..255; ScaleAndTranslate computes places of pixels in single precision
        np.testing.assert_allclose(ours, theirs, atol=0.01)


@pytest.mark.parametrize(("height", "width", "side"), SIZES)
def test_xla_compiles_it_and_a_model_of_it_is_saved_and_loaded_in_safe_mode(
    height: int, width: int, side: int, tmp_path: Path
) -> None:
    import keras
    import tensorflow as tf

    pixels = tf.constant(np.random.default_rng(2).integers(0, 256, (2, height, width, 3)).astype(np.float32))
    plain = np.asarray(resized(pixels, side))
    compiled = tf.function(lambda x: resized(x, side), jit_compile=True)
    np.testing.assert_allclose(compiled(pixels), plain, atol=0.001)
    inputs = keras.Input((height, width, 3))
    keras.Model(inputs, resized(inputs, side) * 1.0).save(tmp_path / "resized.keras")
    loaded = keras.saving.load_model(tmp_path / "resized.keras", safe_mode=True)
    np.testing.assert_allclose(loaded(pixels), plain, atol=0.001)


@given(st.integers(1, 300), st.integers(1, 300))
def test_every_new_pixel_is_a_mean_of_old_ones_around_its_place(size: int, side: int) -> None:
    weights = bilinear(size, side)
    assert weights.shape == (side, size) and weights.min() >= 0
    np.testing.assert_allclose(weights.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(weights, weights[::-1, ::-1], atol=1e-6)
    places = weights @ np.arange(size)
    assert (np.diff(places) >= -1e-3).all(), "in their order"
