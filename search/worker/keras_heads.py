"""Heads that scikit-learn fitted, as layers that Keras itself has: so a model of them loads anywhere, in safe mode."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

_NEVER = -1e4  # a logit whose exponential is 0 in float32


def dense(weights: NDArray[Any], bias: NDArray[Any], activation: str | None, x: Any) -> Any:
    """A dense layer with these weights [inputs, units] and bias [units]."""
    layer = keras.layers.Dense(weights.shape[1], activation=activation)
    layer.build(x.shape)
    layer.set_weights([weights.astype(np.float32), bias.astype(np.float32)])
    return layer(x)


def standardize(mean: NDArray[Any], deviation: NDArray[Any], x: Any) -> Any:
    """(x - mean) / deviation, each [width]."""
    layer = keras.layers.BatchNormalization(epsilon=0.0, center=False, scale=False, name="standardized")
    layer.build(x.shape)
    layer.set_weights([mean.astype(np.float32), (deviation.astype(np.float64) ** 2).astype(np.float32)])
    layer.trainable = False
    return layer(x)


def fitted(head: Any, classes: int, x: Any) -> Any:
    """[batch, classes] probabilities of a fitted head of the preset 'frozen' on standardised features [batch, width].

    As scikit-learn computes them, to float32's precision.
    """
    there = head.classes_.astype(int)
    if hasattr(head, "coef_"):
        weights, bias = head.coef_.T, head.intercept_
        if weights.shape[1] == 1:  # of two classes, the second's logit against 0
            weights, bias = np.hstack([0 * weights, weights]), np.array([0.0, bias[0]])
        whole, logits = np.zeros((len(weights), classes)), np.full(classes, _NEVER)
        whole[:, there], logits[there] = weights, bias
        return dense(whole, logits, "softmax", x)
    calibrated = head.calibrated_classifiers_[0]
    scores = _decision(calibrated.estimator, x)
    scale = np.diag([-one.a_ for one in calibrated.calibrators])
    said = dense(scale, np.array([-one.b_ for one in calibrated.calibrators]), "sigmoid", scores)
    if len(there) == 2:
        said = ops.concatenate([1 - said, said], axis=1)
    else:
        said = said / ops.maximum(ops.sum(said, axis=1, keepdims=True), 1e-12)
    return dense(np.eye(classes)[there], np.zeros(classes), None, said)


def _decision(machine: Any, x: Any) -> Any:
    """An SVC's decision function: [batch, 1] for two classes, else one against the rest, [batch, classes]."""
    vectors, classes = machine.support_vectors_.astype(np.float64), len(machine.classes_)
    gamma = float(machine._gamma)
    # exp(-gamma |x - v|^2), the square multiplied out; the part of x alone comes after.
    across = dense(2 * gamma * vectors.T, -gamma * (vectors**2).sum(axis=1), None, x)
    kernel = ops.exp(across - gamma * ops.sum(ops.square(x), axis=1, keepdims=True))
    if classes == 2:
        return dense(machine.dual_coef_.T, machine.intercept_, None, kernel)
    pairs = list(combinations(range(classes), 2))
    weights, ends = np.zeros((len(vectors), len(pairs))), np.cumsum([0, *machine.n_support_])
    against, votes_for = np.zeros((len(pairs), classes)), np.zeros((len(pairs), classes))
    for pair, (one, other) in enumerate(pairs):
        rows_one, rows_other = slice(ends[one], ends[one + 1]), slice(ends[other], ends[other + 1])
        weights[rows_one, pair] = machine.dual_coef_[other - 1, rows_one]
        weights[rows_other, pair] = machine.dual_coef_[one, rows_other]
        against[pair, [one, other]] = 1, -1
        votes_for[pair, [one, other]] = -1, 1
    decisions = dense(weights, machine.intercept_, None, kernel)
    lost = ops.cast(ops.less(decisions, 0.0), "float32")  # by the first of a pair
    votes = dense(votes_for, (votes_for < 0).sum(axis=0), None, lost)
    confidence = dense(against, np.zeros(classes), None, decisions)
    return votes + confidence / (3 * (ops.absolute(confidence) + 1))
