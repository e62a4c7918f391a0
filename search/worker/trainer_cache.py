"""The trainers that a worker keeps: few graphs are traced, and memory stays flat. For workers only."""

from __future__ import annotations

import gc
from collections.abc import Callable, Hashable, Mapping
from dataclasses import replace
from typing import Any

import keras

from search.jobs import WorkerContext
from search.worker.graph_sharing import graph_signature
from search.worker.inputs import Maps
from search.worker.keras_internals import forget_gradients
from search.worker.trainer import Trainer, set_averages
from spaces import Value
from spaces.recipe import Recipe

MAX_KEPT = 8  # trainers of a worker; a graph of a small network takes some megabytes
MAX_KEPT_PARAMETERS = 10_000_000  # of theirs together: 120 MB with two moments of an optimizer
TRACED_AT_A_TIME = 16
"""Trainers made until TensorFlow forgets the kernels that it keeps for operations outside of graphs.

It keeps kernels for every shape of a variable that it has seen: 1.8 MiB per architecture. Making those again that are
still used takes a fifth of a second.
"""


class TrainerCache:
    """The trainers used last, by what decides their graphs, so that few graphs are traced."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._kept: dict[str, Trainer] = {}  # the one used last at the end
        self._made = 0  # trainers, since TensorFlow forgot its kernels

    def trainer(
        self, model: keras.Model, inputs: Any, recipe: Recipe, point: Mapping[str, Value] | None = None
    ) -> Trainer:
        """One that trains like `Trainer(model, inputs, context, recipe)`, with existing graphs where possible.

        `model` is new and compiled, the first built since Keras's session was cleared. With `point`, only graphs of
        that point are used: the configuration of a custom model does not contain everything. Raises as Trainer does.
        """
        if self._context.model is None:  # a `tf.function` in a user's file may need its gradients again
            forget_gradients()
        set_averages(model, recipe, len(self._context.labels))
        decided = _key(model, recipe)
        key = decided and f"{point} {'maps' if isinstance(inputs, Maps) else inputs.dtype} {decided}"
        trainer = self._kept.pop(key, None) if key else None
        self._forget(_size(model, inputs))  # also for one that is kept: its maps may be more now
        if trainer is None:
            self._made += 1
            gc.collect()  # graphs are freed by the garbage collector only
            trainer = Trainer(model, inputs, self._context, recipe)
        else:
            trainer.load_state_of(model, inputs, recipe)
        if key:
            self._kept[key] = trainer
        return trainer

    def again(self, point: Hashable) -> Trainer | None:
        """The one that remembers this point, if it is kept: nothing need be built."""
        return self._used(lambda trainer: trainer.point == point)

    def alike(self, kind: Hashable) -> Trainer | None:
        """One of this kind, if it is kept: nothing but numbers need be given to it."""
        return self._used(lambda trainer: trainer.kind == kind)

    def kind_of(self, head: keras.Model, recipe: Recipe) -> str | None:
        """What of a network's head, built and compiled by itself, and of the recipe decides the network's graphs."""
        set_averages(head, recipe, len(self._context.labels))
        return _key(head, recipe)

    def _used(self, is_wanted: Callable[[Trainer], bool]) -> Trainer | None:
        key = next((key for key, trainer in self._kept.items() if is_wanted(trainer)), None)
        if key is None:
            return None
        self._kept[key] = self._kept.pop(key)
        return self._kept[key]

    def forget_kernels(self) -> None:
        """Let TensorFlow free its kernels if it keeps many. Call it before a model is built: it resets layer names."""
        if self._made >= TRACED_AT_A_TIME:
            keras.utils.clear_session(free_memory=False)
            self._made = 0

    def clear(self) -> None:
        """Free all graphs and models."""
        self._kept.clear()

    def _forget(self, size: int) -> None:
        """Remove the oldest trainers until one of this size fits."""
        kept = self._kept
        while kept and (
            len(kept) >= MAX_KEPT
            or size + sum(_size(trainer.network, trainer.inputs) for trainer in kept.values()) > MAX_KEPT_PARAMETERS
        ):
            del kept[next(iter(kept))]


def _size(model: keras.Model, inputs: Any) -> int:
    """In parameters; maps count as what a parameter and its two moments take."""
    return int(model.count_params()) + (inputs.numbers // 3 if isinstance(inputs, Maps) else 0)


def _key(model: keras.Model, recipe: Recipe) -> str | None:
    """What decides a trainer's graphs. Batch size, epochs and schedule do not: the host handles them."""
    decided, rest = graph_signature(model), replace(recipe, batch_size=0, steps=None, schedule="constant")
    return decided and f"{rest} {decided}"
