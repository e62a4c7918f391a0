"""The first values of a network for another seed, without building it again: building takes as long as epochs do.

A preset's builder draws all its randomness as seeds from Python's generator, in a fixed order: one for each initializer
and for each random generator of a layer. So the seeds of another fold run are those at the same places.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from search.worker.keras_internals import all_layers, patched


@contextmanager
def noted() -> Iterator[list[int]]:
    """Within, the seeds that Keras draws are noted; yields the list that they are appended to."""
    drawn: list[int] = []
    plain = random.randint

    def randint(low: int, high: int) -> int:
        drawn.append(plain(low, high))
        return drawn[-1]

    with patched(random, "randint", randint):
        yield drawn


class Redrawing:
    """Of one architecture, how each first value follows from the seeds that were drawn."""

    def __init__(self, count: int, made: Sequence[Callable[[Sequence[int]], Any]]) -> None:
        self._count, self._made = count, made

    @classmethod
    def of(cls, model: keras.Model, drawn: Sequence[int], seed: int) -> Redrawing | None:
        """From a model just built from `seed`, and what was `noted` meanwhile. None where it cannot be redrawn."""
        places = {value: place for place, value in enumerate(drawn)}
        if len(places) < len(drawn):  # by chance two seeds are the same
            return None
        initializers = {
            id(variable): initializer for layer in all_layers(model) for variable, initializer in _initialized(layer)
        }
        made: list[Callable[[Sequence[int]], Any]] = []
        for variable in model.variables:
            if (how := _value(variable, places, initializers.get(id(variable)))) is None:
                return None
            made.append(how)
        redrawing = cls(len(drawn), made)
        found = redrawing.values(seed)
        same = all(np.array_equal(one, now.numpy()) for one, now in zip(found, model.variables, strict=True))
        return redrawing if same else None

    def values(self, seed: int) -> list[Any]:
        """Of all variables, as built from `seed`. Python's generator is then where the builder would leave it."""
        random.seed(seed)
        drawn = [keras_seed() for _ in range(self._count)]
        return [make(drawn) for make in self._made]


def keras_seed() -> int:
    """As Keras draws a seed."""
    return random.randint(1, int(1e9))  # noqa: S311 - not for secrets


def _initialized(layer: Any) -> Iterator[tuple[Any, Any]]:
    """Variables of a layer, and the initializers that draw their first values."""
    for name, initializer in vars(layer).items():
        if name.endswith("_initializer") and isinstance(getattr(initializer, "seed", None), int):
            part = name.removesuffix("_initializer")
            for variable in layer.weights:
                if variable.name in (part, f"{part}_kernel"):
                    yield variable, initializer


def _value(variable: Any, places: dict[int, int], initializer: Any) -> Callable[[Sequence[int]], Any] | None:
    """How a variable's first value follows from the seeds; as it is now, if no seed is seen in it.

    None if it may have been drawn all the same: its numbers differ.
    """
    value = variable.numpy()
    if initializer is not None and initializer.seed in places:
        place, kind, config = places[initializer.seed], type(initializer), initializer.get_config()

        def draw(drawn: Sequence[int]) -> Any:
            return kind.from_config(config | {"seed": drawn[place]})(variable.shape, dtype=variable.dtype)

        return draw
    if value.dtype.kind == "i" and value.shape == (2,) and int(value[0]) in places:  # a random generator's state
        place = places[int(value[0])]
        return lambda drawn: np.array([drawn[place], value[1]], value.dtype)
    if value.dtype.kind not in "iub" and value.size and np.any(value != value.flat[0]):
        return None
    return lambda _: value
