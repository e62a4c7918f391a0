"""A step of Adam with what all variables share computed once.

Keras computes the powers of both betas, the iterations and the rate for every variable anew: of a small network's
operations in a step about a third. Which numbers go into which operation is as in Keras, so not a bit differs.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import keras
import tensorflow as tf

from search.worker.keras_internals import inner, patched, without_replica_sums


def fused_update(of: keras.optimizers.Optimizer) -> AbstractContextManager[None]:
    """Within, what is traced of an optimizer does the same in one replica for less.

    Of Adam the update of the variables is replaced; clipping, weight decay, averages and the count of steps stay as
    they are. What is in half precision, or a sparse gradient, is left to Keras. Any other optimizer, AMSGrad's Adam
    too, only sums no gradients over replicas.
    """
    optimizer = inner(of)
    if type(optimizer) not in (keras.optimizers.Adam, keras.optimizers.AdamW) or optimizer.amsgrad:
        return without_replica_sums(optimizer)

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

    return patched(optimizer, "_backend_update_step", update)
