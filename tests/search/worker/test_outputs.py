"""Outputs that are no probabilities: what they mean. Every answer adds up to 1, here and in the exported file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from search.jobs import DescribeJob, Description, Failure, FoldJob, WorkerContext
from search.study.prepared import Prepared
from tests.search.worker.conftest import shipped, worker_for
from tests.search.worker.test_trainer import fold_job, trained

BUILD = """
import functools
import keras
import tensorflow as tf
from keras import layers, ops


def logits_loss(y, z):
    return tf.nn.softmax_cross_entropy_with_logits(labels=y, logits=z)


def focal(y, z):
    log_p = ops.log_softmax(z)
    return -ops.sum(y * (1 - ops.exp(log_p)) ** 2 * log_p, axis=-1)


def binary_focal_crossentropy_with_logits(y, z):
    return ops.mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=z), axis=-1)


class Net(keras.Model):
    def __init__(self, activation):
        super().__init__()
        self.flatten, self.outer = layers.Flatten(), layers.Dense(UNITS)
        self.activation = keras.activations.get(activation)

    def call(self, x):
        return self.activation(self.outer(self.flatten(x)))


def layered(*last):
    return keras.Sequential([keras.Input((8, 8, CHANNELS)), layers.Flatten(), *last])


def build(hp):
    model = MODEL
    model.compile(keras.optimizers.Adam(3e-3), LOSS)
    return model
