"""Heads that scikit-learn fitted, as layers that Keras itself has: so a model of them loads anywhere, in safe mode."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

from search.manifest import STANDARDIZED

_NEVER = -1e4  # a logit whose exponential is 0 in float32


def dense(weights: NDArray[Any], bias: NDArray[Any], activation: str | None, x: Any) -> Any:
    """A dense layer with these weights [inputs, units] and bias [units]."""
    layer = keras.layers.Dense(weights.shape[1], activation=activation)
    layer.build(x.shape)
    layer.set_weights([weights.astype(np.float32), bias.astype(np.float32)])
    return layer(x)


def standardize(mean: NDArray[Any], deviation: NDArray[Any], x: Any) -> Any:
    """(x - mean) / deviation, each [width]."""
    layer = keras.layers.BatchNormalization(epsilon=0.0, center=False, scale=False, name=STANDARDIZED)
    layer.build(x.shape)
    layer.set_weights([mean.astype(np.float32), (deviation.astype(np.float64) ** 2).astype(np.float32)])
    layer.trainable = False
    return layer(x)


def fitted(head: Any, classes: int, x: Any) -> Any:
    """[batch, classes] probabilities of a fitted head of the preset 'frozen' on standardised features [batch, width].

    As scikit-learn computes them, to float32's precision.
    """
    known = head.classes_.astype(int)
    if hasattr(head, "coef_"):
        weights, bias = head.coef_.T, head.intercept_
        if weights.shape[1] == 1:  # of two classes, the second's logit against 0
            weights, bias = np.hstack([0 * weights, weights]), np.array([0.0, bias[0]])
        whole, logits = np.zeros((len(weights), classes)), np.full(classes, _NEVER)
        whole[:, known], logits[known] = weights, bias
        return dense(whole, logits, "softmax", x)
    calibrated = head.calibrated_classifiers_[0]
    scores = _decision(calibrated.estimator, x)
    scale = np.diag([-sigmoid.a_ for sigmoid in calibrated.calibrators])
    probabilities = dense(scale, np.array([-sigmoid.b_ for sigmoid in calibrated.calibrators]), "sigmoid", scores)
    if len(known) == 2:
        probabilities = ops.concatenate([1 - probabilities, probabilities], axis=1)
    else:
        probabilities = probabilities / ops.maximum(ops.sum(probabilities, axis=1, keepdims=True), 1e-12)
    return dense(np.eye(classes)[known], np.zeros(classes), None, probabilities)


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
    for pair, (first, second) in enumerate(pairs):
        rows_first, rows_second = slice(ends[first], ends[first + 1]), slice(ends[second], ends[second + 1])
        weights[rows_first, pair] = machine.dual_coef_[second - 1, rows_first]
        weights[rows_second, pair] = machine.dual_coef_[first, rows_second]
        against[pair, [first, second]] = 1, -1
        votes_for[pair, [first, second]] = -1, 1
    decisions = dense(weights, machine.intercept_, None, kernel)
    lost = ops.cast(ops.less(decisions, 0.0), "float32")  # by the first of a pair
    votes = dense(votes_for, (votes_for < 0).sum(axis=0), None, lost)
    confidence = dense(against, np.zeros(classes), None, decisions)
    return votes + confidence / (3 * (ops.absolute(confidence) + 1))
