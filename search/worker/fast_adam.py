"""A step of Adam with what all variables share computed once.

Keras computes the powers of both betas, the iterations and the rate for every variable anew: of a small network's
operations in a step about a third. Which numbers go into which operation is as in Keras, so not a bit differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf


def fused_update(optimizer: keras.optimizers.Optimizer) -> tuple[str, Any]:
    """(name, what to put there): an attribute of Keras's by which an optimizer does the same in one replica for less.

    Of Adam that which updates the variables; clipping, weight decay, averages and the count of steps are done by
    others. What is in half precision, or a sparse gradient, is left to Keras. Of any other optimizer, AMSGrad's Adam
    too, that which sums gradients over replicas.
    """
    if type(optimizer) not in (keras.optimizers.Adam, keras.optimizers.AdamW) or optimizer.amsgrad:
        # Summing over one replica changes nothing, but as a custom gradient keeps the graph for ever.
        return "_all_reduce_sum_gradients", list

    def update(gradients: Sequence[Any], variables: Sequence[Any], learning_rate: Any) -> None:
        number = tf.cast(optimizer.iterations + 1, tf.float32)
        first, second = (tf.pow(tf.constant(beta, tf.float32), number) for beta in (optimizer.beta_1, optimizer.beta_2))
        alpha = tf.cast(learning_rate, tf.float32) * tf.sqrt(1 - second) / (1 - first)
        for gradient, variable in zip(gradients, variables, strict=True):
            plain = variable.value if isinstance(variable, keras.Variable) else variable
            if not isinstance(gradient, tf.Tensor) or gradient.dtype != tf.float32 or plain.dtype != tf.float32:
                optimizer.update_step(gradient, plain, learning_rate)
                continue
            index = optimizer._get_variable_index(plain)
            m, v = optimizer._momentums[index].value, optimizer._velocities[index].value
            m.assign_add((gradient - m) * (1 - optimizer.beta_1))
            v.assign_add((tf.square(gradient) - v) * (1 - optimizer.beta_2))
            plain.assign_sub(m * alpha / (tf.sqrt(v) + optimizer.epsilon))

    return "_backend_update_step", update