"""

HEADS = {  # (classes, units, model, loss) and a word of the note, '' where there is none
    "softmax": (3, 3, 'layered(layers.Dense(3, "softmax"))', '"categorical_crossentropy"', ""),
    "logits": (3, 3, "layered(layers.Dense(3))", "keras.losses.CategoricalCrossentropy(from_logits=True)", ""),
    "loss on logits": (3, 3, "layered(layers.Dense(3))", "logits_loss", "logits, so softmax"),
    "mse": (3, 3, "layered(layers.Dense(3))", '"mse"', "divided by their sum"),
    "one unit": (2, 1, 'layered(layers.Dense(1, "sigmoid"))', '"binary_crossentropy"', ""),
    "a list of one loss": (3, 3, "layered(layers.Dense(3))", "[keras.losses.CategoricalCrossentropy(True)]", ""),
    "a dict of one loss": (
        3,
        3,
        'layered(layers.Dense(3, name="out"))',
        '{"out": keras.losses.CategoricalCrossentropy(from_logits=True)}',
        "",
    ),
    "a partial": (
        3,
        3,
        "layered(layers.Dense(3))",
        "functools.partial(keras.losses.categorical_crossentropy, from_logits=True)",
        "",
    ),
    "focal loss on logits": (3, 3, "layered(layers.Dense(3))", "focal", "logits, so softmax"),
    "lambda": (3, 3, "layered(layers.Dense(3))", "lambda y, z: focal(y, z)", "logits, so softmax"),
    "tensorflow's loss": (
        3,
        3,
        "layered(layers.Dense(3))",
        "tf.nn.softmax_cross_entropy_with_logits",
        "logits, so softmax",
    ),
    "categorical hinge": (3, 3, "layered(layers.Dense(3))", '"categorical_hinge"', "logits, so softmax"),
    "three sigmoids": (3, 3, 'layered(layers.Dense(3, "sigmoid"))', '"binary_crossentropy"', "3 sigmoids"),
    "tanh": (3, 3, 'layered(layers.Dense(3, "tanh"))', '"categorical_hinge"', "(x + 1) / 2"),
    "softplus": (3, 3, 'layered(layers.Dense(3, "softplus"))', '"poisson"', "divided by their sum"),
    "a float32 activation last": (
        3,
        3,
        'layered(layers.Dense(3, "softmax"), layers.Activation("linear", dtype="float32"))',
        '"categorical_crossentropy"',
        "",
    ),
    "nested": (3, 3, 'layered(layered2(layers.Dense(3, "softmax")))', '"categorical_crossentropy"', ""),
    "hinge": (2, 1, "layered(layers.Dense(1))", '"hinge"', "logits, so sigmoid"),
    "squared hinge of tanh": (2, 1, 'layered(layers.Dense(1, "tanh"))', '"squared_hinge"', "(x + 1) / 2"),
    "own loss on one logit": (
        2,
        1,
        "layered(layers.Dense(1))",
        "binary_focal_crossentropy_with_logits",
        "logits, so sigmoid",
    ),
    "mse of one unit": (2, 1, "layered(layers.Dense(1))", '"mse"', "cut to 0..1"),
    "hinge of two": (2, 2, "layered(layers.Dense(2))", '"hinge"', "logits, so softmax"),
    "two sigmoids": (2, 2, 'layered(layers.Dense(2, "sigmoid"))', '"binary_crossentropy"', "2 sigmoids"),
}


def source(model: str, loss: str, units: int, channels: int) -> str:
    nested = (
        "def layered2(*last):\n    return keras.Sequential([keras.Input((8 * 8 * CHANNELS,)), *last])\n\n\ndef build"
    )
    text = BUILD.replace("def build", nested).replace("MODEL", model).replace("LOSS", loss)
    return text.replace("UNITS", str(units)).replace("CHANNELS", str(channels))


@pytest.fixture
def data(
    context: WorkerContext, prepared: Prepared, three_classes: tuple[Prepared, WorkerContext]
) -> dict[int, tuple[Prepared, WorkerContext]]:
    """By the number of classes."""
    return {2: (prepared, context), 3: three_classes}


def job_of(prepared: Prepared, epochs: int = 8) -> FoldJob:
    return replace(fold_job(prepared, max_epochs=epochs, use_last_epoch=True), params={"batch_size": 4})


@pytest.mark.first(3)
@pytest.mark.parametrize("head", HEADS)
def test_every_answer_adds_up_to_1_and_the_exported_file_gives_the_same(
    data: dict[int, tuple[Prepared, WorkerContext]], tmp_path: Path, head: str
) -> None:
    classes, units, model, loss, word = HEADS[head]
    prepared, context = data[classes]
    worker, job = worker_for(source(model, loss, units, context.facts.channels), context, tmp_path), job_of(prepared)
    result = trained(worker, job)
    assert isinstance(worker.do(DescribeJob(job.params)), Description)
    assert result.probabilities.min() >= 0
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)
    notes = [note for note in result.notes if "; try: " not in note]
    assert [word in note for note in notes] == ([True] if word else [])
    chosen = result.probabilities.argmax(axis=1) == context.labels[job.validate]
    assert chosen.mean() > 1 / classes  # the right way round
    predicted = shipped(worker, job, tmp_path)
    np.testing.assert_allclose(predicted, result.probabilities, atol=1e-5)
    np.testing.assert_allclose(predicted.sum(axis=1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("activation", "loss", "word"),
    [
        ("softmax", '"categorical_crossentropy"', ""),
        ("linear", "focal", "logits, so softmax"),
        ("sigmoid", '"binary_crossentropy"', "3 sigmoids"),
    ],
)
def test_a_model_with_its_own_call_is_judged_by_what_comes_out(
    three_classes: tuple[Prepared, WorkerContext], tmp_path: Path, activation: str, loss: str, word: str
) -> None:
    prepared, context = three_classes
    result = trained(worker_for(source(f'Net("{activation}")', loss, 3, 3), context, tmp_path), job_of(prepared, 2))
    notes = [note for note in result.notes if "will be saved" not in note]
    assert [word in note for note in notes] == ([True] if word else [])
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    "loss", ['"categorical_crossentropy"', '["categorical_crossentropy"]', '{"out": "kl_divergence"}']
)
def test_a_cross_entropy_of_keras_on_linear_outputs_is_refused_however_it_is_given(
    three_classes: tuple[Prepared, WorkerContext], tmp_path: Path, loss: str
) -> None:
    text = source('layered(layers.Dense(3, name="out"))', loss, 3, 3)
    outcome = worker_for(text, three_classes[1], tmp_path).do(DescribeJob({}))
    assert isinstance(outcome, Failure)
    assert "loss does not fit the output" in outcome.detail and "from_logits=True in the loss" in outcome.detail


RAW = st.sampled_from([1, 2, 5]).flatmap(
    lambda units: arrays.arrays(np.float32, (3, units), elements=st.floats(-1e6, 1e6, width=32))
)


@given(RAW, st.sampled_from(["LOGITS", "SHARES", "SIGNED"]))
def test_any_numbers_become_probabilities(raw: NDArray[np.float32], name: str) -> None:
    from search.worker.outputs import Meaning, probabilities

    answers = probabilities(raw, Meaning[name])
    assert answers.shape == (3, max(2, raw.shape[1]))
    assert answers.min() >= 0
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)


def test_outputs_that_turn_out_to_be_no_probabilities_are_an_error() -> None:
    from search.worker.outputs import probabilities

    with pytest.raises(ValueError, match=r"between -1 and 2; the last layer needs activation=\"softmax\""):
        probabilities(np.array([[-1, 2]], np.float32))
    with pytest.raises(ValueError, match=r"add up to 1\.8 to 1\.8, not to 1"):
        probabilities(np.array([[0.9, 0.9]], np.float32))
    assert np.isnan(
        probabilities(np.array([[np.nan, 1]], np.float32))
    ).any()  # a loss that is NaN is dealt with elsewhere
