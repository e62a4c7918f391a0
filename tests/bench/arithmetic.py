"""The arithmetic of a fold run alone: the shortest time of TensorFlow for the same steps on the same images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bench.cases import BATCH, Data


def arithmetic(data: Data) -> Callable[[], list[NDArray[np.float32]]]:
    """A trial: forward, backward and update of every step, and one forward pass over the validation images per epoch.

    A fold run is one call of a graph, traced and called once before, over images in float32. It has no callbacks and no
    metrics, and returns only the last predictions and the losses.
    """
    import keras
    import tensorflow as tf

    from search.worker.keras_internals import without_replica_sums

    x, y = (tf.constant(each) for each in data.arrays)
    model, loss_of = data.case.network(), keras.losses.CategoricalCrossentropy()
    optimizer, epochs = keras.optimizers.Adam(), data.case.epochs
    weights = model.trainable_variables
    optimizer.build(weights)
    variables = [*model.variables, *optimizer.variables]
    initial = [variable.numpy() for variable in variables]
    (train, validate) = data.folds[0]
    steps = -(-len(train) // BATCH)

    def step(batch: Any) -> None:
        with tf.GradientTape() as tape:
            loss = loss_of(tf.gather(y, batch), model(tf.gather(x, batch), training=True))
        with without_replica_sums(optimizer):
            optimizer.apply(tape.gradient(loss, weights), weights)

    @tf.function(  # type: ignore[untyped-decorator]
        input_signature=[tf.TensorSpec([None, len(train)], tf.int32), tf.TensorSpec([len(validate)], tf.int32)],
        autograph=False,
    )
    def fold(orders: Any, asked: Any) -> tuple[Any, Any]:
        def epoch(number: Any, losses: Any, _: Any) -> tuple[Any, Any, Any]:
            def one(index: Any) -> Any:
                step(orders[number, index * BATCH : (index + 1) * BATCH])
                return index + 1

            tf.while_loop(lambda index: index < steps, one, [0], parallel_iterations=1)
            predictions = model(tf.gather(x, asked), training=False)
            return number + 1, losses + loss_of(tf.gather(y, asked), predictions), predictions

        nothing = tf.zeros([len(validate), 2])
        _, losses, predictions = tf.while_loop(
            lambda number, *_: number < tf.shape(orders)[0], epoch, [0, 0.0, nothing], parallel_iterations=1
        )
        return losses, predictions

    fold(tf.constant(train[None]), tf.constant(validate))  # one epoch, to trace it

    def trial() -> list[NDArray[np.float32]]:
        outputs = []
        for number, (train, validate) in enumerate(data.folds):
            for variable, value in zip(variables, initial, strict=True):
                variable.assign(value)
            rng = np.random.default_rng(number)
            orders = np.stack([rng.permutation(train) for _ in range(epochs)]).astype(np.int32)
            outputs.append(fold(tf.constant(orders), tf.constant(validate))[1].numpy())
        return outputs

    return trial
